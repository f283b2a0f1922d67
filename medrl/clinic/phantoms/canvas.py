"""What phantoms are drawn with: shapes as signed distances on a grid, painted with soft edges.

Everything is measured in half picture sides: x runs from -1 (left) to 1 (right), y from -1 (top) to
1 (bottom), whatever the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]
"""One number per pixel, (size, size), in single precision."""
Colour = tuple[float, ...]
"""Red, green and blue, 0 to 1; or one number, the same in all channels."""

_LETTERS = {
    "P": ("###", "#.#", "###", "#..", "#.."),
    "R": ("###", "#.#", "##.", "#.#", "#.#"),
}
_MARK = 2 / 64
"""Letters are five pixels high in a picture of 64, and larger in a larger one."""


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Field, Field]:
    centres = ((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1).astype(np.float32)
    x, y = np.meshgrid(centres, centres)
    return x, y


@lru_cache(maxsize=32)
def _interpolation(coarse: int, size: int) -> Field:
    """Linear interpolation from ``coarse`` to ``size`` points, as a matrix (size, coarse)."""
    place = (np.arange(size) + 0.5) / size * (coarse - 1)
    weights: Field = np.maximum(1 - np.abs(place[:, None] - np.arange(coarse)), 0)
    return weights.astype(np.float32)


@lru_cache(maxsize=32)
def _letter(name: str, x: float, y: float, size: int) -> NDArray[np.bool_]:
    """The pixels of a letter whose upper left corner is at (x, y)."""
    marks = np.array([[mark == "#" for mark in row] for row in _LETTERS[name]])
    u, v = _grid(size)
    column = np.floor((u - x) / _MARK).astype(int)
    row = np.floor((v - y) / _MARK).astype(int)
    inside = (row >= 0) & (row < len(marks)) & (column >= 0) & (column < marks.shape[1])
    found: NDArray[np.bool_] = inside & marks[row.clip(0, 4), column.clip(0, 2)]
    return found


class Canvas:
    """A square picture that is being drawn.

    Args:
        size: pixels per side.
        rng: where textures and noise come from.
        background: colour of the whole picture at first; one number for a picture in grey.
    """

    def __init__(self, size: int, rng: np.random.Generator, background: Colour) -> None:
        self.size = size
        self.rng = rng
        self.x, self.y = _grid(size)
        self._edge = 2 / size
        self._image = np.empty((size, size, len(background)), dtype=np.float32)
        self._image[:] = background

    # ---- where things are ---------------------------------------------------------------------

    def place(self, x: float, y: float, angle: float, scale: float) -> None:
        """Draw from now on in a frame whose origin is at (x, y), turned clockwise by ``angle``
        (radians) and ``scale`` times as large."""
        u, v = _grid(self.size)
        cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
        u, v = u - x, v - y
        self.x, self.y = cos * u + sin * v, cos * v - sin * u
        self._edge = 2 / self.size / scale

    # ---- shapes: distance to the outline, negative inside -------------------------------------

    def discs(self, centres: Sequence[tuple[float, float]], radius: float) -> Field:
        """Circles of one size: one, several or none."""
        nearest = np.full_like(self.x, 4)
        for x, y in centres:
            np.minimum(nearest, np.hypot(self.x - x, self.y - y), out=nearest)
        return nearest - radius

    def ellipse(self, x: float, y: float, width: float, height: float, angle: float = 0) -> Field:
        """An ellipse with half axes ``width`` and ``height``, turned clockwise by ``angle``; the
        distance is exact on the outline and roughly right elsewhere."""
        u, v = self.x - x, self.y - y
        if angle:
            cos, sin = math.cos(angle), math.sin(angle)
            u, v = cos * u + sin * v, cos * v - sin * u
        radius: Field = np.hypot(u / width, v / height)
        return (radius - 1) * min(width, height)

    def blob(
        self, x: float, y: float, radius: float, waves: dict[int, tuple[float, float]]
    ) -> Field:
        """A circle whose radius swings: number of waves -> relative amplitude and phase."""
        u, v = self.x - x, self.y - y
        angle = np.arctan2(v, u)
        distance: Field = np.hypot(u, v) - radius
        for count, (amplitude, phase) in waves.items():
            distance -= radius * amplitude * np.cos(count * angle + phase)
        return distance

    def cloud(self, coarse: int) -> Field:
        """Smooth random numbers of about unit size, with ``coarse`` knots per side."""
        knots = self.rng.standard_normal((coarse, coarse), dtype=np.float32)
        matrix = _interpolation(coarse, self.size)
        smooth: Field = matrix @ knots @ matrix.T
        return smooth

    # ---- painting -----------------------------------------------------------------------------

    def cover(self, distance: Field, soft: float = 0.0) -> Field:
        """Share of each pixel inside a shape, 0 to 1; ``soft`` is the width of its edge, at least
        a pixel."""
        share: Field = np.clip(0.5 - distance / max(soft, self._edge), 0, 1)
        return share

    def paint(self, cover: Field, colour: Colour) -> None:
        """Lay ``colour`` over the picture where ``cover`` says."""
        self._image += cover[:, :, None] * (np.array(colour, dtype=np.float32) - self._image)

    def light(self, change: Field) -> None:
        """Make each pixel lighter (or, below 0, darker) by the same in all channels."""
        self._image += change[:, :, None]

    def letter(self, name: str, x: float, y: float) -> None:
        """A small letter with its upper left corner at (x, y) of the whole picture, lighter than
        what it stands on, or darker where that is light already."""
        mask = _letter(name, x, y, self.size)
        under = self._image[mask]
        light = under.mean(axis=1, keepdims=True) > 0.6
        self._image[mask] = under + np.where(light, -0.3, 0.3)

    def finish(self, brightness: float, contrast: float, noise: float) -> Image.Image:
        """The picture as it comes out of the machine.

        Args:
            brightness: added to all pixels.
            contrast: by which differences from mid-grey are multiplied.
            noise: standard deviation of noise in each pixel, the same in all channels.
        """
        grain = self.rng.standard_normal((self.size, self.size), dtype=np.float32)
        image = (self._image - 0.5) * contrast + (0.5 + brightness) + noise * grain[:, :, None]
        pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
        return Image.fromarray(np.broadcast_to(pixels, (self.size, self.size, 3)))
