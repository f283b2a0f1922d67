"""Fundus photographs. The disc is on the side of the nose, as the examiner sees it: on the right of
the picture in a right eye, on the left in a left eye.
"""

from __future__ import annotations

import math

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
    more,
    present,
    shown,
    total,
)

_NOSE = {"right": 1.0, "left": -1.0}
"""The half of the picture in which the disc of an eye lies."""
_DISC, _MACULA = 0.45, -0.28
"""Distance from the middle towards the nose."""
_CUPS = {"small": 0.075, "large": 0.165}
_DISCS: dict[str, tuple[Colour, Colour]] = {
    "pink": ((0.95, 0.55, 0.38), (1.0, 0.90, 0.66)),
    "pale": ((0.78, 0.78, 0.74), (1.0, 1.0, 0.97)),
}
"""Colours of the disc and of its cup."""
_BLEEDINGS = ((-0.28, 0.35), (-0.62, 0.34), (0.00, 0.25), (-0.15, 0.80))
"""Places for haemorrhages of a half: distance towards the nose, distance from the middle."""
_HALF = {"upper": -1.0, "lower": 1.0}
_EXUDATES = {"macula": (_MACULA, 0.0, 0.19), "disc": (_DISC, 0.0, 0.33)}
"""Centre and radius of the ring of exudates around the macula and the disc."""


def _draw(canvas: Canvas, a: Attributes, rng: np.random.Generator) -> None:
    x, y, turn, scale, red, wide, bend, phase = rng.uniform(-1, 1, 8).tolist()
    moved = rng.uniform(-0.03, 0.03, (2, 2, 2)).tolist()
    order = {half: rng.permutation(len(_BLEEDINGS)).tolist() for half in _HALF}
    around = rng.uniform(0, 2 * math.pi)
    texture, mottled = canvas.cloud(5), canvas.cloud(14)

    nose = _NOSE[a["eye"]]
    canvas.place(0.02 * x, 0.02 * y, 0.0, 1 + 0.02 * scale)
    aperture = canvas.cover(canvas.discs([(0, 0)], 0.95), 0.05)
    canvas.paint(aperture, (0.74 + 0.05 * red, 0.36 + 0.04 * red, 0.17))
    canvas.light(aperture * (0.03 * texture + 0.012 * mottled - 0.10 * canvas.discs([(0, 0)], 0)))
    canvas.place(0.04 * x, 0.04 * y, 0.08 * turn, 1 + 0.04 * scale)
    macula = canvas.cover(canvas.discs([(nose * _MACULA, 0)], 0.11), 0.20)
    canvas.paint(0.55 * macula, (0.36, 0.12, 0.06))
    disc, cup = _DISCS[a["disc"]]
    canvas.paint(canvas.cover(canvas.ellipse(nose * _DISC, 0, 0.21, 0.24), 0.04), disc)
    radius = _CUPS[a["cup"]]
    canvas.paint(canvas.cover(canvas.ellipse(nose * _DISC, 0, radius, 1.1 * radius)), cup)
    _vessels(canvas, a, nose, aperture, (0.06 * wide, 0.06 * bend, 3 * phase))
    for index, (half, down) in enumerate(_HALF.items()):
        places = [_BLEEDINGS[i] for i in order[half]][: NUMBERS.index(a[f"{half} haemorrhages"])]
        centres = [
            (nose * across + dx, down * away + dy)
            for (across, away), (dx, dy) in zip(places, moved[index], strict=False)
        ]
        canvas.paint(canvas.cover(canvas.discs(centres, 0.08)), (0.27, 0.01, 0.03))
    if a["exudates"] != "none":
        across, height, radius = _EXUDATES[a["exudates"]]
        angles = [around + i * math.pi / 3 for i in range(6)]
        dots = [
            (nose * across + radius * math.cos(t), height + radius * math.sin(t)) for t in angles
        ]
        canvas.paint(canvas.cover(canvas.discs(dots, 0.045)), (1.0, 0.94, 0.55))


def _vessels(
    canvas: Canvas, a: Attributes, nose: float, aperture: Field, varied: tuple[float, float, float]
) -> None:
    """Arcades that leave the disc above and below and bend around the macula, veins wider than
    arteries, and shorter ones towards the nose; parabolas, by the distance |f| / |grad f|."""
    wide, bend, phase = varied
    along = _DISC + 0.11 - nose * canvas.x  # away from the nose, out of the near edge of the cup
    waves = 0.075 if a["vessels"] == "tortuous" else 0.0
    height = canvas.y + waves * np.sin(17 * along + phase)
    for opening, width, colour in (
        (0.27 + bend, 0.030, (0.42, 0.05, 0.05)),
        (0.15 + wide, 0.017, (0.58, 0.12, 0.06)),
        (-0.55, 0.020, (0.48, 0.07, 0.05)),
    ):
        curve = height**2 - 2 * opening * along
        slope = 2 * np.hypot(height, opening)
        line = canvas.cover(np.abs(curve) / slope - width) * aperture
        canvas.paint(0.85 * line * canvas.cover(np.abs(height) - 0.85, 0.1), colour)


