"""Dermoscopic pictures of a skin lesion. Skin has no right way up, so nothing here has a side."""

from __future__ import annotations

import numpy as np

from medrl.clinic.phantoms.canvas import Canvas, Colour, Field
from medrl.clinic.phantoms.modality import (
    NUMBERS,
    YES_NO,
    Attributes,
    Modality,
    Question,
    Rule,
    counted,
    present,
    shown,
    total,
)

_COLOURS: dict[str, Colour] = {
    "brown": (0.50, 0.29, 0.15),
    "black": (0.15, 0.12, 0.12),
    "red": (0.76, 0.16, 0.17),
    "blue": (0.26, 0.34, 0.60),
}
_RADII = {"small": 0.24, "medium": 0.35, "large": 0.48}
_SPOTS = ((0.71, 0.33), (-0.71, 0.33), (-0.71, -0.33), (0.71, -0.33), (0.56, 0.62), (-0.56, -0.62))
"""Places for satellite spots, none where a lesion may bulge."""


def _draw(canvas: Canvas, a: Attributes, rng: np.random.Generator) -> None:
    x, y, turn, scale, warm, stretch = rng.uniform(-1, 1, 6).tolist()
    phases = rng.uniform(0, 2 * np.pi, 6).tolist()
    moved = rng.uniform(-0.03, 0.03, (3, 2)).tolist()
    order, hairs = rng.permutation(len(_SPOTS)).tolist(), rng.uniform(-1, 1, (3, 4)).tolist()
    texture, mottled = canvas.cloud(5), canvas.cloud(14)

    skin = (0.88 + 0.05 * warm, 0.68 + 0.07 * warm, 0.56 + 0.07 * warm)
    canvas.paint(np.ones_like(canvas.x), skin)
    canvas.light(0.02 * texture + 0.012 * mottled)
    for bend, at, tilt, dark in hairs:
        if dark > 0:
            line = canvas.y - 0.9 * at - 0.6 * tilt * canvas.x - 0.3 * bend * canvas.x**2
            canvas.paint(0.5 * canvas.cover(np.abs(line) - 0.012), (0.25, 0.18, 0.14))
    canvas.place(0.04 * x, 0.04 * y, 0.12 * turn, 1 + 0.05 * scale)
    shape = _outline(canvas, a, stretch, phases)
    colour = _COLOURS[a["colour"]]
    inside = canvas.cover(shape, 0.05)
    canvas.paint(inside, colour)
    if a["darker part"] != "equal":
        centre = inside * canvas.cover(canvas.discs([(0, 0)], 0.6 * _RADII[a["size"]]), 0.10)
        rim = inside - centre
        dark, light = (centre, rim) if a["darker part"] == "centre" else (rim, centre)
        canvas.paint(0.55 * dark, (0.02, 0.01, 0.01))
        canvas.paint(0.35 * light, skin)
    canvas.light(inside * 0.02 * mottled)
    places = [_SPOTS[slot] for slot in order[: NUMBERS.index(a["spots"])]]
    centres = [(px + dx, py + dy) for (px, py), (dx, dy) in zip(places, moved, strict=False)]
    canvas.paint(canvas.cover(canvas.discs(centres, 0.085)), colour)


def _outline(canvas: Canvas, a: Attributes, stretch: float, phases: list[float]) -> Field:
    """Distance to the outline: a circle, nearly, with a bulge and teeth if it has them."""
    radius = _RADII[a["size"]]
    waves = {2: (0.03 + 0.02 * stretch, phases[0]), 3: (0.02, phases[1])}
    if a["border"] == "irregular":
        waves |= {5: (0.09, phases[2]), 7: (0.08, phases[3]), 9: (0.06, phases[4])}
    shape = canvas.blob(0, 0, radius, waves)
    if a["bulge"] != "none":
        up = -1 if a["bulge"] == "top" else 1
        teeth = {count: wave for count, wave in waves.items() if count in (5, 7)}
        shape = np.minimum(shape, canvas.blob(0, up * 1.15 * radius, 0.62 * radius, teeth))
    return shape


