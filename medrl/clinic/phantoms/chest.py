"""Chest films. As on any film the patient faces the viewer: the patient's right is on the left of
the picture, where the letter R is, and the heart points to the right of the picture.
"""

from __future__ import annotations

import numpy as np

from medrl.clinic.phantoms.canvas import Canvas, Field
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

_SIGN = {"right": -1.0, "left": 1.0}
"""The half of the picture in which a side of the patient lies."""
_ZONES = {"upper": -0.42, "middle": -0.06, "lower": 0.28}
_NODULES = {
    "upper": ((0.34, -0.52), (0.52, -0.34)),
    "middle": ((0.36, -0.12), (0.62, -0.04)),
    "lower": ((0.64, 0.20), (0.52, 0.38)),
}
"""Places for nodules by zone: distance from the midline, height."""
_HEARTS = {"normal": (0.14, 0.27, 0.25), "enlarged": (0.20, 0.46, 0.30)}
"""Centre to the right of the midline, half width, half height."""


def _possible(a: Attributes) -> bool:
    there = [a[name] != "none" for name in ("opacity", "zone", "density")]
    hidden = a["zone"] == "lower" and a["opacity"] == a["effusion"]
    return (all(there) or not any(there)) and not hidden


def _lungs(canvas: Canvas, width: float) -> tuple[dict[str, Field], Field]:
    """Cover of each lung, and the distance to the diaphragm (negative above it)."""
    dome = canvas.y - 0.50 - 0.35 * (np.abs(canvas.x) - 0.38) ** 2
    shapes = {s: canvas.ellipse(sign * 0.45, 0.02, 0.33 * width, 0.80) for s, sign in _SIGN.items()}
    return {s: canvas.cover(np.maximum(shape, dome), 0.06) for s, shape in shapes.items()}, dome


def _draw(canvas: Canvas, a: Attributes, rng: np.random.Generator) -> None:
    x, y, turn, scale, width, ribs = rng.uniform(-1, 1, 6).tolist()
    moved = rng.uniform(-0.03, 0.03, (2, 3, 2)).tolist()
    order = {side: (rng.permutation(3).tolist(), rng.permutation(2).tolist()) for side in _SIGN}
    texture, patches = canvas.cloud(6), canvas.cloud(12)

    canvas.letter("R", -0.94, -0.94)
    canvas.place(0.05 * x, 0.04 * y, 0.07 * turn, 1 + 0.05 * scale)
    body = np.minimum(canvas.ellipse(0, 0.55, 0.98, 1.3), canvas.ellipse(0, 0.9, 1.1, 0.7))
    canvas.paint(canvas.cover(body, 0.08), (0.52,))
    lungs, dome = _lungs(canvas, 1 + 0.06 * width)
    air = lungs["right"] + lungs["left"]
    canvas.paint(air, (0.16,))
    arcs = np.cos(13 * (canvas.y + 0.45 * np.abs(canvas.x) ** 1.5) + 2 * ribs)
    canvas.light(air * (0.08 * np.clip(arcs, 0, 1) + 0.02 * texture))
    canvas.paint(0.9 * canvas.cover(np.abs(canvas.x) - 0.13, 0.08), (0.62,))
    centre, half_width, half_height = _HEARTS[a["heart"]]
    heart = canvas.ellipse(centre, 0.33, half_width, half_height, 0.35)
    canvas.paint(canvas.cover(np.maximum(heart, dome - 0.05), 0.06), (0.66,))
    for index, (side, sign) in enumerate(_SIGN.items()):
        if a["opacity"] == side:
            _opacity(canvas, a, sign, moved[index][2], patches, lungs[side])
        if a["effusion"] == side:
            level = 0.30 - 0.5 * np.clip(sign * canvas.x - 0.35, 0, None)
            canvas.paint(canvas.cover(level - canvas.y, 0.05) * lungs[side], (0.74,))
        zones, slots = order[side]
        _nodules(
            canvas, a, side, [(list(_NODULES)[z], s) for s in slots for z in zones], moved[index]
        )


def _opacity(
    canvas: Canvas, a: Attributes, sign: float, moved: list[float], patches: Field, lung: Field
) -> None:
    shape = canvas.ellipse(sign * 0.46 + moved[0], _ZONES[a["zone"]] + moved[1], 0.25, 0.17)
    cloudy = canvas.cover(shape + 0.03 * patches, 0.14) * lung
    canvas.paint({"dense": 0.85, "faint": 0.42}[a["density"]] * cloudy, (0.82,))


def _nodules(
    canvas: Canvas, a: Attributes, side: str, slots: list[tuple[str, int]], moved: list[list[float]]
) -> None:
    """In the first of ``slots`` that are neither in the opacity nor under water."""
    taken = {a["zone"]} if a["opacity"] == side else set()
    taken |= {"lower"} if a["effusion"] == side else set()
    free = [_NODULES[zone][slot] for zone, slot in slots if zone not in taken]
    places = free[: NUMBERS.index(a[f"{side} nodules"])]
    centres = [
        (_SIGN[side] * x + dx, y + dy) for (x, y), (dx, dy) in zip(places, moved, strict=False)
    ]
    canvas.paint(canvas.cover(canvas.discs(centres, 0.078)), (0.9,))


def _findings(a: Attributes) -> dict[str, str]:
    where = f"in the {a['opacity']} {a['zone']} zone"
    return {
        "opacity": "no opacity" if a["opacity"] == "none" else f"a {a['density']} opacity {where}",
        "effusion": "no effusion" if a["effusion"] == "none" else f"a {a['effusion']} effusion",
        "heart": "a normal heart" if a["heart"] == "normal" else "an enlarged heart",
        "right nodules": counted(a["right nodules"], "nodule", "in the right lung"),
        "left nodules": counted(a["left nodules"], "nodule", "in the left lung"),
    }


