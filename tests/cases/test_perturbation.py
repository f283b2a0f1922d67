"""Pictures that show less: what each kind does to the pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from medrl.cases.perturbation import KINDS, Kind, Perturbed, masked, perturb_case
from medrl.cases.picture import Picture
from medrl.errors import DataError
from tests.tiny import case


@dataclass(frozen=True)
class Plain(Picture):
    """One colour, or (without) a checkerboard of single pixels."""

    width: int = 40
    height: int = 30
    colour: tuple[int, int, int] | None = (128, 128, 128)

    def open(self) -> Image.Image:
        if self.colour is not None:
            return Image.new("RGB", (self.width, self.height), self.colour)
        board = np.indices((self.height, self.width)).sum(0) % 2 * 255
        return Image.fromarray(np.repeat(board[..., None], 3, 2).astype(np.uint8))

    @property
    def fingerprint(self) -> str:
        return repr(self)

    def __str__(self) -> str:
        return "a plain picture"


def pixels(picture: Picture) -> NDArray[np.float64]:
    return np.asarray(picture.open(), np.float64)


def perturbed(kind: Kind, of: Picture | None = None, **more: Any) -> Perturbed:
    if kind == "swap":
        more.setdefault("other", Plain(9, 7, (1, 2, 3)))
    return Perturbed(of or Plain(), kind, **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", [Plain(), Plain(31, 64, None)])
def test_the_same_pixels_every_time_and_the_size_is_kept(kind: Kind, of: Picture) -> None:
    first, again = perturbed(kind, of, seed=5), perturbed(kind, of, seed=5)
    assert first == again and first.fingerprint == again.fingerprint
    assert np.array_equal(pixels(first), pixels(again))
    assert first.open().mode == "RGB"
    if kind != "swap":
        assert first.open().size == of.open().size


@pytest.mark.parametrize("kind", ["noise", "mask"])
def test_seed_and_picture_change_what_is_drawn(kind: Kind) -> None:
    white, black = Plain(colour=(255, 255, 255)), Plain(colour=(0, 0, 0))
    one, other = perturbed(kind, white, seed=1), perturbed(kind, white, seed=2)
    assert not np.array_equal(pixels(one), pixels(other))
    assert one.fingerprint != other.fingerprint
    assert not np.array_equal(masked(one, 40, 30), masked(perturbed(kind, black, seed=1), 40, 30))


@pytest.mark.parametrize("deviation", [5.0, 20.0, 35.0])
def test_noise_has_the_deviation_that_is_asked_for(deviation: float) -> None:
    noise = pixels(perturbed("noise", Plain(300, 200), strength=deviation)) - 128
    # 180,000 numbers: the standard error of deviation and mean is below 0.25 % of the deviation.
    # Rounding adds 1/12 to the variance; 128 levels are more than 3.6 deviations.
    assert noise.std() == pytest.approx(np.sqrt(deviation**2 + 1 / 12), rel=0.01)
    assert abs(noise.mean()) < 0.01 * deviation
    red, green = noise[..., 0].ravel(), noise[..., 1].ravel()
    assert abs(np.corrcoef(red, green)[0, 1]) < 0.02  # each channel has its own


def test_noise_is_cut_off_not_wrapped_around() -> None:
    assert pixels(perturbed("noise", Plain(colour=(255, 255, 255)), strength=30.0)).min() > 60


def test_blur_smooths_and_keeps_the_mean() -> None:
    board = Plain(64, 64, None)
    blurred = pixels(perturbed("blur", board, strength=0.05))
    assert blurred.std() < 0.05 * pixels(board).std()
    assert blurred.mean() == pytest.approx(pixels(board).mean(), abs=1.0)
    one_colour = pixels(perturbed("blur", Plain(colour=(7, 8, 9))))
    assert np.array_equal(one_colour, pixels(Plain(colour=(7, 8, 9))))


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(2, 90),
    height=st.integers(1, 90),
    seed=st.integers(0, 10**6),
    strength=st.none() | st.floats(0.4, 0.8),
)
def test_a_mask_hides_between_two_and_four_fifths(
    width: int, height: int, seed: int, strength: float | None
) -> None:
    picture = perturbed("mask", Plain(width, height, None), seed=seed, strength=strength)
    hidden_HW = masked(picture, width, height)
    assert 0.4 <= hidden_HW.mean() <= 0.8
    if strength is not None:
        patch = max(1, min(width, height) // 8) ** 2 / (width * height)
        assert abs(hidden_HW.mean() - strength) <= patch + 1e-9
    shown = pixels(picture)
    # A checkerboard has only 0 and 255, so that what is grey is masked, and nothing else is.
    assert np.array_equal((shown == 128).all(-1), hidden_HW)
    assert np.array_equal(shown[~hidden_HW], pixels(picture.of)[~hidden_HW])


def test_the_share_that_is_hidden_is_drawn_over_the_whole_range() -> None:
    shares = [masked(perturbed("mask", seed=s), 64, 64).mean() for s in range(300)]
    assert min(shares) < 0.42 and max(shares) > 0.78
    assert np.mean(shares) == pytest.approx(0.6, abs=0.02)


def test_grey_shows_nothing() -> None:
    assert pixels(perturbed("grey", Plain(20, 30, None))).var() == 0


def test_a_swap_is_the_other_picture() -> None:
    other = Plain(9, 7, None)
    assert np.array_equal(pixels(perturbed("swap", other=other)), pixels(other))


@pytest.mark.parametrize(
    ("more", "blamed"),
    [
        ({"kind": "sepia"}, "not known"),
        ({"kind": "swap"}, "another picture"),
        ({"kind": "grey", "other": Plain()}, "another picture"),
        ({"kind": "mask", "strength": 0.9}, "strength 0.9"),
        ({"kind": "mask", "strength": 0.39}, "strength 0.39"),
        ({"kind": "noise", "strength": 0.0}, "strength 0"),
        ({"kind": "blur", "strength": -1.0}, "strength -1"),
        ({"kind": "grey", "strength": 1.0}, "strength 1"),
        ({"kind": "noise", "strength": float("nan")}, "strength nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(more: dict[str, Any], blamed: str) -> None:
    with pytest.raises(DataError, match=blamed):
        Perturbed(Plain(), **more)


def test_a_case_with_all_its_pictures() -> None:
    seen = replace(case(), images=(Plain(colour=(1, 1, 1)), Plain(colour=(2, 2, 2))))
    found = perturb_case(seen, "noise", seed=4)
    assert found == replace(
        seen, images=tuple(Perturbed(picture, "noise", 4) for picture in seen.images)
    )
    first, second = (pixels(picture) for picture in found.images)
    assert not np.array_equal(first - 1, second - 2)  # each has noise of its own


def test_a_case_with_the_pictures_of_another() -> None:
    seen = replace(case(), images=(Plain(), Plain(5, 5)))
    other = replace(case(name="other"), images=(Plain(3, 3),))
    found = perturb_case(seen, "swap", seed=4, other=other)
    assert [picture.open().size for picture in found.images] == [(3, 3), (3, 3)]
    assert (found.id, found.question, found.reference) == (seen.id, seen.question, seen.reference)


def test_cases_that_cannot_be_perturbed_are_named() -> None:
    seen = replace(case(name="seen"), images=(Plain(),))
    with pytest.raises(DataError, match=r"toy \(case blind\) has no picture"):
        perturb_case(case(name="blind"), "grey", 0)
    for other in (seen, case(name="blind")):
        with pytest.raises(DataError, match="cannot be swapped"):
            perturb_case(seen, "swap", 0, other)
    with pytest.raises(DataError, match="another picture is for swap"):
        perturb_case(seen, "swap", 0)
