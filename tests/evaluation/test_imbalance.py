"""Closed against open questions over the runs of an arm, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from medrl.evaluation.claims import judge
from medrl.evaluation.imbalance import ImbalanceClaim, closed_share, form_table

JOINT = [
    [
        {"grad_norm_closed": 3.0, "grad_norm_open": 1.0},
        {"grad_norm_closed": 1.0, "grad_norm_open": 1.0},
        {"loss": 0.0},  # a step without both
    ],
    [{"grad_norm_closed": 4.0, "grad_norm_open": 1.0}],
]
SCALED = [[{"grad_norm_closed": 1.0, "grad_norm_open": 1.0}]] * 2


def claim(**more: Any) -> ImbalanceClaim:
    return ImbalanceClaim.model_validate({"name": "c", "of": "grad_norm", "arm": "joint", **more})


def found(claim: ImbalanceClaim) -> dict[str, Any]:
    return judge(claim, (0, 1), {}, {"joint": JOINT, "scaled": SCALED}, {})


def test_shares_are_of_means_over_steps() -> None:
    assert [closed_share(run, "grad_norm") for run in JOINT] == [2 / 3, 4 / 5]
    result = found(claim())
    assert result["effect"] == pytest.approx((1 / 6 + 3 / 10) / 2)
    assert result["low"] < result["effect"] < result["high"]
    assert not result["holds"]  # two runs as different as these say little


def test_arms_are_compared_seed_by_seed() -> None:
    assert found(claim(beyond="scaled"))["effect"] == found(claim())["effect"]
    same = found(claim(beyond="joint"))
    assert (same["effect"], same["low"], same["high"], same["holds"]) == (0, 0, 0, False)


def test_the_table_has_what_all_runs_have_measured() -> None:
    [row] = form_table("joint", JOINT)
    assert row == {"arm": "joint", "quantity": "grad_norm", "closed": 3.0, "open": 1.0}
    assert form_table("joint", [*JOINT, [{"loss": 1.0}]]) == []


def test_what_was_not_measured_cannot_be_claimed() -> None:
    with pytest.raises(ValueError, match="reward_std was not measured"):
        found(claim(of="reward_std"))