def _number(a: Attributes) -> int:
    return total(a, "right nodules", "left nodules")


def _where(a: Attributes) -> str | None:
    return None if a["opacity"] == "none" else f"{a['opacity']} {a['zone']} zone"


def _described(a: Attributes) -> str | None:
    return None if a["opacity"] == "none" else f"{a['density']} {a['zone']} zone opacity"


def _same_side(a: Attributes) -> str | None:
    if "none" in (a["opacity"], a["effusion"]):
        return None
    return YES_NO[0 if a["opacity"] == a["effusion"] else 1]


_NODULES_OF_BOTH = ("right nodules", "left nodules")
_QUESTIONS = (
    present("opacity", "Is there an opacity?", "Do the lungs show an opacity?"),
    present("effusion", "Is there an effusion?", "Do you see a pleural effusion?"),
    present("heart", "Is the heart enlarged?", "Is the heart too large?", value="enlarged"),
    Question(
        "presence",
        ("Are there any nodules?", "Do the lungs show nodules?"),
        lambda a: YES_NO[0 if _number(a) else 1],
        _NODULES_OF_BOTH,
    ),
    shown("side", "opacity", "On which side is the opacity?", "Which lung has the opacity?"),
    shown("side", "effusion", "On which side is the effusion?", "Which side has the effusion?"),
    shown("place", "zone", "In which zone is the opacity?", "Which zone is opaque?", of="opacity"),
    Question("place", ("Where is the opacity?", "Locate the opacity."), _where, ("opacity",)),
    Question(
        "count",
        ("How many nodules are there?", "Count the nodules in both lungs."),
        lambda a: NUMBERS[_number(a)],
        _NODULES_OF_BOTH,
    ),
    *(
        shown(
            "count",
            f"{side} nodules",
            f"How many nodules are in the {side} lung?",
            f"Count the nodules in the {side} lung.",
        )
        for side in _SIGN
    ),
    shown("size", "heart", "How large is the heart?", "What is the size of the heart?"),
    shown("colour", "density", "How dense is the opacity?", "Is it faint or dense?", of="opacity"),
    Question("type", ("Describe the opacity.", "What opacity is it?"), _described, ("opacity",)),
    Question(
        "comparison",
        ("Which lung has more nodules?", "On which side are more nodules?"),
        lambda a: more(a, _NODULES_OF_BOTH, ("right", "left")),
        _NODULES_OF_BOTH,
    ),
    Question(
        "comparison",
        ("Are opacity and effusion on the same side?", "Has one side opacity and effusion?"),
        _same_side,
        ("opacity", "effusion"),
    ),
)


def _plain(a: Attributes) -> bool:
    return (a["heart"], a["opacity"], a["effusion"]) == ("normal", "none", "none")


_RULES = (
    Rule(
        "heart failure",
        "an enlarged heart with an effusion",
        lambda a: a["heart"] == "enlarged" and a["effusion"] != "none",
        ("heart", "effusion"),
    ),
    Rule(
        "cardiomegaly",
        "an enlarged heart without an effusion",
        lambda a: a["heart"] == "enlarged" and a["effusion"] == "none",
        ("heart", "effusion"),
    ),
    Rule(
        "complicated pneumonia",
        "a normal heart with an opacity and an effusion",
        lambda a: a["heart"] == "normal" and a["opacity"] != "none" and a["effusion"] != "none",
        ("heart", "opacity", "effusion"),
    ),
    Rule(
        "simple pneumonia",
        "a normal heart with an opacity and no effusion",
        lambda a: a["heart"] == "normal" and a["opacity"] != "none" and a["effusion"] == "none",
        ("heart", "opacity", "effusion"),
    ),
    Rule(
        "pleurisy",
        "a normal heart with an effusion and no opacity",
        lambda a: a["heart"] == "normal" and a["opacity"] == "none" and a["effusion"] != "none",
        ("heart", "opacity", "effusion"),
    ),
    Rule(
        "metastases",
        "a clear film with nodules in both lungs",
        lambda a: _plain(a) and "zero" not in (a["right nodules"], a["left nodules"]),
        ("heart", "opacity", "effusion", *_NODULES_OF_BOTH),
    ),
    Rule(
        "tuberculoma",
        "a clear film with nodules in one lung",
        lambda a: (
            _plain(a) and "zero" in (a["right nodules"], a["left nodules"]) and _number(a) > 0
        ),
        ("heart", "opacity", "effusion", *_NODULES_OF_BOTH),
    ),
    Rule(
        "normal film",
        "a clear film without nodules",
        lambda a: _plain(a) and _number(a) == 0,
        ("heart", "opacity", "effusion", *_NODULES_OF_BOTH),
    ),
)

CHEST = Modality(
    name="chest",
    title="chest film",
    values={
        "opacity": ("none", "right", "left"),
        "zone": ("none", *_ZONES),
        "density": ("none", "faint", "dense"),
        "effusion": ("none", "right", "left"),
        "heart": tuple(_HEARTS),
        "right nodules": NUMBERS[:3],
        "left nodules": NUMBERS[:3],
    },
    possible=_possible,
    background=(0.06,),
    draw=_draw,
    findings=_findings,
    rules=_RULES,
    questions=_QUESTIONS,
    crossed=("right nodules", "left nodules"),
)
