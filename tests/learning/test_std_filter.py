"""RLPR's filter: numbers by hand, what it drops, and that a resumed run has seen the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medrl.errors import RunError
from medrl.learning import loop, reinforcement
from medrl.learning.groups import Group
from medrl.learning.reinforcement import RLLearner
from medrl.learning.std_filter import StdFilter, StdFilterSpec, deviation
from medrl.run.checkpoint import newest_valid_checkpoint
from medrl.run.folder import RunFolder
from medrl.schema import Recipe
from tests.learning.conftest import MakeRecipe, rl_learner, tiny_recipe
from tests.learning.test_exact_resume import assert_same, dies_at_call, resume, start
from tests.run.conftest import Fork
from tests.tiny import case, siblings

SPEC = StdFilterSpec(eta=0.5, decay=0.9, collect_from=2, filter_from=3)


def groups(*rewards: Sequence[float]) -> list[Group]:
    return [siblings(i, r) for i, r in enumerate(rewards)]


def test_the_defaults_are_those_of_rlpr() -> None:
    spec = StdFilterSpec()
    assert (spec.eta, spec.decay, spec.collect_from, spec.filter_from) == (0.5, 0.99, 6, 11)


def test_deviations_are_those_of_advantages() -> None:
    assert deviation(groups([0.0, 1.0])[0]) == pytest.approx(0.5**0.5)
    assert deviation(groups([0.0, 0.0, 1.0, 1.0])[0]) == pytest.approx((1 / 3) ** 0.5)
    assert deviation(groups([0.1, 0.1, 0.1])[0]) == 0.0
    assert deviation(groups([0.4])[0]) == 0.0


def test_the_average_by_hand() -> None:
    """Deviations 0.5, 0.25 and 0 of three steps, one group each but for the last."""
    wide, narrow, flat = groups([0.0, 0.5**0.5], [0.0, 0.125**0.5], [1.0, 1.0])
    seen = StdFilter()
    assert seen.updated(SPEC, 0, [wide]).average is None  # step 1: before collect_from
    seen = seen.updated(SPEC, 1, [wide])
    assert seen.average == pytest.approx(0.5)
    seen = seen.updated(SPEC, 2, [narrow])
    assert seen.average == pytest.approx(0.9 * 0.5 + 0.1 * 0.25)
    seen = seen.updated(SPEC, 3, [narrow, flat])  # the mean of 0.25 and 0, dropped or not
    assert seen.average == pytest.approx(0.9 * 0.475 + 0.1 * 0.125)
    assert seen.updated(SPEC, 4, []) == seen


def test_the_threshold_acts_from_its_step_on() -> None:
    seen = StdFilter(0.4)
    assert [seen.threshold(SPEC, step) for step in range(4)] == [0.0, 0.0, 0.2, 0.2]
    assert StdFilter().threshold(SPEC, 100) == 0.0


@pytest.mark.parametrize("average", [None, 0.0, 1 / 3, 1e-300])
def test_what_was_seen_survives_a_checkpoint_bit_for_bit(average: float | None) -> None:
    seen = StdFilter(average)
    assert StdFilter.restored(seen.tensors()) == seen


def test_the_average_is_collected_before_it_is_used() -> None:
    with pytest.raises(ValidationError, match="filter_from 6 must come after collect_from 6"):
        StdFilterSpec(filter_from=6)


def rolled_out(
    learner: RLLearner, monkeypatch: pytest.MonkeyPatch, *batches: list[Group]
) -> Callable[[int], list[list[float]]]:
    """``rollout`` of a learner whose samples are given, by the attempt; rewards of what is kept."""
    monkeypatch.setattr(learner.gatherer, "_sample", lambda cases, step, attempt: batches[attempt])
    return lambda step: [g.rewards for g in learner.rollout(lambda batch: [case()], step)]


def test_groups_below_the_threshold_are_dropped(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = {"objective": "grpo", "std_filter": SPEC.model_dump()}
    learner = rl_learner(make_recipe(stage))
    wide, narrow, flat = [0.0, 1.0], [0.0, 0.3], [0.5, 0.5]
    rollout = rolled_out(learner, monkeypatch, groups(wide, narrow, flat))
    assert rollout(0) == rollout(1) == [wide, narrow, flat]  # not yet
    # (0.7071 + 0.2121 + 0) / 3 = 0.3064; half of it lies between flat and narrow.
    assert learner.gatherer.std_filter.average == pytest.approx((0.5**0.5 * 1.3) / 3)
    assert rollout(2) == [wide, narrow]
    learner.gatherer.std_filter = StdFilter(0.5)
    assert rollout(3) == [wide]
    learner.gatherer.std_filter = StdFilter(10.0)
    assert rollout(4) == [wide, narrow, flat]  # nothing left: the step is as it was


def test_dropped_groups_are_replaced_by_dynamic_sampling(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = {"objective": "dapo", "extra_batches": 2, "prompts_per_step": 2}
    wide, narrow, flat = [0.0, 1.0], [0.0, 0.3], [0.5, 0.5]
    batches = groups(wide, narrow), groups(flat, narrow), groups(wide, wide)
    plain = rl_learner(make_recipe(stage))
    assert rolled_out(plain, monkeypatch, *batches)(5) == [wide, narrow]
    filtered = rl_learner(make_recipe(stage | {"std_filter": SPEC.model_dump()}))
    filtered.gatherer.std_filter = StdFilter(0.5)
    assert rolled_out(filtered, monkeypatch, *batches)(5) == [wide, wide]
    ordinary = (0.5**0.5 * 1.3) / 2  # of the ordinary batch alone
    assert filtered.gatherer.std_filter.average == pytest.approx(0.9 * 0.5 + 0.1 * ordinary)


def test_a_learner_without_the_filter_keeps_nothing_of_it(make_recipe: MakeRecipe) -> None:
    for objective in ("ppo", "grpo", "dapo"):
        learner = rl_learner(make_recipe({"objective": objective}))
        assert "std_filter" not in learner.tensors()


FILE = """
def spread(completions, completion_ids, **_):
    return [sum(ids) % 7 / 6 * min(1, len(text)) for ids, text in zip(completion_ids, completions)]
