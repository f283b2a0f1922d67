"""Intervals and tests against hand-computed values, brute force and simulation."""

from __future__ import annotations

import math
from itertools import combinations, product
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from medrl.evaluation.statistics import (
    Interval,
    chance_corrected_pass_at_k,
    compare_paired,
    mcnemar,
    paired_interaction,
    paired_study,
    pass_at_k,
    seed_summary,
    wilson,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


# One model ------------------------------------------------------------------------------------


def test_wilson_by_hand() -> None:
    # (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with p = 0.8, n = 10, z = 1.96
    found = wilson(8, 10)
    assert found.low == pytest.approx(0.4902, abs=1e-4)
    assert found.high == pytest.approx(0.9433, abs=1e-4)
    assert 0.5 in found and 0.4 not in found


@given(st.integers(1, 500), st.data(), st.sampled_from([0.5, 0.9, 0.99]))
def test_wilson_ends_are_where_the_score_test_turns(
    n: int, data: st.DataObject, level: float
) -> None:
    k = data.draw(st.integers(0, n))
    found = wilson(k, n, level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    for end in (found.low, found.high):
        if 0 < end < 1:
            assert abs(k / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), rel=1e-6)
    mirrored = wilson(n - k, n, level)
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low))
    assert k / n in Interval(found.low - 1e-12, found.high + 1e-12)


def test_wilson_covers_as_often_as_it_says() -> None:
    n, p = 60, 0.3
    intervals = [wilson(k, n) for k in range(n + 1)]
    covered = sum(stats.binom.pmf(k, n, p) for k in range(n + 1) if p in intervals[k])
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(
    ("k", "n", "level"), [(0, 0, 0.95), (3, 2, 0.95), (-1, 5, 0.95), (1, 5, 1.0), (1, 5, 0.0)]
)
def test_wilson_refuses(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError):
        wilson(k, n, level)


# Two models on the same items -----------------------------------------------------------------


@given(st.integers(0, 30), st.integers(0, 30))
def test_mcnemar_is_a_sum_over_coin_flips(only_a: int, only_b: int) -> None:
    n = only_a + only_b
    ways = sum(math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(only_a - only_b))
    assert mcnemar(only_a, only_b) == pytest.approx(ways / 2**n)


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_paired_counts_and_difference() -> None:
    found = compare_paired([1, 1, 1, 0, 0], [0, 0, 1, 1, 0])
    assert (found.n, found.only_a, found.only_b, found.p_value) == (5, 2, 1, 1.0)
    assert found.difference == pytest.approx(0.2)


