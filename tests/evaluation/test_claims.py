"""What a claim means: effects and intervals by hand, and claims that make no sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from medrl.evaluation.claims import (
    Answers,
    AnyClaim,
    Cell,
    Claim,
    LevelClaim,
    QualityClaim,
    dead_share,
    judge,
    level_table,
    quality_table,
)
from medrl.evaluation.evaluate import Row
from medrl.evaluation.readings import Metrics

ROW = Row("q", "B", "B", "correct", "", True, False, 9, 6, "")


def planted(
    more: Sequence[str], less: Sequence[str], start: str = "free", on: str = "s"
) -> Answers:
    """Answers of two arms; one text per seed, ``+`` for a right answer."""
    return {
        (arm, seed, on, start): [
            replace(ROW, case_id=f"{on}-{i}", outcome="correct" if mark == "+" else "wrong")
            for i, mark in enumerate(text)
        ]
        for arm, texts in (("more", more), ("less", less))
        for seed, text in enumerate(texts)
    }


def pair(on: str) -> dict[str, Any]:
    return {"more": {"arm": "more", "set": on}, "less": {"arm": "less", "set": on}}


def claim(of: str = "correct", by: float = 0.0, beyond: str = "") -> Claim:
    """``more`` exceeds ``less`` on set s, or does so by more than on another set."""
    extra = {"beyond": pair(beyond)} if beyond else {}
    return Claim.model_validate({"name": "c", "of": of, "by": by, **pair("s"), **extra})


def found(claim: Claim, seeds: Sequence[int], answers: Answers) -> dict[str, Any]:
    return judge(claim, seeds, answers, {}, {})


# --- answers -------------------------------------------------------------------------------------


def test_effect_and_interval_by_hand() -> None:
    # Differences 1 0 1 1 and 1 1 0 0: mean 5/8; runs 3/4 and 1/2; items 1, 1/2, 1/2, 1/2.
    result = found(claim(), (0, 1), planted(["++++", "+++-"], ["-+--", "--+-"]))
    assert result["effect"] == pytest.approx(5 / 8)
    # Variances of the mean: 1/64 by runs, 1/64 by items, 11/192 by the rest, which covers both.
    freedom = (11 / 192) ** 2 / ((1 / 64) ** 2 / 1 + (1 / 64) ** 2 / 3 + (11 / 192) ** 2 / 3)
    half = stats.t.ppf(0.975, freedom) * (11 / 192) ** 0.5
    assert result["low"] == pytest.approx(5 / 8 - half)
    assert result["high"] == pytest.approx(min(1, 5 / 8 + half))
    assert result["low"] < 0 and not result["holds"]


def test_a_claim_holds_above_its_threshold_only() -> None:
    answers = planted(["+" * 40] * 2, ["-" * 36 + "++++", "-" * 35 + "+++++"])
    result = found(claim(), (0, 1), answers)
    assert result["effect"] == pytest.approx(1 - 9 / 80) and result["holds"]
    low = result["low"]
    assert found(claim(by=low - 0.01), (0, 1), answers)["holds"]
    assert not found(claim(by=low), (0, 1), answers)["holds"]  # more than, not as much as
    turned = {("less" if key[0] == "more" else "more", *key[1:]): v for key, v in answers.items()}
    assert found(claim(), (0, 1), turned)["effect"] == pytest.approx(9 / 80 - 1)
    assert not found(claim(), (0, 1), turned)["holds"]
    assert found(claim(by=-0.99), (0, 1), turned)["low"] == pytest.approx(-result["high"])


def test_seeds_are_paired_and_only_the_asked_ones_count() -> None:
    answers = planted(["++", "--", "++"], ["--", "++", "--"])
    assert found(claim(), (0, 1), answers)["effect"] == 0
    assert found(claim(), (0, 2), answers)["effect"] == 1


def test_thinking_starts_at_five_tokens() -> None:
    answers: Answers = {
        ("more", seed, "s", "free"): [replace(ROW, think_tokens=5)] * 4 for seed in (0, 1)
    } | {("less", seed, "s", "free"): [replace(ROW, think_tokens=4)] * 4 for seed in (0, 1)}
    assert found(claim("thinks"), (0, 1), answers)["effect"] == 1
    assert found(claim("correct"), (0, 1), answers)["effect"] == 0
    assert found(claim("format_ok"), (0, 1), answers)["effect"] == 0


def test_open_reasoning_does_not_agree() -> None:
    answers: Answers = {
        ("more", seed, "s", "free"): [replace(ROW, follows=True)] * 4 for seed in (0, 1)
    } | {
        ("less", seed, "s", "free"): [
            replace(ROW, follows=told) for told in (True, False, None, None)
        ]
        for seed in (0, 1)
    }
    assert found(claim("agrees"), (0, 1), answers)["effect"] == pytest.approx(3 / 4)


def test_an_interaction_is_a_difference_of_differences() -> None:
    # On s the differences are 1 0 1 1 and 1 1 0 0 (mean 5/8), on t 0 0 and 1 0 (mean 1/4).
    answers = planted(["++++", "+++-"], ["-+--", "--+-"])
    answers |= planted(["+-", "+-"], ["+-", "--"], on="t")
    result = found(claim(beyond="t"), (0, 1), answers)
    assert result["effect"] == pytest.approx(5 / 8 - 1 / 4)
    # Runs: 3/4 - 0 and 1/2 - 1/2, so a variance of the mean of (9/32) / 2. Items and rest on s as
    # by hand above; on t item means 1/2 and 0 (1/8 / 2), rest +-1/4 (4/16 / 1 / 4).
    seeds, items, rest = 9 / 64, (1 / 64, 1 / 16), (11 / 192, 1 / 16)
    variance = sum(rest) + (seeds - sum(rest))
    parts = seeds**2 / 1 + items[0] ** 2 / 3 + items[1] ** 2 / 1
    parts += rest[0] ** 2 / 3 + rest[1] ** 2 / 1
    half = stats.t.ppf(0.975, variance**2 / parts) * variance**0.5
    assert result["low"] == pytest.approx(max(-2, 3 / 8 - half))
    assert result["high"] == pytest.approx(min(2, 3 / 8 + half))


def test_on_one_set_an_interaction_is_taken_question_by_question() -> None:
    answers = planted(["++--+"] * 2, ["-+---"] * 2)
    answers |= {("third", *key[1:]): rows for key, rows in planted(["-++--"] * 2, [""]).items()
                if key[0] == "more"}  # fmt: skip
    stepwise = Claim.model_validate(
        {
            "name": "c",
            "of": "correct",
            **pair("s"),
            "beyond": {"more": {"arm": "third", "set": "s"}, "less": {"arm": "less", "set": "s"}},
        }
    )
    # Question by question 1 0 -1 0 1; both runs are alike, so only the questions vary.
    result = found(stepwise, (0, 1), answers)
    expected = stats.ttest_1samp([1, 0, -1, 0, 1], 0).confidence_interval()
    assert result["effect"] == pytest.approx(1 / 5)
    assert (result["low"], result["high"]) == pytest.approx((expected.low, expected.high))


def test_a_set_and_its_perturbed_twin_are_compared_question_by_question() -> None:
    """By how much one arm relies on its pictures more than another: on and off, less on and off."""
    runs = ["++++" * 9, "+++-" * 9, "+++-" * 9]
    seen = planted(runs, ["++--" * 9] * 3)
    without = planted(["----" * 9] * 3, ["++--" * 9] * 3, on="t")
    for rows in without.values():
        rows[:] = [replace(row, case_id=f"s-{i}") for i, row in enumerate(rows)]
    result = found(claim(beyond="t"), (0, 1, 2), seen | without)
    # What "more" loses and "less" does not is what "more" had, question by question.
    plain = found(claim(), (0, 1, 2), planted(runs, ["----" * 9] * 3))
    assert result["effect"] == pytest.approx(10 / 12) == plain["effect"]
    assert 0 < result["low"] == pytest.approx(plain["low"])


def test_two_differences_that_never_vary_are_not_certain() -> None:
    answers = planted(["+" * 30] * 2, ["-" * 30] * 2)
    answers |= planted(["+" * 30] * 2, ["+" * 30] * 2, on="t")
    result = found(claim(beyond="t"), (0, 1), answers)
    assert result["effect"] == 1 and 0.5 < result["low"] < 0.9 < 1.1 < result["high"] < 1.5


@pytest.mark.parametrize("place", ["claim", "beyond"])
def test_a_difference_between_two_sets_is_refused(place: str) -> None:
    mixed = {"more": {"arm": "more", "set": "s"}, "less": {"arm": "less", "set": "t"}}
    given = mixed if place == "claim" else {**pair("s"), "beyond": mixed}
    with pytest.raises(ValidationError, match="more is on s and less on t"):
        Claim.model_validate({"name": "c", "of": "correct", **given})


# --- levels --------------------------------------------------------------------------------------

STEPS: Metrics = [
    {"groups_L1": 2.0, "dead_share_L1": 1.0, "groups_L3": 2.0, "dead_share_L3": 0.5},
    {"groups_L3": 4.0, "dead_share_L3": 0.25, "reward": 0.1},
    {"groups_L1": 6.0, "dead_share_L1": 0.5},
    {"groups_L1": 2.0, "dead_share_L1": 0.0},
    {},
]


def test_dead_shares_by_hand() -> None:
    assert dead_share(STEPS, [1]) == pytest.approx((2 + 3 + 0) / 10)
    assert dead_share(STEPS, [3]) == pytest.approx((1 + 1) / 6)
    assert dead_share(STEPS, [1, 3]) == pytest.approx(7 / 16)
    assert dead_share(STEPS, [2]) is None
    table = level_table("mixed", [STEPS, STEPS[2:]])
    assert [(row["level"], row["groups"]) for row in table] == [(1, 9.0), (3, 3.0)]
    assert table[0]["dead_share"] == pytest.approx((5 / 10 + 3 / 8) / 2)
    # The first quarter of five steps is two of them, of three steps one.
    assert table[0]["dead_share_early"] == pytest.approx((1 + 1 / 2) / 2)
    assert table[1]["dead_share_early"] == pytest.approx(1 / 3)  # the second run had none
    assert level_table("plain", [[{"reward": 1.0}]]) == []


def test_a_claim_about_levels_is_tested_over_runs() -> None:
    runs = [
        [{"groups_L1": 4.0, "dead_share_L1": high, "groups_L3": 4.0, "dead_share_L3": 0.25}]
        for high in (0.5, 0.75, 1.0)
    ]
    spec = {"name": "c", "of": "dead_share", "arm": "mixed", "more": [1], "less": [3]}
    asked: AnyClaim = TypeAdapter(AnyClaim).validate_python(spec)
    assert isinstance(asked, LevelClaim)
    result = judge(asked, (0, 1, 2), {}, {"mixed": runs}, {})
    half = stats.t.ppf(0.975, 2) * 0.25 / 3**0.5
    assert result["effect"] == pytest.approx(0.5)
    assert (result["low"], result["high"]) == pytest.approx((0.5 - half, 0.5 + half))
    assert not result["holds"] or result["low"] > 0
    absent = asked.model_copy(update={"less": (4,)})
    with pytest.raises(ValueError, match="did not train on all its levels"):
        judge(absent, (0, 1, 2), {}, {"mixed": runs}, {})


def test_a_cell_starts_freely_unless_told() -> None:
    assert Cell(arm="a", set="s").start == "free"


def test_a_model_beside_the_policy_is_judged_over_runs() -> None:
    runs = [
        {"trace": {"measure": "traces kept", "n": 9, "value": value, "control": control}}
        for value, control in ((0.9, 0.1), (0.8, 0.2), (1.0, None))
    ]
    asked = QualityClaim(name="good", of="quality", arm="all", stage="trace", by=0.5)
    plain = judge(asked, (0, 1, 2), {}, {}, {"all": runs})
    assert plain["effect"] == pytest.approx(0.9)
    # Student's t with two degrees of freedom: 0.1 / sqrt(3) * 4.303
    assert plain["low"] == pytest.approx(0.9 - 0.2484, abs=1e-3) and plain["holds"]
    beyond = asked.model_copy(update={"beyond_control": True})
    found = judge(beyond, (0, 1, 2), {}, {}, {"all": runs})
    assert found["effect"] == pytest.approx((0.8 + 0.6 + 1.0) / 3) and not found["holds"]
    equal = judge(asked, (0, 1), {}, {}, {"all": runs[:1] * 2})
    assert (equal["low"], equal["high"]) == (0.9, 0.9)
    absent = asked.model_copy(update={"stage": "taste"})
    with pytest.raises(ValueError, match="no model 'taste'"):
        judge(absent, (0, 1, 2), {}, {}, {"all": runs})
    [row] = quality_table("all", runs)
    assert row["by_seed"] == [0.9, 0.8, 1.0] and row["control"] == [0.1, 0.2, None]
