"""Pictures for tests."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from medrl.cases.picture import Picture


@dataclass(frozen=True)
class Shown(Picture):
    """A picture that is at hand."""

    image: Image.Image
    name: str

    def open(self) -> Image.Image:
        return self.image.copy()

    @property
    def fingerprint(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name