def test_interval_is_that_of_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(200) < 0.7, rng.random(200) < 0.6
    found = compare_paired(a, b)
    peer = stats.bootstrap(
        (a.astype(float), b.astype(float)),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert found.low == pytest.approx(peer.low, abs=0.011)
    assert found.high == pytest.approx(peer.high, abs=0.011)


def test_interval_matches_every_possible_resample() -> None:
    a, b = np.array([1, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 0, 1])
    everything = [float((a - b)[list(pick)].mean()) for pick in product(range(6), repeat=6)]
    low, high = np.quantile(everything, [0.1, 0.9])
    found = compare_paired(a, b, level=0.8, resamples=50_000)
    assert (found.low, found.high) == pytest.approx((low, high))


@given(PAIRS, st.integers(0, 3))
def test_paired_invariances(pairs: list[tuple[bool, bool]], seed: int) -> None:
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = compare_paired(a, b, resamples=400, seed=seed)
    assert -1 <= found.low <= found.difference <= found.high <= 1
    assert compare_paired(a, b, resamples=400, seed=seed) == found
    assert compare_paired(a[::-1], b[::-1], resamples=400, seed=seed) == found
    swapped = compare_paired(b, a, resamples=400, seed=seed)
    assert swapped.p_value == found.p_value
    assert swapped.difference == -found.difference


def test_wider_level_and_other_seed_change_the_interval() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(999) < 0.7, rng.random(999) < 0.6
    narrow, wide = compare_paired(a, b, level=0.5), compare_paired(a, b, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    few = {compare_paired(a, b, resamples=20, seed=seed).low for seed in range(5)}
    assert len(few) > 1


def test_agreement_on_every_item_is_not_certainty() -> None:
    equal = compare_paired([1, 0] * 20, [1, 0] * 20)
    bound = wilson(0, 40).high
    assert (equal.difference, equal.p_value) == (0, 1)
    assert (equal.low, equal.high) == pytest.approx((-bound, bound))
    opposite = compare_paired([0] * 40, [1] * 40)
    assert (opposite.low, opposite.high) == pytest.approx((-1, -1 + 2 * bound))


def test_paired_interval_covers() -> None:
    rng = np.random.default_rng(4)
    hits = 0
    for trial in range(400):
        skill = rng.random(150)
        a, b = rng.random(150) < skill**0.5, rng.random(150) < skill  # means 2/3 and 1/2
        found = compare_paired(a, b, resamples=400, seed=trial)
        hits += found.low <= 1 / 6 <= found.high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [], "at least one item"),
        ([1], [1, 0], "same"),
        ([0.5], [1], "right"),
        ([[1]], [[1]], "shape"),
        ([math.nan], [1], "right"),
    ],
)
def test_compare_paired_refuses(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_paired(a, b)


def test_compare_paired_refuses_no_resamples() -> None:
    with pytest.raises(ValueError, match="resamples"):
        compare_paired([1, 0], [0, 1], resamples=0)


# pass@k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_counts_all_subsets(n: int) -> None:
    for c, k in product(range(n + 1), range(1, n + 1)):
        draws = list(combinations([i < c for i in range(n)], k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@given(st.integers(1, 2000), st.data())
def test_pass_at_k_never_falls_with_k_or_successes(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    value = pass_at_k(n, c, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)
    assert value <= pass_at_k(n, min(c + 1, n), k) + 1e-12
    assert value <= pass_at_k(n, c, min(k + 1, n)) + 1e-12


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("options", [2, 4, 10])
def test_chance_correction_is_zero_for_a_guesser_and_linear_in_skill(k: int, options: int) -> None:
    n = 12

    def expected(p: float) -> float:
        return math.fsum(
            stats.binom.pmf(c, n, p) * chance_corrected_pass_at_k(n, c, k, options)
            for c in range(n + 1)
        )

    assert expected(1 / options) == pytest.approx(0, abs=1e-9)
    assert expected(1.0) == pytest.approx(1)
    guess = 1 - (1 - 1 / options) ** k
    assert expected(0.6) == pytest.approx((1 - 0.4**k - guess) / (1 - guess))
    assert chance_corrected_pass_at_k(n, 0, k, options) < 0


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 1, 0), (4, 5, 1), (4, -1, 1), (0, 0, 1)])
def test_pass_at_k_refuses(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError):
        pass_at_k(n, c, k)
    with pytest.raises(ValueError):
        chance_corrected_pass_at_k(n, c, k, 4)


def test_one_option_is_no_choice() -> None:
    with pytest.raises(ValueError, match="2 options"):
        chance_corrected_pass_at_k(4, 1, 1, 1)


# Several runs ---------------------------------------------------------------------------------


def test_seed_summary_by_hand() -> None:
    found = seed_summary([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)  # t quantile with 2 degrees of freedom
    assert (found.mean, found.sd, found.n) == (2, 1, 3)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-6)


def test_seed_summary_of_equal_runs_is_a_point() -> None:
    found = seed_summary([0.5, 0.5])
    assert (found.sd, found.low, found.high) == (0, 0.5, 0.5)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(-5, 5), st.floats(0.1, 5))