def _bleedings(a: Attributes) -> int:
    return total(a, *_BOTH)


_BOTH = ("upper haemorrhages", "lower haemorrhages")


def _findings(a: Attributes) -> dict[str, str]:
    exudates = "no exudates" if a["exudates"] == "none" else f"exudates around the {a['exudates']}"
    return {
        "eye": f"the disc on the {a['eye']} of the picture",
        "disc": f"a {a['disc']} disc",
        "cup": f"a {a['cup']} cup",
        "vessels": f"{a['vessels']} vessels",
        "exudates": exudates,
        **{
            f"{h} haemorrhages": counted(a[f"{h} haemorrhages"], "haemorrhage", f"in the {h} half")
            for h in _HALF
        },
    }


_QUESTIONS = (
    Question(
        "presence",
        ("Are there haemorrhages?", "Do you see any haemorrhages?"),
        lambda a: YES_NO[0 if _bleedings(a) else 1],
        _BOTH,
    ),
    present("exudates", "Are there exudates?", "Do you see any exudates?"),
    present("vessels", "Are the vessels tortuous?", "Do the vessels wind?", value="tortuous"),
    shown("side", "eye", "Which eye is it?", "Is it a right or a left eye?"),
    shown("place", "exudates", "Where are the exudates?", "What do the exudates surround?"),
    Question(
        "count",
        ("How many haemorrhages are there?", "Count all haemorrhages."),
        lambda a: NUMBERS[_bleedings(a)],
        _BOTH,
    ),
    *(
        shown(
            "count",
            f"{half} haemorrhages",
            f"How many haemorrhages are in the {half} half?",
            f"Count the haemorrhages in the {half} half.",
        )
        for half in _HALF
    ),
    shown("size", "cup", "How large is the cup?", "What is the size of the cup?"),
    shown("colour", "disc", "What colour is the disc?", "Is the disc pink or pale?"),
    shown("type", "vessels", "What type of vessels are these?", "How are the vessels?"),
    Question(
        "type",
        ("Describe the disc.", "What disc do you see?"),
        lambda a: f"{a['disc']} disc with a {a['cup']} cup",
        ("disc", "cup"),
    ),
    Question(
        "comparison",
        ("Which half has more haemorrhages?", "Where are more haemorrhages?"),
        lambda a: more(a, _BOTH, ("upper", "lower")),
        _BOTH,
    ),
)

_RULES = (
    Rule(
        "glaucoma",
        "a pale disc with a large cup",
        lambda a: a["disc"] == "pale" and a["cup"] == "large",
        ("disc", "cup"),
    ),
    Rule(
        "optic atrophy",
        "a pale disc with a small cup",
        lambda a: a["disc"] == "pale" and a["cup"] == "small",
        ("disc", "cup"),
    ),
    Rule(
        "diabetic retinopathy",
        "a pink disc with haemorrhages and exudates",
        lambda a: a["disc"] == "pink" and _bleedings(a) > 0 and a["exudates"] != "none",
        ("disc", *_BOTH, "exudates"),
    ),
    Rule(
        "hypertensive retinopathy",
        "a pink disc with haemorrhages and no exudates",
        lambda a: a["disc"] == "pink" and _bleedings(a) > 0 and a["exudates"] == "none",
        ("disc", *_BOTH, "exudates"),
    ),
    Rule(
        "retinal oedema",
        "a pink disc with exudates and no haemorrhages",
        lambda a: a["disc"] == "pink" and _bleedings(a) == 0 and a["exudates"] != "none",
        ("disc", *_BOTH, "exudates"),
    ),
    Rule(
        "vascular tortuosity",
        "a clear fundus with a pink disc and tortuous vessels",
        lambda a: _clear(a) and a["vessels"] == "tortuous",
        ("disc", *_BOTH, "exudates", "vessels"),
    ),
    Rule(
        "normal fundus",
        "a clear fundus with a pink disc and straight vessels",
        lambda a: _clear(a) and a["vessels"] == "straight",
        ("disc", *_BOTH, "exudates", "vessels"),
    ),
)


def _clear(a: Attributes) -> bool:
    return a["disc"] == "pink" and _bleedings(a) == 0 and a["exudates"] == "none"


FUNDUS = Modality(
    name="fundus",
    title="fundus photograph",
    values={
        "eye": tuple(_NOSE),
        "disc": tuple(_DISCS),
        "cup": tuple(_CUPS),
        "vessels": ("straight", "tortuous"),
        "exudates": ("none", *_EXUDATES),
        "upper haemorrhages": NUMBERS[:3],
        "lower haemorrhages": NUMBERS[:3],
    },
    possible=lambda a: True,
    background=(0.02, 0.02, 0.02),
    draw=_draw,
    findings=_findings,
    rules=_RULES,
    questions=_QUESTIONS,
    crossed=_BOTH,
)
