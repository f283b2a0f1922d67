"""What a user sees: lines in a log, a bar on a terminal, nothing when asked for nothing."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from medrl.evaluation.evaluate import Examiner
from medrl.grading import Grader
from medrl.learning.policy import Policy
from medrl.learning.preparation import Parts, StageData
from medrl.learning.progress import Display, describe
from medrl.sampling.torch_sampler import TorchSampler
from tests.learning.conftest import MakeRecipe


def shown(policy: Policy, make_recipe: MakeRecipe, terminal: bool, quiet: bool) -> str:
    written = io.StringIO()
    display = Display(Console(file=written, force_terminal=terminal, width=200), quiet)
    recipe = make_recipe({"steps": 3}, {"objective": "sft"})
    none = StageData(None, [30, 40], [])
    examiner = Examiner(policy, TorchSampler(policy.model, policy.stop_ids), "{question}", Grader())
    display.banner(recipe, policy, Parts(examiner, [], [30, 40], [none, none], {}))
    with display.stage(recipe.stages[0], 1) as on_step:
        on_step({"reward": -0.25, "unlisted": 3.0})
        on_step({"reward": 0.5})
    with display.counting("evaluating", 10) as advance:
        advance(4)
        advance(6)
    return written.getvalue()


def test_a_log_gets_lines(policy: Policy, make_recipe: MakeRecipe) -> None:
    text = shown(policy, make_recipe, terminal=False, quiet=False)
    assert "ppo 2/3  reward -0.25" in text and "ppo 3/3  reward 0.50" in text
    assert "evaluating 4/10" in text and "evaluating 10/10" in text
    assert "\x1b" not in text and "unlisted" not in text
    lengths = "2, prompts of 30 to 40 tokens"
    for fact in (
        "all trained",
        "toy (rehearsal), seed 0",
        "cpu, float32",
        "<|endoftext|>",
        lengths,
        "GiB",
    ):
        assert fact in text
    assert "ppo, 3 steps of 4 prompts x 1 answers, at most 8192 tokens" in text
    assert "sft, 2 steps of 4 prompts" in text


def test_a_terminal_gets_bars(policy: Policy, make_recipe: MakeRecipe) -> None:
    text = shown(policy, make_recipe, terminal=True, quiet=False)
    assert "3/3" in text and "10/10" in text and "reward 0.50" in text


def test_quiet_is_silent(
    policy: Policy, make_recipe: MakeRecipe, capfd: pytest.CaptureFixture[str]
) -> None:
    assert shown(policy, make_recipe, terminal=True, quiet=True) == ""
    assert capfd.readouterr() == ("", "")


def test_lines_in_a_log_come_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    written = io.StringIO()
    with Display(Console(file=written, width=80)).counting("reading", 100) as advance:
        for _ in range(99):
            advance(1)
            now[0] += 1.0
        advance(1)
    lines = written.getvalue().splitlines()
    counts = [line.split()[1] for line in lines]
    assert counts == [f"{n}/100" for n in (1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 100)]


def test_the_first_line_does_not_wait_for_a_machine_that_has_just_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.5)
    written = io.StringIO()
    with Display(Console(file=written, width=80)).counting("reading", 3) as advance:
        advance(1)
    assert "reading 1/3" in written.getvalue()


def test_describe_picks_the_few_worth_watching() -> None:
    assert (
        describe({"loss": 1.234, "grad_norm": 2.0, "accuracy": 0.5}) == "accuracy 0.50  loss 1.23"
    )
