"""Small pictures made larger, so that a model has as many tokens to look at as it is used to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from medrl.cases.case import Case
from medrl.cases.picture import Picture


@dataclass(frozen=True)
class Enlarged(Picture):
    """A picture whose shorter side has ``side`` pixels or more; nothing is made smaller.

    Bicubic, the shape kept. It shows nothing that the small picture does not.
    """

    of: Picture
    side: int

    def open(self) -> Image.Image:
        """See :class:`medrl.cases.picture.Picture`."""
        picture = self.of.open()
        times = self.side / min(picture.size)
        if times <= 1:
            return picture
        width, height = (round(times * length) for length in picture.size)
        return picture.resize((width, height), Image.Resampling.BICUBIC)

    @property
    def fingerprint(self) -> str:
        """See :class:`medrl.cases.picture.Picture`."""
        return f"enlarged {self.side} ({self.of.fingerprint})"

    def __str__(self) -> str:
        return str(self.of)


def enlarge(cases: Sequence[Case], side: int) -> list[Case]:
    """The cases with all their pictures enlarged to ``side`` pixels a side at least."""
    return [replace(c, images=tuple(Enlarged(p, side) for p in c.images)) for c in cases]
