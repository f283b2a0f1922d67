"""Running scales of rewards, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrl.learning.reward_scale import RunningScale


def test_the_first_rewards_are_the_first_average() -> None:
    scale = RunningScale()
    scale.update("closed", [0.0, 1.0, 1.0, 0.0])
    assert (scale.mean("closed"), scale.deviation("closed")) == (0.5, 0.5)


def test_averages_move_by_hand() -> None:
    scale = RunningScale(decay=0.75)
    scale.update("open", [0.2, 0.4])  # mean 0.3, mean square 0.1
    scale.update("open", [0.8])  # mean 0.8, mean square 0.64
    scale.update("open", [])
    mean, square = 0.75 * 0.3 + 0.25 * 0.8, 0.75 * 0.1 + 0.25 * 0.64
    assert scale.mean("open") == pytest.approx(mean)
    assert scale.deviation("open") == pytest.approx(math.sqrt(square - mean**2))


def test_rescaling_by_hand() -> None:
    scale = RunningScale()
    scale.update("closed", [0.0, 0.0, 0.0, 1.0])  # mean 1/4, deviation sqrt(3)/4
    scale.update("open", [0.5, 0.7])  # mean 0.6, deviation 0.1
    wanted = [0.25 - math.sqrt(3) / 4, 0.25, 0.25 + math.sqrt(3) / 2]
    assert scale.rescale("open", [0.5, 0.6, 0.8]) == pytest.approx(wanted)
    assert scale.rescale("closed", [0.0, 1.0]) == [0.0, 1.0]


def test_nothing_is_rescaled_before_both_deviate() -> None:
    scale = RunningScale()
    assert scale.rescale("open", [0.3]) == [0.3]
    scale.update("open", [0.3, 0.5])
    assert scale.rescale("open", [0.3]) == [0.3]  # nothing closed was seen
    scale.update("closed", [1.0, 1.0])
    assert scale.rescale("open", [0.3]) == [0.3]  # what was seen is all the same
    scale.update("closed", [0.0])
    assert scale.rescale("open", [0.3]) != [0.3]
    scale.update("flat", [0.7, 0.7])
    assert scale.rescale("flat", [0.3]) == [0.3]


def test_a_decay_of_one_would_never_learn() -> None:
    with pytest.raises(ValueError, match="decay is 1"):
        RunningScale(decay=1.0)


rewards = st.lists(st.floats(-2, 2), min_size=1, max_size=8)
steps = st.lists(st.tuples(st.sampled_from(["open", "closed"]), rewards), max_size=12)


@given(steps, steps, rewards)
def test_a_resumed_scale_goes_on_bit_for_bit(
    before: list[tuple[str, list[float]]], after: list[tuple[str, list[float]]], new: list[float]
) -> None:
    whole, resumed = RunningScale(), RunningScale()
    killed = RunningScale()
    for kind, values in before:
        whole.update(kind, values)
        killed.update(kind, values)
    resumed.restore(killed.tensors())
    for kind, values in after:
        whole.update(kind, values)
        resumed.update(kind, values)
    mine, theirs = resumed.tensors(), whole.tensors()
    assert mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)
    assert resumed.rescale("open", new) == whole.rescale("open", new)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda v: max(v) - min(v) > 0.01),
    st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=9).filter(lambda v: len(set(v)) > 1),
)
def test_what_was_rescaled_has_the_mean_and_deviation_of_the_reference(
    opened: list[float], closed: list[float]
) -> None:
    scale, check = RunningScale(), RunningScale()
    scale.update("open", opened)
    scale.update("closed", closed)
    check.update("open", scale.rescale("open", opened))
    assert check.mean("open") == pytest.approx(scale.mean("closed"), abs=1e-6)
    assert check.deviation("open") == pytest.approx(scale.deviation("closed"), abs=1e-6)
