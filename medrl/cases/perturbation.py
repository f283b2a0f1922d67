"""Pictures that show less than they did: what a model still knows with them, it did not see.

CAPO compares answers to a picture with answers to a perturbed one. Its own perturbation is not
known; the five here and their strengths are ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import model_validator

from medrl.cases.case import Case
from medrl.cases.picture import Picture
from medrl.errors import DataError
from medrl.part import Part

Kind = Literal["noise", "blur", "mask", "grey", "swap"]
KINDS: tuple[Kind, ...] = get_args(Kind)

GREY = 128
"""Of 255, in every channel: what hides a picture or a part of it."""
MASKED = (0.4, 0.8)
"""Least and greatest share of the area that a mask hides."""
STRENGTHS = {"noise": 64.0, "blur": 0.05}
"""Where none is given: standard deviation in grey levels, radius as a share of the shorter side."""
RANGES = {"mask": MASKED, "noise": (1e-6, np.inf), "blur": (1e-6, np.inf)}
STRENGTH_RULE = "noise and blur take one above 0, mask one from 0.4 to 0.8, grey and swap none"
_PATCHES = 8
"""Patches along the shorter side."""


@dataclass(frozen=True)
class Perturbed(Picture):
    """A picture, perturbed. The same picture, kind, seed and strength give the same pixels.

    Attributes:
        of: the picture itself; ``swap`` shows ``other`` in its place, in its own size. The other
            kinds keep the size.
        kind: ``noise``: normal noise added to each channel of each pixel; ``blur``: Gaussian;
            ``mask``: square patches turned grey; ``grey``: nothing but grey.
        strength: of ``noise`` the standard deviation in grey levels, above 0 (before values are cut
            off at 0 and 255); of ``blur`` the radius as a share of the shorter side, above 0; of
            ``mask`` the share of the area that is hidden at least, in [0.4, 0.8], none: drawn.
    """

    of: Picture
    kind: Kind
    seed: int = 0
    strength: float | None = None
    other: Picture | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            DataError: an unknown kind, a strength out of range, a swap without another picture.
        """
        if self.kind not in KINDS:
            raise DataError(
                f"perturbation {self.kind!r} is not known", f"use one of {', '.join(KINDS)}"
            )
        if (self.kind == "swap") != (self.other is not None):
            raise DataError(
                f"perturbation {self.kind} of {self.of}: another picture is for swap, and only "
                "for swap",
                "give other with kind swap, and with no other kind",
            )
        low, high = RANGES.get(self.kind, (np.inf, -np.inf))
        if self.strength is not None and not low <= self.strength <= high:
            raise DataError(
                f"perturbation {self.kind} of {self.of} has strength {self.strength:g}",
                STRENGTH_RULE,
            )

    def open(self) -> Image.Image:
        """See :class:`medrl.cases.picture.Picture`."""
        if self.other is not None:
            return self.other.open()
        return _DRAW[self.kind](self, self.of.open())

    @property
    def fingerprint(self) -> str:
        """See :class:`medrl.cases.picture.Picture`."""
        other = self.other.fingerprint if self.other else ""
        return f"{self.kind} {self.seed} {self.strength} {other}({self.of.fingerprint})"

    def __str__(self) -> str:
        return f"{self.of} ({self.kind})"

    def generator(self) -> np.random.Generator:
        """Random numbers of this picture alone."""
        place = hashlib.sha256(f"{self.seed}\0{self.kind}\0{self.of.fingerprint}".encode())
        return np.random.default_rng(int.from_bytes(place.digest()[:8], "big"))


def _noise(how: Perturbed, picture: Image.Image) -> Image.Image:
    pixels_HWC = np.asarray(picture, np.float64)
    deviation = how.strength or STRENGTHS["noise"]
    noisy_HWC = pixels_HWC + how.generator().normal(0, deviation, pixels_HWC.shape)
    return Image.fromarray(noisy_HWC.round().clip(0, 255).astype(np.uint8))


