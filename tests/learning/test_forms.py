"""Closed and open questions in one batch: their numbers by hand, their gradients apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medrl.cases.case import Reference
from medrl.clinic.exams import exam
from medrl.learning import gathering
from medrl.learning.forms import GradientParts, form_metrics, form_of, rows_by_form
from medrl.learning.groups import Group
from tests.learning.conftest import (
    Gradients,
    MakeRecipe,
    assert_same_gradient,
    paid_by_tokens,
    rl_learner,
)
from tests.tiny import siblings


def group(number: int, kind: str, *rewards: float) -> Group:
    found = siblings(number, rewards)
    options = ("yes", "no") if kind == "label" else ()
    reference = Reference("label" if options else "phrase", "yes", options)
    return replace(found, case=replace(found.case, reference=reference))


def test_rewards_of_each_form_by_hand() -> None:
    groups = [group(0, "label", 0, 1), group(1, "phrase", 0.5, 0.5), group(2, "phrase", 0.7, 0.9)]
    found = form_metrics(groups)
    assert (found["reward_closed"], found["reward_std_closed"]) == (0.5, 0.5)
    assert found["reward_open"] == pytest.approx(0.65)
    assert found["reward_std_open"] == pytest.approx((2 * 0.15**2 + 0.05**2 + 0.25**2) ** 0.5 / 2)
    assert set(found) == {
        f"{what}_{form}" for what in ("accuracy", "reward", "reward_std")
        for form in ("closed", "open")
    }  # fmt: skip
    assert form_metrics(groups[1:]) == {}  # nothing to compare


def test_rows_are_parted_by_form_and_none_is_lost() -> None:
    parts = rows_by_form(["open", "closed", "open", "closed"], torch.tensor([3, 2, 0]))
    assert [(form, rows.tolist()) for form, rows in parts] == [("closed", [3]), ("open", [2, 0])]


def test_gradient_parts_are_what_was_added() -> None:
    weights = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    parts = GradientParts(weights)
    (weights[0] @ torch.tensor([3.0, 0.0])).backward()
    (weights[1] * 4).sum().backward()
    assert parts.norm() == 5.0
    (weights[0] @ torch.tensor([-3.0, 2.0])).backward()  # takes the first back, but is a part too
    assert parts.norm() == pytest.approx(13**0.5)
    assert parts.norm() == 0.0


@pytest.mark.parametrize("objective", ["grpo", "dr_grpo"])
def test_norms_are_those_of_the_forms_alone_and_the_step_is_the_same(
    objective: str, make_recipe: MakeRecipe, captured: Gradients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    asked = exam("train", 4)
    cases = [
        c if i % 2 else replace(c, reference=Reference("phrase", c.reference.gold_text))
        for i, c in enumerate(asked)
    ]
    stage = {"objective": objective, "token_budget": 2048}
    plain = rl_learner(make_recipe(stage))
    groups = plain.rollout(lambda batch: cases, 0)
    plain.update(groups, 0)
    wanted = dict(captured)

    learner = rl_learner(make_recipe(stage | {"gradients_by_form": True}))
    metrics = learner.update(groups, 0)
    assert_same_gradient(captured, wanted)

    for form in ("closed", "open"):  # the other form without an advantage: its part alone
        mine = {g.case.id for g in groups if form_of(g.case) == form}
        alone = rl_learner(make_recipe(stage | {"kl_coefficient": 0.0}))
        flat = [
            g
            if g.case.id in mine
            else replace(g, episodes=tuple(replace(e, reward=0.0) for e in g.episodes))
            for g in groups
        ]
        alone.update(flat, 0)
        norm = torch.stack([g.norm() for g in captured.values()]).norm()
        assert metrics[f"grad_norm_{form}"] == pytest.approx(float(norm), rel=1e-3)
