"""Stages that end by plateau: the rule by hand, and runs that end the same after a kill."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from medrl.learning import gathering, loop, plateau, session
from medrl.learning.plateau import Plateau, PlateauSpec, has_plateaued
from medrl.schema import Recipe
from tests.learning.conftest import MakeRecipe, paid_by_tokens, tiny_recipe
from tests.learning.test_exact_resume import assert_same, dies_at_call, resume, start
from tests.run.conftest import Fork

HELD_OUT = {"source": "clinic:test-id", "size": 3}


@pytest.mark.parametrize(
    ("curve", "patience", "ends_with"),
    [
        ([0.1, 0.2, 0.3, 0.4], 1, None),  # rises throughout
        ([0.1, 0.2, 0.2], 1, 3),  # equal is no rise
        ([0.5, 0.4, 0.6, 0.6, 0.5, 0.7], 2, 5),  # a dip that was made good, then two without a rise
        ([0.5, 0.4, 0.45, 0.49, 0.6], 3, 4),  # rising again, but below the best
        ([0.0, 0.0, 0.0], 2, 3),
        ([0.0, 0.0], 2, None),  # too early to tell
        ([0.3, 0.2, 0.31, 0.2, 0.2], 2, 5),
        ([], 1, None),
    ],
)
def test_the_rule_on_curves_by_hand(
    curve: list[float], patience: int, ends_with: int | None
) -> None:
    ended = [n for n in range(len(curve) + 1) if has_plateaued(curve[:n], patience)]
    assert (ended[0] if ended else None) == ends_with


def test_it_is_looked_every_so_many_steps() -> None:
    curve = iter([0.5, 0.25])
    spec = PlateauSpec.model_validate({"validation": HELD_OUT, "every": 2, "patience": 1})
    watch = Plateau(spec, lambda: next(curve))
    assert [watch.look(done) for done in (1, 2, 3)] == [{}, {"validation_accuracy": 0.5}, {}]
    assert not watch.reached
    assert watch.look(4) == {"validation_accuracy": 0.25} and watch.reached


def test_a_plateau_that_cannot_be_seen_is_refused(make_recipe: MakeRecipe) -> None:
    spec = {"validation": HELD_OUT, "every": 2, "patience": 1}
    with pytest.raises(ValidationError, match="the stage has only 3 steps; lower every"):
        make_recipe({"objective": "grpo", "steps": 3, "plateau": spec})


@pytest.fixture
def recipe(tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A tiny model is never right: evaluations 1, 2 and 3 end the first stage of six steps."""
    monkeypatch.setattr(gathering, "sample_groups", paid_by_tokens)
    spec = {"validation": HELD_OUT, "every": 1, "patience": 2}
    first = {"objective": "grpo", "name": "first", "steps": 6, "plateau": spec}
    return tiny_recipe(tiny("qwen2"), first, {"objective": "grpo", "steps": 2})


def steps(run: Path) -> list[tuple[str, int, float | None]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(r.get("name", "last"), r["step"], r.get("validation_accuracy")) for r in rows]


def test_a_stage_ends_at_its_plateau_and_the_next_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    start(recipe, tmp_path / "run")
    first = [("first", step, 0.0) for step in (1, 2, 3)]
    assert steps(tmp_path / "run") == [*first, ("last", 1, None), ("last", 2, None)]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [stage["steps"] for stage in summary["stages"]] == [3, 2]


# Where the process dies: (object, attribute, at which call of it).
MOMENTS: dict[str, tuple[Any, str, int]] = {
    "after an evaluation, before its checkpoint": (loop, "save_checkpoint", 3),
    "after the last evaluation, before its checkpoint": (loop, "save_checkpoint", 4),
    "at the end of the plateau": (session, "save_file", 1),
    "at the first checkpoint of the next stage": (loop, "save_checkpoint", 5),
    "while evaluating": (plateau.Plateau, "look", 3),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_ends_its_stage_at_the_same_step(
    moment: str, recipe: Recipe, tmp_path: Path, fork: Fork
) -> None:
    place, name, number = MOMENTS[moment]
    start(recipe, tmp_path / "whole")

    def target() -> None:
        setattr(place, name, dies_at_call(getattr(place, name), number))
        start(recipe, tmp_path / "run")

    _, status = os.waitpid(fork(target), 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    resume(tmp_path / "run")
    assert_same(tmp_path / "run", tmp_path / "whole")