def _blur(how: Perturbed, picture: Image.Image) -> Image.Image:
    radius = (how.strength or STRENGTHS["blur"]) * min(picture.size)
    return picture.filter(ImageFilter.GaussianBlur(radius))


def _mask(how: Perturbed, picture: Image.Image) -> Image.Image:
    pixels_HWC = np.array(picture)
    pixels_HWC[masked(how, *picture.size)] = GREY
    return Image.fromarray(pixels_HWC)


def masked(how: Perturbed, width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels [H, W] a mask hides. At least the share asked for and at most one patch more,
    but never more than 0.8, unless the picture is a single pixel."""
    side = max(1, min(width, height) // _PATCHES)
    rng = how.generator()
    low, high = MASKED
    most = max(low, high - side * side / (width * height))
    share = rng.uniform(low, most) if how.strength is None else min(how.strength, most)
    corners = [(y, x) for y in range(0, height, side) for x in range(0, width, side)]
    hidden_HW = np.zeros((height, width), bool)
    area = 0
    for i in rng.permutation(len(corners)):
        if area >= share * width * height:
            break
        y, x = corners[i]
        patch = hidden_HW[y : y + side, x : x + side]
        patch[:] = True
        area += patch.size
    return hidden_HW


def _grey(how: Perturbed, picture: Image.Image) -> Image.Image:
    return Image.new("RGB", picture.size, (GREY, GREY, GREY))


_DRAW: dict[str, Callable[[Perturbed, Image.Image], Image.Image]] = {
    "noise": _noise,
    "blur": _blur,
    "mask": _mask,
    "grey": _grey,
}


def perturb_case(
    case: Case, kind: Kind, seed: int, other: Case | None = None, strength: float | None = None
) -> Case:
    """The same case with all its pictures perturbed.

    Args:
        other: of ``swap``: the case whose pictures are shown, in order and over again if it has
            fewer.

    Raises:
        DataError: there are no pictures, or a swap with a case that has none or is the case
            itself; and see :class:`Perturbed`.
    """
    if not case.images:
        raise DataError(
            f"{case.source} (case {case.id}) has no picture to perturb",
            "leave cases without pictures out, or ask for no perturbation",
        )
    if other is not None and (not other.images or other.id == case.id):
        raise DataError(
            f"the pictures of {case.source} (case {case.id}) cannot be swapped with those of "
            f"case {other.id}",
            "give another case with pictures",
        )
    images = tuple(
        Perturbed(
            picture, kind, seed, strength, other.images[i % len(other.images)] if other else None
        )
        for i, picture in enumerate(case.images)
    )
    return replace(case, images=images)


class PerturbationSpec(Part):
    """How the pictures of cases are perturbed; strengths as in :class:`Perturbed`."""

    kind: Kind
    strength: float | None = None
    """None: our default of the kind."""

    @model_validator(mode="after")
    def _can_be_drawn(self) -> PerturbationSpec:
        low, high = RANGES.get(self.kind, (np.inf, -np.inf))
        if self.strength is not None and not low <= self.strength <= high:
            raise ValueError(f"strength {self.strength:g} is out of range; {STRENGTH_RULE}")
        return self

    def twins(self, cases: Sequence[Case], seed: int) -> list[Case]:
        """Each case with its pictures perturbed; ``swap`` shows those of the nearest later case
        (around the end) that has others.

        Raises:
            DataError: see :func:`perturb_case`; also a swap where all cases show the same.
        """
        return [
            perturb_case(case, self.kind, seed, self._other(cases, i), self.strength)
            for i, case in enumerate(cases)
        ]

    def _other(self, cases: Sequence[Case], i: int) -> Case | None:
        if self.kind != "swap":
            return None
        shown = [picture.fingerprint for picture in cases[i].images]
        for other in (*cases[i + 1 :], *cases[:i]):
            if other.images and [p.fingerprint for p in other.images] != shown:
                return other
        raise DataError(
            f"{cases[i].source} (case {cases[i].id}): no other pictures to swap with",
            "give more cases at a time, or another kind of perturbation",
        )
