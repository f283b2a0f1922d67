"""Evaluation: the reward's grader, every case once, and nothing counted that was not said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.errors import DataError
from medrl.evaluation.evaluate import (
    END_OF_ANSWER,
    FORCED_ANSWER,
    FORCED_THINKING,
    Examiner,
    Row,
    as_records,
    compare,
    flat,
    summarise,
)
from medrl.evaluation.statistics import wilson
from medrl.grading import Grader, Outcome
from medrl.learning.policy import Policy, load_policy
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, StopReason
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec
from tests.tiny import case

CASES = [case("ABCD"[i % 4], f"case-{i}") for i in range(5)]
PARAMS = SamplingParams(30, 0.0)


@pytest.fixture(scope="module")
def policy(tiny: Callable[[str], Path]) -> Policy:
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


class Scripted:
    """Answers the n-th prompt with the n-th text, over and over; remembers the prompts."""

    def __init__(self, policy: Policy, texts: Sequence[str], stop: StopReason) -> None:
        self.policy, self.texts, self.stop = policy, texts, stop
        self.prompts: list[list[int]] = []
        self.blocks: list[int] = []

    def refresh(self) -> None:
        pass

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
    ) -> list[list[Completion]]:
        self.blocks.append(len(prompts))
        found = []
        for prompt in prompts:
            ids = tuple(self.policy.encode(self.texts[len(self.prompts) % len(self.texts)]))
            self.prompts.append(list(prompt))
            zeros = (0.0,) * len(ids)
            found.append([Completion(ids, zeros, zeros, self.stop)] * answers_per_prompt)
        return found


def run(policy: Policy, sampler: Sampler, **more: Any) -> list[list[Row]]:
    examiner = Examiner(policy, sampler, "{question}", Grader())
    return examiner.ask(CASES, PARAMS, torch.Generator(), **more)


def test_rows_say_what_the_grader_said(policy: Policy) -> None:
    texts = [
        "<think>a b c d e f</think><answer>A</answer>",
        "<answer>A</answer>",
        "no idea",
        "<think>x</think><answer>A and B</answer>",
        "<think>x</think><answer>A</answer>",
    ]
    rows = [row for [row] in run(policy, Scripted(policy, texts, StopReason.END))]
    assert [row.case_id for row in rows] == [c.id for c in CASES]
    assert [row.gold for row in rows] == list("ABCDA")
    assert [row.outcome for row in rows] == [
        Outcome.CORRECT,
        Outcome.WRONG,
        Outcome.NO_ANSWER,
        Outcome.SEVERAL_ANSWERS,
        Outcome.CORRECT,
    ]
    assert [row.answer for row in rows] == ["A", "A", "", "", "A"]
    assert [row.format_ok for row in rows] == [True, False, False, True, True]
    assert [row.text for row in rows] == texts
    assert rows[0].tokens == len(policy.encode(texts[0]))
    assert rows[0].think_tokens == len(policy.encode("a b c d e f"))
    assert not any(row.cut for row in rows)

    result = summarise(rows)
    assert (result["n"], result["correct"], result["accuracy"]) == (5, 2, 0.4)
    assert (result["low"], result["high"]) == (wilson(2, 5).low, wilson(2, 5).high)
    assert result["no_answer"] == result["several_answers"] == 1
    assert result["format_rate"] == pytest.approx(0.6)
    assert result["think_rate"] == pytest.approx(0.2)
    assert result["cut"] == 0
    assert result["chance"] == 0.25  # four options each
    mixed = [replace(rows[0], options=n) for n in (2, 4, 0)]
    assert summarise(mixed)["chance"] == pytest.approx((1 / 2 + 1 / 4) / 3)


def test_cases_are_decoded_in_blocks_and_progress_is_told(policy: Policy) -> None:
    sampler = Scripted(policy, ["<answer>A</answer>"], StopReason.LENGTH)
    told: list[int] = []
    rows = run(policy, sampler, block=2, answers_per_prompt=3, on_progress=told.append)
    assert sampler.blocks == told == [2, 2, 1]
    assert [len(answers) for answers in rows] == [3] * 5
    assert summarise(flat(rows))["cut"] == 15


@pytest.mark.parametrize("prefill", [FORCED_ANSWER, FORCED_THINKING])
def test_a_prefill_starts_every_answer_and_is_graded_with_it(policy: Policy, prefill: str) -> None:
    rest = {FORCED_ANSWER: "A</answer>", FORCED_THINKING: "x</think><answer>A</answer>"}[prefill]
    sampler = Scripted(policy, [rest], StopReason.END)
    rows = run(policy, sampler, prefill=prefill)
    assert rows[0][0].text == prefill + rest and rows[0][0].correct
    assert sampler.prompts[0] == policy.encode("What helps?") + policy.encode(prefill)


def test_a_forced_answer_ends_where_it_is_given(policy: Policy) -> None:
    """A policy that is used to thinking answers, then thinks, and answers again."""
    second_thoughts = "B</answer><think>x</think><answer>A</answer>"
    sampler = Scripted(policy, [second_thoughts, "A and on and on"], StopReason.LENGTH)
    whole = flat(run(policy, sampler, prefill=FORCED_ANSWER))
    rows = flat(run(policy, sampler, prefill=FORCED_ANSWER, until=END_OF_ANSWER))
    assert whole[0].correct and whole[0].cut
    assert rows[1].text == "<answer>B</answer>" and rows[1].correct and not rows[1].cut
    assert rows[0].text == "<answer>A and on and on" and rows[0].cut and not rows[0].correct


def test_a_prefill_needs_room_too(policy: Policy) -> None:
    sampler = Scripted(policy, ["A"], StopReason.END)
    full = policy.context - len(policy.encode("What helps?"))
    fits = SamplingParams(full, 0.0)
    examiner = Examiner(policy, sampler, "{question}", Grader())
    examiner.ask(CASES[:1], fits, torch.Generator())
    with pytest.raises(DataError, match="context"):
        examiner.ask(CASES[:1], fits, torch.Generator(), prefill="<think>")


def test_the_real_sampler_evaluates_the_same_twice(policy: Policy) -> None:
    sampler = TorchSampler(policy.model, policy.stop_ids)
    rows = run(policy, sampler)
    assert rows == run(policy, sampler, block=2)
    assert all(row.tokens > 0 for [row] in rows)


def test_comparing_is_paired(policy: Policy) -> None:
    texts = ["<answer>A</answer>", "<answer>B</answer>"]
    before = [r for [r] in run(policy, Scripted(policy, texts[:1], StopReason.END))]
    after = [r for [r] in run(policy, Scripted(policy, texts, StopReason.END))]
    # right before: cases 0 and 4 (gold A). After: 0 (A), 1 (B), 4 (A): one gained, none lost.
    result = compare(after, before)
    assert result["difference"] == pytest.approx(0.2)
    assert result["low"] <= 0.2 <= result["high"] and result["p_value"] == 1.0
    with pytest.raises(ValueError, match="not of the same cases"):
        compare(after[1:], before[:-1])
    assert [Row(**record) for record in as_records(after)] == after
