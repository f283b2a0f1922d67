"""Brain slices, seen from below as radiologists look at them: the patient's right is on the left of
the picture, the forehead at the top.
"""

from __future__ import annotations

import math

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
    present,
    shown,
    total,
)

_SIGN = {"right": -1.0, "left": 1.0}
"""The half of the picture in which a side of the patient lies."""
_OTHER = {"right": "left", "left": "right"}
_LOBES = {"frontal": (0.31, -0.46), "temporal": (0.45, 0.02), "occipital": (0.31, 0.46)}
"""Distance from the midline and height of a mass."""
_RADII = {"small": 0.12, "medium": 0.18, "large": 0.27}
_LEVELS = {"bright": 0.97, "dark": 0.12}
_SPOTS = ((0.30, -0.62), (0.30, 0.62), (0.57, -0.30), (0.57, 0.30), (0.24, -0.34), (0.24, 0.36))
"""Places for spots in each half: distance from the midline, height."""
_MASS = ("mass", "side", "lobe", "size", "intensity")
_TISSUE = 0.50


def _possible(a: Attributes) -> bool:
    there = [a[name] != "none" for name in _MASS]
    return all(there) or (not any(there) and a["shift"] == "none")


def _draw(canvas: Canvas, a: Attributes, rng: np.random.Generator) -> None:
    x, y, turn, scale, width, folds, phase = rng.uniform(-1, 1, 7).tolist()
    moved = rng.uniform(-0.03, 0.03, (5, 2)).tolist()
    order = rng.permutation(2 * len(_SPOTS)).tolist()
    texture, matter = canvas.cloud(8), canvas.cloud(16)

    canvas.letter("R", -0.94, -0.94)
    canvas.place(0.05 * x, 0.04 * y, 0.10 * turn, 1 + 0.05 * scale)
    half = 0.74 + 0.03 * width
    head = canvas.ellipse(0, 0, half + 0.13, 0.93)
    canvas.paint(canvas.cover(head), (0.72,))
    canvas.paint(canvas.cover(head + 0.05), (0.08,))
    brain = canvas.ellipse(0, 0, half, 0.82)
    inside = canvas.cover(brain)
    canvas.paint(inside, (_TISSUE,))
    angle = np.arctan2(canvas.y, canvas.x)
    rim = canvas.cover(np.abs(brain + 0.06) - 0.05, 0.05) * inside
    furrows = np.cos((22 + round(3 * folds)) * angle + 3 * phase)
    canvas.light(rim * (0.05 - 0.10 * np.clip(furrows, 0, 1)))
    canvas.light(inside * (0.015 * texture + 0.015 * matter))

    push = 0.17 * _SIGN[_OTHER[a["side"]]] if a["shift"] == "present" else 0.0
    bent = canvas.x - push * np.exp(-((canvas.y / 0.45) ** 2))
    falx = canvas.cover(np.abs(bent) - 0.018, 0.03)
    canvas.paint(0.8 * inside * falx, (0.10,))
    straight, canvas.x = canvas.x, bent
    for side, sign in _SIGN.items():
        grown = 1.75 if a["ventricles"] == f"larger {side}" else 1.0
        for height, tilt in ((-0.15, 0.35), (0.17, -0.45)):
            horn = canvas.ellipse(
                sign * (0.07 + 0.05 * grown), height, 0.052 * grown, 0.20, sign * tilt
            )
            canvas.paint(canvas.cover(horn), (0.07,))
    canvas.x = straight
    _spots(canvas, a, [(("right", "left")[i % 2], i // 2) for i in order], moved[1:])
    if a["mass"] != "none":
        _mass(canvas, a, moved[0], inside)


def _mass(canvas: Canvas, a: Attributes, moved: list[float], inside: Field) -> None:
    (across, height), radius = _LOBES[a["lobe"]], _RADII[a["size"]]
    across = min(across, 0.74 - radius) if a["lobe"] == "temporal" else across
    mass = canvas.discs([(_SIGN[a["side"]] * across + moved[0], height + moved[1])], radius)
    level = (_LEVELS[a["intensity"]],)
    if a["mass"] == "ring":
        wall = max(0.055, 0.28 * radius)
        canvas.paint(canvas.cover(mass) * inside, level)
        canvas.paint(canvas.cover(mass + wall) * inside, (_TISSUE,))
    else:
        canvas.paint(canvas.cover(mass) * inside, level)


def _spots(
    canvas: Canvas, a: Attributes, slots: list[tuple[str, int]], moved: list[list[float]]
) -> None:
    """In the first of ``slots`` that are clear of the mass."""
    places = [(_SIGN[side] * _SPOTS[spot][0], _SPOTS[spot][1]) for side, spot in slots]
    if a["mass"] != "none":
        x, y = _LOBES[a["lobe"]]
        x, room = _SIGN[a["side"]] * x, _RADII[a["size"]] + 0.14
        places = [p for p in places if math.hypot(p[0] - x, p[1] - y) > room]
    places = places[: NUMBERS.index(a["spots"])]
    centres = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(places, moved, strict=False)]
    canvas.paint(canvas.cover(canvas.discs(centres, 0.065)), (0.92,))


def _described(a: Attributes) -> str | None:
    return None if a["mass"] == "none" else f"{a['size']} {a['intensity']} {a['mass']} mass"


def _where(a: Attributes) -> str | None:
    return None if a["mass"] == "none" else f"{a['side']} {a['lobe']} lobe"


def _away(a: Attributes) -> str | None:
    return None if a["shift"] == "none" else _OTHER[a["side"]]


def _larger(a: Attributes) -> str:
    return a["ventricles"].removeprefix("larger ")


def _findings(a: Attributes) -> dict[str, str]:
    ventricles = (
        "equal ventricles" if a["ventricles"] == "equal" else f"a larger {_larger(a)} ventricle"
    )
    shift = "no midline shift"
    return {
        "mass": "no mass" if a["mass"] == "none" else f"a {_described(a)} in the {_where(a)}",
        "shift": shift if a["shift"] == "none" else f"a midline shift to the {_away(a)}",
        "ventricles": ventricles,
        "spots": counted(a["spots"], "white spot"),
    }


_QUESTIONS = (
    present("mass", "Is there a mass?", "Does the brain show a mass?"),
    present("shift", "Is there a midline shift?", "Is the midline shifted?"),
    Question(
        "presence",
        ("Are there white spots?", "Do you see any white spots?"),
        lambda a: YES_NO[0 if total(a, "spots") else 1],
        ("spots",),
    ),
    shown("side", "side", "On which side is the mass?", "Which half has the mass?", of="mass"),
    Question(
        "side",
        ("To which side is the midline shifted?", "Where does the midline shift to?"),
        _away,
        ("shift",),
    ),
    shown("place", "lobe", "Which lobe has the mass?", "In which lobe is the mass?", of="mass"),
    Question("place", ("Where is the mass?", "Locate the mass."), _where, ("mass",)),
    shown("count", "spots", "How many white spots are there?", "Count the white spots."),
    shown("size", "size", "How large is the mass?", "What is the size of the mass?", of="mass"),
    shown("colour", "intensity", "Is the mass bright or dark?", "How bright is it?", of="mass"),
    shown("type", "mass", "What type of mass is it?", "Is the mass solid or a ring?"),
    Question("type", ("Describe the mass.", "What mass do you see?"), _described, ("mass",)),
    Question(
        "comparison",
        ("Which ventricle is larger?", "Which of the ventricles is wider?"),
        _larger,
        ("ventricles",),
    ),
    Question(
        "comparison",
        (
            "Is the mass on the side of the larger ventricle?",
            "Are mass and larger ventricle on one side?",
        ),
        lambda a: (
            None
            if a["mass"] == "none" or a["ventricles"] == "equal"
            else YES_NO[0 if a["side"] == _larger(a) else 1]
        ),
        ("mass", "ventricles"),
    ),
)

_RULES = (
    Rule(
        "abscess",
        "a ring mass with a midline shift",
        lambda a: a["mass"] == "ring" and a["shift"] == "present",
        ("mass", "shift"),
    ),
    Rule(
        "cyst",
        "a ring mass without a midline shift",
        lambda a: a["mass"] == "ring" and a["shift"] == "none",
        ("mass", "shift"),
    ),
    Rule(
        "tumour",
        "a solid mass with a midline shift",
        lambda a: a["mass"] == "solid" and a["shift"] == "present",
        ("mass", "shift"),
    ),
    Rule(
        "haemorrhage",
        "a bright solid mass without a midline shift",
        lambda a: a["mass"] == "solid" and a["shift"] == "none" and a["intensity"] == "bright",
        ("mass", "shift"),
    ),
    Rule(
        "infarct",
        "a dark solid mass without a midline shift",
        lambda a: a["mass"] == "solid" and a["shift"] == "none" and a["intensity"] == "dark",
        ("mass", "shift"),
    ),
    Rule(
        "small vessel disease",
        "two or more white spots without a mass",
        lambda a: a["mass"] == "none" and total(a, "spots") >= 2,
        ("mass", "spots"),
    ),
    Rule(
        "normal slice",
        "a brain without a mass and with fewer than two white spots",
        lambda a: a["mass"] == "none" and total(a, "spots") < 2,
        ("mass", "spots"),
    ),
)

BRAIN = Modality(
    name="brain",
    title="brain slice",
    values={
        "mass": ("none", "solid", "ring"),
        "side": ("none", *_SIGN),
        "lobe": ("none", *_LOBES),
        "size": ("none", *_RADII),
        "intensity": ("none", *_LEVELS),
        "shift": ("none", "present"),
        "ventricles": ("equal", "larger right", "larger left"),
        "spots": NUMBERS[:4],
    },
    possible=_possible,
    background=(0.02,),
    draw=_draw,
    findings=_findings,
    rules=_RULES,
    questions=_QUESTIONS,
    crossed=("lobe", "size"),
)
