"""A phantom: a picture that is drawn, with attributes that are known."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medrl.cases.picture import Picture
from medrl.clinic.phantoms.brain import BRAIN
from medrl.clinic.phantoms.canvas import Canvas
from medrl.clinic.phantoms.chest import CHEST
from medrl.clinic.phantoms.fundus import FUNDUS
from medrl.clinic.phantoms.lesion import LESION
from medrl.clinic.phantoms.modality import Modality
from medrl.errors import DataError

MODALITIES: dict[str, Modality] = {m.name: m for m in (LESION, CHEST, BRAIN, FUNDUS)}
NOTICE = "phantom: drawn by medrl, no patient"
"""Stands in every PNG file of a phantom, under the key ``Comment``."""
SIZE = 64
"""Pixels per side, unless something else is asked for."""


@dataclass(frozen=True, slots=True)
class Phantom(Picture):
    """One drawn picture. The same fields give the same picture, bit for bit.

    Attributes:
        modality: a key of ``MODALITIES``.
        values: of the attributes, in the order of ``Modality.values``.
        seed: decides everything that is no attribute: position, tilt, anatomy, light, noise. Two
            pictures of one seed differ only in what their attributes say.
        size: pixels per side, a multiple of 8 from 32.

    Raises:
        DataError: unknown modality, attributes that it has not or that exclude each other, or such
            a size cannot be drawn.
    """

    modality: str
    values: tuple[str, ...]
    seed: int
    size: int = SIZE

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise DataError(f"no phantom {self.modality!r}", f"known: {', '.join(MODALITIES)}")
        known = MODALITIES[self.modality].values
        fits = len(self.values) == len(known) and all(
            value in possible for value, possible in zip(self.values, known.values(), strict=True)
        )
        if not fits or not MODALITIES[self.modality].possible(self.attributes):
            raise DataError(
                f"no {self.modality} phantom can show {', '.join(self.values)}",
                f"give one value each of {', '.join(known)}, as in Modality.values",
            )
        if self.size < 32 or self.size % 8:
            raise DataError(f"a phantom of {self.size} pixels", "use a multiple of 8 from 32")

    @property
    def attributes(self) -> dict[str, str]:
        """What is to be seen, attribute -> value."""
        return dict(zip(MODALITIES[self.modality].values, self.values, strict=True))

    def open(self) -> Image.Image:
        """See :meth:`medrl.cases.picture.Picture.open`; takes about a millisecond."""
        modality = MODALITIES[self.modality]
        rng = np.random.default_rng([zlib.crc32(self.modality.encode()), self.seed])
        light, contrast, noise = rng.uniform(-1, 1, 3)
        canvas = Canvas(self.size, rng, modality.background)
        modality.draw(canvas, self.attributes, rng)
        canvas.letter("P", 0.86, 0.82)
        return canvas.finish(0.04 * light, 1 + 0.10 * contrast, 0.025 + 0.012 * noise)

    @property
    def fingerprint(self) -> str:
        """See :attr:`medrl.cases.picture.Picture.fingerprint`."""
        return f"phantom:{self.modality}:{'/'.join(self.values)}:{self.seed}:{self.size}"

    def __str__(self) -> str:
        return f"{self.modality} phantom {self.seed} ({', '.join(self.values)})"


def phantom(modality: str, attributes: Mapping[str, str], seed: int, size: int = SIZE) -> Phantom:
    """The phantom with these attributes, by name.

    Raises:
        DataError: see :class:`Phantom`.
    """
    names = MODALITIES[modality].values if modality in MODALITIES else ()
    return Phantom(modality, tuple(attributes.get(name, "?") for name in names), seed, size)


def png_bytes(picture: Phantom) -> bytes:
    """The picture as a PNG file that says, in its metadata, that it shows no patient."""
    info = PngInfo()
    info.add_text("Comment", NOTICE)
    info.add_text("Description", picture.fingerprint)
    buffer = io.BytesIO()
    picture.open().save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def save(picture: Phantom, path: Path) -> None:
    """Write ``png_bytes`` to a file."""
    path.write_bytes(png_bytes(picture))
