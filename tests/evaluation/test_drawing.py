"""CAPO's filter from end to end: ten answers are sampled, graded and counted, cases are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats

from medrl.cases.difficulty import keep, keep_probability, rates_from
from medrl.cases.spec import DifficultySpec
from medrl.evaluation.drawing import draw
from medrl.evaluation.evaluate import Examiner
from medrl.grading import Grader
from medrl.learning.policy import Policy, load_policy
from medrl.run import generator
from medrl.sampling.sampler import Completion, SamplingParams, StopReason
from medrl.schema import ModelSpec
from tests.tiny import case

CAPO = DifficultySpec(answers=10, temperature=0.9, lo=1, hi=9)


class Coin:
    """A sampler that answers rightly (B) with probability ``p``, at any temperature."""

    exact = True

    def __init__(self, policy: Policy, p: float) -> None:
        self.right, self.wrong = (
            tuple(policy.encode(f"<answer>{letter}</answer>")) for letter in "BA"
        )
        self.p = p
        self.asked: list[SamplingParams] = []

    def refresh(self) -> None:
        """Nothing to take over."""

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
        media: Any = (),
    ) -> list[list[Completion]]:
        self.asked.append(params)
        rolls = torch.rand(len(prompts), answers_per_prompt, generator=generator)
        return [[self._said(roll < self.p) for roll in row] for row in rolls.tolist()]

    def _said(self, right: bool) -> Completion:
        ids = self.right if right else self.wrong
        return Completion(ids, (-1.0,) * len(ids), (), StopReason.END)


@pytest.fixture(scope="module")
def policy(tiny: Callable[[str], Path]) -> Policy:
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


def kept(policy: Policy, p: float, cases: int) -> int:
    coin = Coin(policy, p)
    examiner = Examiner(policy, coin, "think-answer", Grader())
    asked = [case("B", f"case-{i}") for i in range(cases)]
    record = draw(examiner, asked, CAPO, 16, generator(0, "coin"))
    assert {params.temperature for params in coin.asked} == {0.9}
    found = keep(asked, rates_from(record, asked, CAPO, "here"), CAPO)
    assert all(0.1 <= (c.difficulty or 0) <= 0.9 for c in found.kept)
    return len(found.kept)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
def test_cases_of_pass_rate_p_are_kept_at_the_binomial_rate(p: float, policy: Policy) -> None:
    """Exact two-sided binomial test at 0.1 %, which a filter that keeps ten of ten or none of ten
    fails at all of these p but the third."""
    wanted = 1 - p**10 - (1 - p) ** 10
    assert stats.binomtest(kept(policy, p, 150), 150, wanted).pvalue > 0.001


def test_a_case_that_is_always_or_never_right_is_dropped(policy: Policy) -> None:
    sure = [case("B", f"case-{i}") for i in range(3)]
    for p in (0.0, 1.0):
        examiner = Examiner(policy, Coin(policy, p), "think-answer", Grader())
        record = draw(examiner, sure, CAPO, 16, generator(0))
        assert set(record["right"].values()) == {round(10 * p)}
        assert keep_probability(p, 10, 1, 9) == 0


def test_keep_probabilities_by_hand() -> None:
    assert keep_probability(0.5, 10, 1, 9) == pytest.approx(1022 / 1024, abs=1e-15)
    # 0.9 ** 10 = 0.3486784401, and 0.1 ** 10 = 0.0000000001
    assert keep_probability(0.1, 10, 1, 9) == pytest.approx(0.6513215598, abs=1e-10)
    assert keep_probability(0.9, 10, 1, 9) == pytest.approx(0.6513215598, abs=1e-10)
    # 0.99 ** 10 = 0.9043820750088044
    assert keep_probability(0.01, 10, 1, 9) == pytest.approx(0.0956179249911956, abs=1e-12)
