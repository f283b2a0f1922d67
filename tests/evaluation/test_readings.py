"""What is read off the steps of runs: quarters, differences and their intervals by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter
from scipy import stats

from medrl.evaluation.claims import AnyClaim, judge
from medrl.evaluation.readings import (
    Metrics,
    TrainingClaim,
    curve,
    last_stage,
    training_table,
    unit_of,
    value_of,
)


def steps(*rows: dict[str, float]) -> list[dict[str, Any]]:
    return [{"step": i + 1, **row} for i, row in enumerate(rows)]


def of(**columns: list[float]) -> Metrics:
    """A stage that logged these columns."""
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return steps(*rows)


def claim(**changes: Any) -> TrainingClaim:
    late, early = ({"arm": "grpo", "metric": "tokens_wrong", "at": at} for at in ("late", "early"))
    spec = {"name": "c", "of": "training", "more": late, "less": early} | changes
    found: AnyClaim = TypeAdapter(AnyClaim).validate_python(spec)
    assert isinstance(found, TrainingClaim)
    return found


def test_quarters_are_those_of_the_last_stage() -> None:
    warm_up = steps({"x": 100.0}, {"x": 100.0})
    run = [*warm_up, *of(x=[1, 2, 3, 4, 5, 6, 7, 8])]
    assert len(last_stage(run)) == 8
    assert value_of(run, "x", "early") == 1.5
    assert value_of(run, "x", "late") == 7.5
    assert value_of(run, "x", "all") == 4.5
    assert value_of(run[:5], "x", "late") == 3  # of three steps a quarter is one


def test_steps_without_the_metric_do_not_count() -> None:
    run = steps({"x": 1.0}, {}, {"x": 4.0}, {}, {}, {}, {}, {})
    assert value_of(run, "x", "all") == 2.5
    assert value_of(run, "x", "early") == 1
    assert value_of(run, "x", "late") is None
    assert curve("x", [run, of(x=[3.0] * 8)]) == [2, 3, 3.5, 3, 3, 3, 3, 3]
    assert curve("y", [run]) == [None] * 8


def test_effect_and_interval_over_runs_by_hand() -> None:
    runs = [of(tokens_wrong=[10, 0, 0, 10 + rise]) for rise in (1.0, 2.0, 3.0)]
    found = judge(claim(by=-1.0), (0, 1, 2), {}, {"grpo": runs}, {})
    half = stats.t.ppf(0.975, 2) * 1 / 3**0.5
    assert found["effect"] == pytest.approx(2)
    assert (found["low"], found["high"]) == pytest.approx((2 - half, 2 + half))
    assert found["unit"] == "tokens" and found["holds"]
    assert not judge(claim(), (0, 1, 2), {}, {"grpo": runs}, {})["holds"]  # below 0


def test_a_difference_of_differences_pairs_runs_of_one_seed() -> None:
    runs = {
        "grpo": [of(live=[0.9, 0.5]), of(live=[0.8, 0.5])],
        "dr": [of(live=[0.9, 0.8]), of(live=[0.7, 0.4])],
    }

    def fall(arm: str) -> dict[str, Any]:
        early, late = ({"arm": arm, "metric": "live", "at": at} for at in ("early", "late"))
        return {"more": early, "less": late}

    found = judge(claim(**fall("grpo"), beyond=fall("dr")), (0, 1), {}, runs, {})
    assert found["effect"] == pytest.approx(((0.4 - 0.1) + (0.3 - 0.3)) / 2)
    assert found["unit"] == "points"


def test_a_metric_that_no_step_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="grpo logged no 'tokens_wrong'"):
        judge(claim(), (0, 1), {}, {"grpo": [of(x=[1.0]), of(x=[2.0])]}, {})


def test_the_table_has_what_was_logged() -> None:
    rows = training_table("grpo", ["x", "absent"], [of(x=[1, 2, 3, 4]), of(x=[3, 4, 5, 6])])
    assert [*rows] == [{"arm": "grpo", "metric": "x", "early": [1, 3], "late": [4, 6]}]


def test_units() -> None:
    assert [unit_of(name) for name in ("think_tokens_right", "grad_norm_open", "reward_std")] == [
        "tokens",
        "norm",
        "points",
    ]
