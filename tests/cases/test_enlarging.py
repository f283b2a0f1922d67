"""Small pictures made larger."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from medrl.cases.enlarging import Enlarged, enlarge
from tests.tiny import case
from tests.vision.pictures import Shown


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [((28, 28), 64, (64, 64)), ((20, 30), 64, (64, 96)), ((64, 100), 64, (64, 100))],
)
def test_the_shorter_side_is_brought_to_the_size_and_nothing_shrinks(
    size: tuple[int, int], side: int, wanted: tuple[int, int]
) -> None:
    assert Enlarged(Shown(Image.new("RGB", size), "x"), side).open().size == wanted


def test_what_is_seen_stays_the_same() -> None:
    """Halves of black and white stay where they are, and an even grey stays even."""
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, 4:] = 255
    large = np.asarray(Enlarged(Shown(Image.fromarray(halves), "x"), 32).open())
    assert large[:, :12].max() <= 16 and large[:, 20:].min() >= 239
    grey = Shown(Image.new("RGB", (8, 8), (90, 90, 90)), "x")
    assert Enlarged(grey, 32).open().getextrema() == ((90, 90),) * 3


def test_sizes_are_told_apart_and_messages_name_the_picture() -> None:
    small = Shown(Image.new("RGB", (8, 8)), "film.png")
    [one] = enlarge([replace(case(), images=(small, small))], 32)
    assert [str(picture) for picture in one.images] == ["film.png"] * 2
    assert len({small.fingerprint, *(Enlarged(small, n).fingerprint for n in (32, 64))}) == 3
