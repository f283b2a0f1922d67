"""The promise: stopped or killed anywhere and resumed, a run ends bit for bit as if it never was.

Runs have two stages, so that resuming inside, between and after stages is covered. The group
objectives differ in what a step draws; their runs are killed while they draw and learn.
"""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from medrl.errors import RunError
from medrl.learning import evaluations, gathering, loop, reinforcement, session
from medrl.learning.evaluations import Stopped
from medrl.learning.progress import Display
from medrl.learning.session import resume_run, run_recipe
from medrl.recipe import load_recipe
from medrl.run import RunFolder
from medrl.schema import Recipe
from tests.learning.conftest import paid_by_tokens, tiny_recipe
from tests.run.conftest import Fork

BYTE_FOR_BYTE = (
    "metrics.jsonl",
    "episodes.jsonl",
    "evaluations.json",
    "model/model.safetensors",
    "answers-after-test-id.json",
)


@pytest.fixture(scope="module")
def recipe(tiny: Callable[[str], Path]) -> Recipe:
    """Two supervised steps, then three PPO steps of two updates each."""
    return tiny_recipe(
        tiny("qwen2"),
        {"objective": "sft", "steps": 2},
        {
            "steps": 3,
            "minibatches": 2,
            "answers_per_prompt": 2,
            "checkpoint_every": 2,
            "critic": "copy",
            "warmup_steps": 4,
        },
    )


@pytest.fixture(scope="module")
def uninterrupted(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    run_recipe(recipe, path, silent())
    return path


def silent() -> Display:
    return Display(Console(file=io.StringIO()), quiet=True)


def assert_same(run: Path, whole: Path) -> None:
    for file in BYTE_FOR_BYTE:
        assert (run / file).read_bytes() == (whole / file).read_bytes(), file
    mine, theirs = ({p.name for p in (r / "checkpoints").iterdir()} for r in (run, whole))
    assert mine == theirs


def start(recipe: Recipe, run: Path) -> None:
    run_recipe(recipe, run, silent())


def resume(run: Path) -> None:
    """As the command line does: with nothing but the folder."""
    resume_run(load_recipe(str(run / "recipe.yaml")), run, silent())


class Interrupting(Display):
    """Sends Ctrl-C when so many steps of the whole run are done."""

    def __init__(self, after: int) -> None:
        super().__init__(Console(file=io.StringIO()), quiet=True)
        self.left = after

    @contextmanager
    def stage(self, stage: Any, first_step: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
        def on_step(metrics: Mapping[str, float]) -> None:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

        yield on_step


def test_a_run_that_was_stopped_again_and_again_ends_the_same(
    recipe: Recipe, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Stopped) as stopped:
        run_recipe(recipe, run, Interrupting(after=1))
    assert stopped.value.path == run and str(run) in str(stopped.value)
    with pytest.raises(Stopped):  # after one more, which ends stage one, and the first of the next
        resume_run(recipe, run, Interrupting(after=1))
    with pytest.raises(Stopped):
        resume_run(recipe, run, Interrupting(after=1))
    resume(run)
    assert_same(run, uninterrupted)


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dies_at_call(target: Callable[..., Any], number: int) -> Callable[..., Any]:
    """``target``, but its call ``number`` kills the process before it does anything."""
    calls = iter(range(1, 1000))

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            die()
        return target(*args, **kwargs)

    return wrapped


# Where the process dies: (object, attribute, at which call of it).
MOMENTS: dict[str, tuple[Any, str, int]] = {
    "before the first checkpoint": (loop, "save_checkpoint", 1),
    "after a step was logged, before its checkpoint": (loop, "save_checkpoint", 3),
    "at the first checkpoint of the second stage": (loop, "save_checkpoint", 4),
    "between two updates of a step": (reinforcement, "step_optimizer", 4),
    "while sampling": (gathering, "sample_groups", 3),
    "when the first stage is handed over": (session, "save_file", 1),
    "while evaluating at the end": (evaluations, "compare", 1),
    "while evaluating at the start": (evaluations, "summarise", 1),
    "between the last evaluation and the model": (session, "save_model", 1),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_was_killed_ends_the_same(
    moment: str,
    recipe: Recipe,
    uninterrupted: Path,
    tmp_path: Path,
    fork: Fork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, (place, name, number) = tmp_path / "run", MOMENTS[moment]

    def target() -> None:
        setattr(place, name, dies_at_call(getattr(place, name), number))
        run_recipe(recipe, run, silent())

    _, status = os.waitpid(fork(target), 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert not (run / "summary.json").exists()
    resume(run)
    assert_same(run, uninterrupted)


@pytest.mark.parametrize("objective", ["grpo", "dapo"])
def test_a_killed_run_of_groups_ends_the_same(
    objective: str,
    tiny: Callable[[str], Path],
    tmp_path: Path,
    fork: Fork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = {"objective": objective, "answers_per_prompt": 2, "kl_coefficient": 0.1}
    stage |= {"minibatches": 2, "checkpoint_every": 2}
    recipe = tiny_recipe(tiny("qwen2"), stage)
    draws: list[int] = []

    def sample(*args: Any) -> Any:
        draws.append(0)
        return paid_by_tokens(*args)

    monkeypatch.setattr(gathering, "sample_groups", sample)
    whole = tmp_path / "whole"
    start(recipe, whole)
    assert len(draws) == 3 if objective == "grpo" else len(draws) > 4
    places = ((gathering, "sample_groups", len(draws)), (reinforcement, "step_optimizer", 4))
    for module, place, last in places:
        run = tmp_path / place

        def target(
            run: Path = run, module: Any = module, place: str = place, last: int = last
        ) -> None:
            setattr(module, place, dies_at_call(getattr(module, place), last))
            start(recipe, run)

        _, status = os.waitpid(fork(target), 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        resume(run)
        assert_same(run, whole)


def test_a_run_killed_at_random_moments_ends_the_same(
    recipe: Recipe, uninterrupted: Path, tmp_path: Path, fork: Fork
) -> None:
    run, rng = tmp_path / "run", random.Random()
    child = fork(lambda: start(recipe, run))
    for logged in (1, 3):
        while not _enough(run, logged) and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.2))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if (run / "summary.json").exists():
            break
        if logged == 1:
            child = fork(lambda: resume(run))
    else:
        resume(run)
    assert_same(run, uninterrupted)


def _enough(run: Path, count: int) -> bool:
    path = run / "metrics.jsonl"
    return path.exists() and path.read_bytes().count(b"\n") >= count


def test_a_kill_between_the_last_two_records_loses_no_comparison(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``evaluations.json`` gets two entries at the end; a run must survive between them."""
    run, record = tmp_path / "run", RunFolder.record_evaluation
    calls = iter(range(1, 100))

    def fail_third(self: RunFolder, moment: str, result: Mapping[str, Any]) -> None:
        if next(calls) == 3:
            raise RunError("the disk is full")
        record(self, moment, result)

    monkeypatch.setattr(RunFolder, "record_evaluation", fail_third)
    with pytest.raises(RunError):
        run_recipe(recipe, run, silent())
    monkeypatch.setattr(RunFolder, "record_evaluation", record)
    resume(run)
    assert (run / "summary.json").exists()
