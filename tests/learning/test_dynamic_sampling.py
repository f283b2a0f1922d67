"""Dynamic sampling: groups that teach nothing are replaced, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from medrl.cases.case import Case
from medrl.learning import gathering
from medrl.learning.loop import draw_cases
from medrl.learning.order import cases_for_step
from medrl.learning.rollout import Rollout, sample_groups
from tests.learning.conftest import MakeRecipe, differ, paid, rl_learner, weights_of
from tests.tiny import case


class Cases:
    """Four cases per batch, named batch-number; remembers which batches were asked for."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, batch: int) -> list[Case]:
        self.batches.append(batch)
        return [case(name=f"{batch}-{i}") for i in range(4)]


@pytest.fixture
def only_teach(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """``only_teach("0-1 1-2")``: answers to these cases, and no others, differ in reward."""

    def patch(names: str) -> None:
        def sample(*args: Any) -> Rollout:
            groups = [
                paid(g, [i == 0 and g.case.id in names.split() for i in range(len(g.episodes))])
                for g in sample_groups(*args).groups
            ]
            return Rollout(groups, [])

        monkeypatch.setattr(gathering, "sample_groups", sample)

    return patch


@pytest.mark.parametrize(
    ("teaching", "extra_batches", "kept", "asked_for"),
    [
        ("0-0 0-1 0-2 0-3 1-0", 3, "0-0 0-1 0-2 0-3", 0),
        ("0-1 1-0 1-2 2-0 2-1", 3, "0-1 1-0 1-2 2-0", 2),  # two further batches were enough
        ("0-1 3-3", 2, "0-1", 2),  # the budget ends: fewer groups
        ("0-1 3-3", 3, "0-1 3-3", 3),
        ("1-1", 0, "0-0 0-1 0-2 0-3", 0),
        ("", 2, "0-0 0-1 0-2 0-3", 2),  # nothing teaches: the ordinary ones
    ],
)
def test_groups_that_teach_nothing_are_replaced_as_far_as_the_budget_reaches(
    make_recipe: MakeRecipe,
    only_teach: Callable[[str], None],
    teaching: str,
    extra_batches: int,
    kept: str,
    asked_for: int,
) -> None:
    only_teach(teaching)
    stage = {"objective": "dapo", "extra_batches": extra_batches, "minibatches": 3}
    learner, cases = rl_learner(make_recipe(stage)), Cases()
    groups = learner.rollout(cases, 0)
    assert [group.case.id for group in groups] == kept.split()
    assert cases.batches == list(range(asked_for + 1))
    before = weights_of(learner)
    metrics = learner.update(groups, 0)  # also with fewer groups than minibatches
    assert differ(before, weights_of(learner)) == (metrics["grad_norm"] > 0)
    assert (metrics["grad_norm"] > 0) == (metrics["live_groups"] > 0)


def test_only_dapo_draws_again_unasked(
    make_recipe: MakeRecipe, only_teach: Callable[[str], None]
) -> None:
    only_teach("")
    for objective in ("ppo", "grpo", "dr_grpo", "rloo", "dapo", "gspo"):
        cases = Cases()
        rl_learner(make_recipe({"objective": objective})).rollout(cases, 0)
        assert cases.batches == ([0, 1, 2, 3] if objective == "dapo" else [0])


def test_drawing_again_changes_neither_the_order_of_cases_nor_the_first_answers(
    make_recipe: MakeRecipe, only_teach: Callable[[str], None]
) -> None:
    only_teach("0-3 1-1 1-2")
    plain, dynamic = (
        rl_learner(make_recipe({"objective": "dapo", "extra_batches": extra})) for extra in (0, 3)
    )
    ordinary, found = plain.rollout(Cases(), 5), dynamic.rollout(Cases(), 5)
    assert found == dynamic.rollout(Cases(), 5)  # the same draws again
    assert found[0] == ordinary[3]
    answers = [[e.token_ids for e in g.episodes] for g in (*ordinary, *found[1:])]
    assert len({tuple(a) for a in answers}) == len(answers)  # further batches: other randomness

    stage = plain.stage
    cases = [case(name=str(i)) for i in range(12)]
    draws = [[draw_cases(cases, stage, 7, step, b) for step in range(3)] for b in range(3)]
    for step in range(3):
        assert draws[0][step] == cases_for_step(cases, step, stage.prompts_per_step, 7)
    for batches in draws:  # every order goes through all cases before it begins again
        assert {c.id for drawn in batches for c in drawn} == {c.id for c in cases}
    assert draws[0] != draws[1] != draws[2]