def _described(a: Attributes) -> str:
    return f"{a['size']} {a['colour']} lesion"


def _findings(a: Attributes) -> dict[str, str]:
    bulge = "a symmetric shape" if a["bulge"] == "none" else f"a bulge at the {a['bulge']}"
    dark = "an even tone" if a["darker part"] == "equal" else f"a darker {a['darker part']}"
    return {
        "lesion": f"a {_described(a)}",
        "border": f"{'a regular' if a['border'] == 'regular' else 'an irregular'} border",
        "bulge": bulge,
        "darker part": dark,
        "spots": counted(a["spots"], "satellite spot"),
    }


_QUESTIONS = (
    Question(
        "presence",
        ("Are there satellite spots?", "Do you see spots around the lesion?"),
        lambda a: YES_NO[0 if total(a, "spots") else 1],
        ("spots",),
    ),
    present("bulge", "Does the lesion bulge?", "Has the lesion a bulge?"),
    present("border", "Is the border irregular?", "Has it an irregular border?", value="irregular"),
    shown("place", "bulge", "Where does the lesion bulge?", "Where is the bulge of the lesion?"),
    shown("count", "spots", "How many satellite spots are there?", "Count the satellite spots."),
    shown("size", "size", "How large is the lesion?", "What is the size of it?", of="lesion"),
    shown("colour", "colour", "What colour is the lesion?", "Name the colour.", of="lesion"),
    shown("type", "border", "What type of border has the lesion?", "How is the border?"),
    Question("type", ("Describe the lesion.", "What lesion do you see?"), _described, ("lesion",)),
    Question(
        "comparison",
        ("Which is darker, the centre or the rim?", "Where is the lesion darker?"),
        lambda a: a["darker part"],
        ("darker part",),
    ),
)

_RULES = (
    Rule(
        "suspicious lesion",
        "an irregular border with a bulge",
        lambda a: a["border"] == "irregular" and a["bulge"] != "none",
        ("border", "bulge"),
    ),
    Rule(
        "atypical mole",
        "an irregular border with a symmetric shape",
        lambda a: a["border"] == "irregular" and a["bulge"] == "none",
        ("border", "bulge"),
    ),
    Rule(
        "angioma",
        "a red lesion with a regular border",
        lambda a: a["border"] == "regular" and a["colour"] == "red",
        ("lesion", "border"),
    ),
    Rule(
        "blue mole",
        "a blue lesion with a regular border",
        lambda a: a["border"] == "regular" and a["colour"] == "blue",
        ("lesion", "border"),
    ),
    Rule(
        "two-tone mole",
        "a brown or black lesion with a regular border and a darker part",
        lambda a: _dark_regular(a) and a["darker part"] != "equal",
        ("lesion", "border", "darker part"),
    ),
    Rule(
        "common mole",
        "a brown or black lesion with a regular border and an even tone",
        lambda a: _dark_regular(a) and a["darker part"] == "equal",
        ("lesion", "border", "darker part"),
    ),
)


def _dark_regular(a: Attributes) -> bool:
    return a["border"] == "regular" and a["colour"] in ("brown", "black")


LESION = Modality(
    name="lesion",
    title="skin lesion",
    values={
        "colour": tuple(_COLOURS),
        "size": tuple(_RADII),
        "border": ("regular", "irregular"),
        "bulge": ("none", "top", "bottom"),
        "darker part": ("equal", "centre", "rim"),
        "spots": NUMBERS[:4],
    },
    possible=lambda a: True,
    background=(0.88, 0.68, 0.56),
    draw=_draw,
    findings=_findings,
    rules=_RULES,
    questions=_QUESTIONS,
    crossed=("colour", "size"),
)
