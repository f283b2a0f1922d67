"""What every sampler must do. A sampler's test class inherits ``SamplerContract``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import chisquare

from medrl.learning.groups import Origin
from medrl.learning.layout import Member, lay_out
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.policy import Policy, load_policy
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, StopReason
from medrl.schema import ModelSpec
from tests.tiny import ARCHITECTURES

TEXTS = (
    "User: what?",
    "Reason in <think></think>, then give the letter.",
    "A",
    "fever and cough: B",
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def next_token_probs(policy: Policy, ids: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
    """What the model itself says comes after ``ids``, [V]."""
    with torch.no_grad():
        logits = policy.model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
    return torch.softmax(logits / temperature, -1)


def generated(policy: Policy, prompt: Sequence[int], tokens: int, **more: Any) -> tuple[int, ...]:
    """The most probable answer as ``transformers`` writes it; ``more`` is for its ``generate``."""
    ids = torch.tensor([prompt])
    model: Any = policy.model
    theirs = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=tokens,
        eos_token_id=list(policy.stop_ids),
        pad_token_id=policy.pad_id,
        **more,
    )
    return tuple(theirs[0, len(prompt) :].tolist())


class SamplerContract(ABC):
    """Inherit and define ``make``.

    Attributes:
        entropies_known: False for an engine that has none to give: they must then be empty.
        tolerance: largest difference between its log-probs and the learner's.
    """

    entropies_known = True
    tolerance = 1e-5

    @abstractmethod
    def make(self, policy: Policy) -> Sampler:
        """The sampler to be held to the contract."""

    @pytest.fixture(params=ARCHITECTURES)
    def policy(self, request: pytest.FixtureRequest, tiny: Callable[[str], Path]) -> Policy:
        return load_policy(ModelSpec(path=str(tiny(request.param))))

    @pytest.fixture
    def prompts(self, policy: Policy) -> list[list[int]]:
        return [policy.encode(text) for text in TEXTS]

    def test_the_same_generator_state_gives_the_same_answers(
        self, policy: Policy, prompts: list[list[int]]
    ) -> None:
        sampler, params = self.make(policy), SamplingParams(8, 0.9)
        first = sampler.sample(prompts, 3, params, seeded(5))
        assert first == sampler.sample(prompts, 3, params, seeded(5))
        assert first != sampler.sample(prompts, 3, params, seeded(6))
        assert [len(answers) for answers in first] == [3] * len(prompts)
        assert len({answer.token_ids for answer in first[0]}) > 1

    @pytest.mark.parametrize("temperature", [1.0, 0.6])
    def test_log_probs_are_the_learners(
        self, policy: Policy, prompts: list[list[int]], temperature: float
    ) -> None:
        sampled = self.make(policy).sample(prompts, 2, SamplingParams(10, temperature), seeded())
        members = [
            _member(prompt, answer)
            for prompt, answers in zip(prompts, sampled, strict=True)
            for answer in answers
        ]
        layout = lay_out(members, "plain", policy.pad_id, policy.device)
        with torch.no_grad():
            learners_BA = answer_log_probs(policy.model, layout, temperature)
        for learners, member in zip(learners_BA, members, strict=True):
            mine = torch.tensor([member.log_probs[t] for t in member.written])
            torch.testing.assert_close(learners[: len(mine)], mine, rtol=1e-5, atol=self.tolerance)

    def test_entropies_are_those_of_the_distributions_drawn_from(self, policy: Policy) -> None:
        prompt = policy.encode(TEXTS[0])
        [[answer]] = self.make(policy).sample([prompt], 1, SamplingParams(4, 0.8), seeded())
        assert len(answer.entropies) == len(answer.token_ids) * self.entropies_known
        for t, entropy in enumerate(answer.entropies):
            probs = next_token_probs(policy, [*prompt, *answer.token_ids[:t]], 0.8)
            assert entropy == pytest.approx(float(-(probs * probs.log()).sum()), abs=1e-4)

    def test_greedy_is_what_transformers_generates(
        self, policy: Policy, prompts: list[list[int]]
    ) -> None:
        sampled = self.make(policy).sample(prompts, 1, SamplingParams(15, 0.0), seeded())
        for prompt, [answer] in zip(prompts, sampled, strict=True):
            assert answer.token_ids == generated(policy, prompt, 15)

    def test_the_batch_changes_no_greedy_answer(
        self, policy: Policy, prompts: list[list[int]]
    ) -> None:
        sampler, params = self.make(policy), SamplingParams(12, 0.0)
        together = sampler.sample(prompts, 2, params, seeded())
        for prompt, answers in zip(prompts, together, strict=True):
            [[alone]] = sampler.sample([prompt], 1, params, seeded())
            assert [a.token_ids for a in answers] == [alone.token_ids] * 2
            assert answers[0].log_probs == pytest.approx(alone.log_probs, abs=1e-4)

    def test_stop_tokens_end_an_answer_and_are_part_of_it(self, policy: Policy) -> None:
        prompt, limit = policy.encode(TEXTS[1]), 6
        likely = next_token_probs(policy, prompt, 2.0).topk(40).indices.tolist()
        stopping = replace(policy, stop_ids=(policy.stop_ids[0], *likely))
        [answers] = self.make(stopping).sample([prompt], 60, SamplingParams(limit, 2.0), seeded())
        assert {answer.stop for answer in answers} == {StopReason.END, StopReason.LENGTH}
        for answer in answers:
            *before, last = answer.token_ids
            assert not set(before) & set(stopping.stop_ids)
            assert (answer.stop is StopReason.END) == (last in stopping.stop_ids)
            assert answer.stop is StopReason.END or len(answer.token_ids) == limit
            assert len(answer.token_ids) == len(answer.log_probs) <= limit
            assert len(answer.entropies) == len(answer.token_ids) * self.entropies_known

    def test_tokens_come_as_often_as_they_are_likely(self, policy: Policy) -> None:
        prompt, draws = policy.encode(TEXTS[3]), 3000
        [answers] = self.make(policy).sample([prompt], draws, SamplingParams(1, 1.5), seeded(1))
        assert len(answers) == draws
        probs = next_token_probs(policy, prompt, 1.5).double()
        counts = torch.zeros_like(probs)
        for answer in answers:
            counts[answer.token_ids[0]] += 1
        order = probs.argsort(descending=True)
        common = order[probs[order] * draws >= 10]
        rest = order[len(common) :]
        observed = [*counts[common].tolist(), float(counts[rest].sum())]
        expected = [*(probs[common] * draws).tolist(), float(probs[rest].sum() * draws)]
        assert len(common) >= 5
        scale = draws / sum(expected)
        assert chisquare(observed, [e * scale for e in expected]).pvalue > 1e-4

    def test_no_prompts_and_no_answers_are_fine(self, policy: Policy) -> None:
        assert self.make(policy).sample([], 2, SamplingParams(3), seeded()) == []
        assert self.make(policy).sample([[1, 2]], 0, SamplingParams(3), seeded()) == [[]]


def _member(prompt: Sequence[int], answer: Completion) -> Member:
    return Member(
        (*prompt, *answer.token_ids),
        (Origin.TEMPLATE,) * len(prompt) + (Origin.POLICY,) * len(answer.token_ids),
        (0.0,) * len(prompt) + answer.log_probs,
        0,
        len(prompt),
    )