def test_seed_summary_shifts_and_scales(values: list[float], shift: float, scale: float) -> None:
    plain, moved = seed_summary(values), seed_summary([shift + scale * x for x in values])
    assert moved.low == pytest.approx(shift + scale * plain.low, abs=1e-6)
    assert moved.sd == pytest.approx(scale * plain.sd, abs=1e-6)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, math.nan], [[0.1, 0.2], [0.3, 0.4]]])
def test_seed_summary_refuses(values: ArrayLike) -> None:
    with pytest.raises(ValueError):
        seed_summary(values)


# A study --------------------------------------------------------------------------------------


def test_study_by_hand() -> None:
    # D = [[1, 0], [0, -1]]: run means 1/2, -1/2; item means 1/2, -1/2; nothing left over. So
    # A = B = 0.5 / 2, C = 0, variance 1/2, and 2 degrees of freedom.
    found = paired_study([[1, 1], [0, 0]], [[0, 1], [0, 1]], level=0.5)
    half = 0.8164966 * math.sqrt(0.5)  # t quantile 0.75 with 2 degrees of freedom
    assert (found.value, found.seeds, found.items) == (0, 2, 2)
    assert (found.low, found.high) == pytest.approx((-half, half))


def test_identical_runs_leave_the_paired_t_interval_over_items() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random(50) < 0.7, rng.random(50) < 0.5
    found = paired_study([a] * 3, [b] * 3)
    expected = stats.ttest_1samp(a.astype(float) - b, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_many_items_leave_the_t_interval_over_runs() -> None:
    rng = np.random.default_rng(6)
    a = [rng.permutation(np.arange(400) < right) for right in (200, 280, 360)]
    found = paired_study(a, [np.zeros(400)] * 3)
    expected = seed_summary([0.5, 0.7, 0.9])
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(expected.low, abs=0.02)


@given(st.integers(2, 4), st.integers(2, 8), st.integers(0, 10_000))
def test_study_invariances(seeds: int, items: int, state: int) -> None:
    rng = np.random.default_rng(state)
    a, b = rng.random((2, seeds, items)) < 0.5
    found, swapped = paired_study(list(a), list(b)), paired_study(list(b), list(a))
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))
    rows, columns = rng.permutation(seeds), rng.permutation(items)
    again = paired_study(list(a[rows][:, columns]), list(b[rows][:, columns]))
    assert (again.low, again.high) == pytest.approx((found.low, found.high))


def test_both_sources_of_chance_widen_the_interval() -> None:
    rng = np.random.default_rng(7)
    size, level = (10, 300), 0.5
    skill, luck = rng.choice([0.1, 0.9], 300), np.linspace(-0.3, 0.3, 10)[:, None]

    def width(p: float | NDArray[np.float64]) -> float:
        found = paired_study(list(rng.random(size) < p), list(rng.random(size) < level))
        return found.high - found.low

    assert width(level + luck) > 1.5 * width(level)
    assert width(skill) > 1.2 * width(level)


@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 3), (0.1, 3), (0.1, 6)])
def test_study_interval_covers_new_runs_on_new_items(spread: float, seeds: int) -> None:
    rng = np.random.default_rng(8)
    hits, trials, items = 0, 500, 120
    for _ in range(trials):
        skill = rng.uniform(0.2, 0.7, items)
        gain = 0.1 + rng.uniform(-0.08, 0.08, items)
        drift = rng.uniform(-spread, spread, (seeds, 1))
        a = rng.random((seeds, items)) < skill + gain + drift
        b = rng.random((seeds, items)) < skill
        found = paired_study(list(a), list(b))
        hits += found.low <= 0.1 <= found.high
    assert hits / trials >= 0.92


def test_a_study_in_which_every_pair_came_out_alike() -> None:
    found = paired_study([[1] * 30] * 3, [[1] * 30] * 3)
    bound = wilson(0, 30).high
    assert (found.value, found.low, found.high) == pytest.approx((0, -bound, bound))
    assert not found.is_clear
    assert paired_study([[1] * 30] * 3, [[0] * 30] * 3).is_clear


