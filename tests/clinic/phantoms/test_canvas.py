"""Shapes have the area that geometry gives them, at every size, wherever they are put."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medrl.clinic.phantoms.canvas import Canvas, Field


def canvas(size: int = 64, background: tuple[float, ...] = (0.0,)) -> Canvas:
    return Canvas(size, np.random.default_rng(0), background)


def area(cover: Field) -> float:
    """In units of half sides, squared: the whole picture is 4."""
    return 4 * float(cover.mean())


@pytest.mark.parametrize("size", [32, 64, 128])
def test_areas(size: int) -> None:
    c = canvas(size)
    assert area(c.cover(c.discs([(0.1, -0.2)], 0.5))) == pytest.approx(math.pi / 4, rel=0.01)
    assert area(c.cover(c.discs([(-0.5, 0), (0.5, 0)], 0.2))) == pytest.approx(
        2 * math.pi * 0.04, rel=0.02
    )
    assert area(c.cover(c.discs([], 0.5))) == 0
    ellipse = c.ellipse(0, 0, 0.6, 0.3, 0.4)
    assert area(c.cover(ellipse)) == pytest.approx(math.pi * 0.18, rel=0.03)
    # The mean of (1 + a cos kt)^2 is 1 + a^2 / 2.
    blob = c.blob(0, 0, 0.5, {5: (0.2, 1.0)})
    assert area(c.cover(blob)) == pytest.approx(math.pi / 4 * 1.02, rel=0.02)


def test_a_placed_shape_moves_grows_and_turns_clockwise() -> None:
    c = canvas()
    c.place(0.2, -0.1, math.pi / 2, 1.5)
    cover = c.cover(c.discs([(0.4, 0)], 0.1))
    assert area(cover) == pytest.approx(math.pi * 0.15**2, rel=0.03)
    rows, columns = np.nonzero(cover > 0.5)
    # To the right of the frame is down on the picture: y = -0.1 + 1.5 * 0.4.
    assert columns.mean() == pytest.approx((0.2 + 1) * 32 - 0.5, abs=0.3)
    assert rows.mean() == pytest.approx((0.5 + 1) * 32 - 0.5, abs=0.3)


def test_painting_and_finishing() -> None:
    c = canvas(32, (0.2, 0.4, 0.6))
    c.paint(0.5 * np.ones((32, 32)), (1.0, 0.0, 0.6))
    pixels = np.asarray(c.finish(0.0, 1.0, 0.0))
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels == [153, 51, 153]).all()
    noisy = canvas(128, (0.5,)).finish(0.1, 1.0, 0.05)
    noise = np.asarray(noisy, dtype=float)[:, :, 0] / 255
    assert noise.mean() == pytest.approx(0.6, abs=0.002)
    assert noise.std() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize(("background", "step"), [(0.1, 0.3), (0.9, -0.3)])
def test_a_letter_can_be_read_on_dark_and_on_light(background: float, step: float) -> None:
    c = canvas(64, (background,))
    plain = np.asarray(c.finish(0, 1, 0), dtype=float)[:, :, 0]
    c.letter("P", -1, -1)
    changed = np.asarray(c.finish(0, 1, 0), dtype=float)[:, :, 0] - plain
    marks = ["".join("#" if pixel else "." for pixel in row) for row in changed[:6, :4]]
    assert marks == ["###.", "#.#.", "###.", "#...", "#...", "...."]
    assert np.count_nonzero(changed) == 10
    assert changed[0, 0] == pytest.approx(255 * step, abs=1)


def test_clouds_are_smooth() -> None:
    cloud = canvas().cloud(5)
    assert cloud.shape == (64, 64) and 0.2 < cloud.std() < 2
    assert np.abs(np.diff(cloud, axis=0)).max() < cloud.std()