"""


@pytest.fixture
def recipe(tiny: Callable[[str], Path], tmp_path: Path) -> Recipe:
    """Six GRPO steps whose rewards lie on a scale, and a filter that drops some groups."""
    (tmp_path / "spread.py").write_text(FILE, encoding="utf-8")
    function = f"{tmp_path / 'spread.py'}:spread"
    return tiny_recipe(
        tiny("qwen2"),
        {
            "objective": "grpo",
            "steps": 6,
            "answers_per_prompt": 3,
            "std_filter": {"eta": 0.9, "decay": 0.5, "collect_from": 1, "filter_from": 2},
            "checkpoint_every": 1,
        },
        reward={
            "malformed": None,
            "terms": [{"term": "function", "function": function, "low": 0, "high": 1}],
        },
    )


def test_a_killed_run_goes_on_with_what_the_filter_had_seen(
    recipe: Recipe, tmp_path: Path, fork: Fork, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    start(recipe, whole)
    with RunFolder.open(whole) as run:
        kept = [row["episodes"] for row in run.read_lines("metrics")]
        checkpoint = newest_valid_checkpoint(run)
    assert kept[0] == 12 and min(kept) < 12  # it has dropped groups
    assert checkpoint is not None
    average = checkpoint.load()[0]["std_filter"]["average"]
    assert average.dtype == torch.float64 and average.shape == (1,) and average > 0

    for number, (place, name, call) in enumerate(
        [(loop, "save_checkpoint", 5), (reinforcement, "step_optimizer", 4)]
    ):
        run_path = tmp_path / str(number)

        def target(
            path: Path = run_path, place: Any = place, name: str = name, call: int = call
        ) -> None:
            setattr(place, name, dies_at_call(getattr(place, name), call))
            start(recipe, path)

        _, status = os.waitpid(fork(target), 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        resume(run_path)
        assert_same(run_path, whole)


def test_the_state_matters_to_a_resumed_run(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a resumed run that forgets goes another way."""
    whole, forgetful = tmp_path / "whole", tmp_path / "forgetful"
    start(recipe, whole)
    calls = iter(range(1, 100))
    save = loop.save_checkpoint

    def fails(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 5:
            raise RunError("the disk is full")
        return save(*args, **kwargs)

    monkeypatch.setattr(loop, "save_checkpoint", fails)
    with pytest.raises(RunError):
        start(recipe, forgetful)
    monkeypatch.setattr(loop, "save_checkpoint", save)
    monkeypatch.setattr(StdFilter, "restored", staticmethod(lambda tensors: StdFilter()))
    resume(forgetful)
    assert (forgetful / "metrics.jsonl").read_bytes() != (whole / "metrics.jsonl").read_bytes()