def test_a_study_of_scores_is_a_study_of_shares() -> None:
    # Halved scores halve the effect and its interval.
    a, b = [[1, 1, 0], [1, 0, 1]], [[0, 1, 0], [0, 0, 1]]
    whole = paired_study(a, b, level=0.5)
    half = paired_study(np.array(a) / 2, np.array(b) / 2, level=0.5)
    assert (2 * half.value, 2 * half.low) == pytest.approx((whole.value, whole.low))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1, 0]], [[0, 1]], "two or more"),
        ([[1], [0]], [[0], [1]], "two or more"),
        ([[1, 0], [1]], [[0, 1], [1, 1]], "runs of a"),
        ([[1, 0], [1, 1]], [[0, 1]], "agree"),
        ([], [], "runs of a"),
        ([[1, 2], [1, 1]], [[0, 1], [1, 1]], "run 0 of a"),
    ],
)
def test_study_refuses(a: list[list[int]], b: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_study(a, b)


# A difference of differences --------------------------------------------------------------------


def drawn(rng: np.random.Generator, p: float, seeds: int, items: int) -> list[NDArray[np.bool_]]:
    return list(rng.random((seeds, items)) < p)


@given(st.integers(2, 4), st.integers(2, 8), st.integers(2, 8), st.integers(0, 10_000))
def test_interaction_invariances(seeds: int, items: int, others: int, state: int) -> None:
    rng = np.random.default_rng(state)
    here = (drawn(rng, 0.6, seeds, items), drawn(rng, 0.4, seeds, items))
    there = (drawn(rng, 0.6, seeds, others), drawn(rng, 0.4, seeds, others))
    found = paired_interaction(here, there, same_items=False)
    assert -2 <= found.low <= found.value <= found.high <= 2
    difference = paired_study(*here).value - paired_study(*there).value
    assert found.value == pytest.approx(difference)
    turned = paired_interaction(there, here, same_items=False)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_against_no_difference_at_all_an_interaction_is_the_difference() -> None:
    rng = np.random.default_rng(3)
    here = (drawn(rng, 0.6, 3, 40), drawn(rng, 0.4, 3, 40))
    same = drawn(rng, 0.5, 3, 40)
    alone = paired_study(*here)
    for same_items in (True, False):
        found = paired_interaction(here, (same, same), same_items)
        assert (found.value, found.low, found.high) == pytest.approx(
            (alone.value, alone.low, alone.high)
        )


def test_interaction_interval_covers_new_runs_on_new_items() -> None:
    """Runs drift alike on both sets, which cancels, and apart, which does not."""
    rng = np.random.default_rng(9)
    hits, trials = 0, 400
    for _ in range(trials):
        drift = rng.uniform(-0.1, 0.1, (3, 1))
        apart = rng.uniform(-0.05, 0.05, (3, 1))

        def side(items: int, gain: NDArray[np.float64] | float) -> list[NDArray[np.bool_]]:
            return list(rng.random((3, items)) < rng.uniform(0.2, 0.7, items) + gain)

        here = (side(90, 0.2 + drift + apart), side(90, 0.0))
        there = (side(60, 0.05 + drift - apart), side(60, 0.0))
        found = paired_interaction(here, there, same_items=False)
        hits += found.low <= 0.15 <= found.high
    assert hits / trials >= 0.92


def test_interaction_refuses_what_cannot_be_subtracted() -> None:
    rng = np.random.default_rng(0)
    here = (drawn(rng, 0.5, 3, 6), drawn(rng, 0.5, 3, 6))
    with pytest.raises(ValueError, match="they differ"):
        fewer = (drawn(rng, 0.5, 2, 6), drawn(rng, 0.5, 2, 6))
        paired_interaction(here, fewer, same_items=False)
    with pytest.raises(ValueError, match="they differ"):
        shorter = (drawn(rng, 0.5, 3, 5), drawn(rng, 0.5, 3, 5))
        paired_interaction(here, shorter, same_items=True)
