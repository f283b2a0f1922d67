"""The default sampler: the contract, and how much work it does for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medrl.learning.policy import Policy, load_policy
from medrl.sampling.drawing import draw
from medrl.sampling.rows import COMPACT_BELOW
from medrl.sampling.sampler import Sampler, SamplingParams, StopReason
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec
from tests.sampling.contract import SamplerContract, next_token_probs, seeded


class TestTorchSampler(SamplerContract):
    def make(self, policy: Policy) -> Sampler:
        return TorchSampler(policy.model, policy.stop_ids)


@pytest.fixture
def policy(tiny: Callable[[str], Path]) -> Policy:
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


@contextmanager
def tokens_fed(policy: Policy) -> Iterator[list[int]]:
    """Tokens of each forward pass inside the block; they form one row."""
    sizes: list[int] = []

    def note(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        rows, tokens = kwargs["input_ids"].shape
        assert rows == 1
        sizes.append(tokens)

    hook = policy.model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    yield sizes
    hook.remove()


def stopping_often(policy: Policy, prompt: list[int]) -> tuple[int, ...]:
    """The likeliest tokens as stop ids, so that answers end early and at different lengths."""
    return tuple(next_token_probs(policy, prompt, 2.0).topk(60).indices.tolist())


def test_a_prompt_is_read_once_for_all_its_answers_and_nothing_is_padded(policy: Policy) -> None:
    sampler = TorchSampler(policy.model, ())
    prompts = [list(range(1, 12)), list(range(3, 10))]
    with tokens_fed(policy) as sizes:
        sampler.sample(prompts, 8, SamplingParams(3), seeded())
    assert sizes == [11 + 7, 16, 16]


def test_rows_that_have_ended_leave(policy: Policy) -> None:
    prompt = policy.encode("User: what?")
    sampler = TorchSampler(policy.model, stopping_often(policy, prompt))
    with tokens_fed(policy) as sizes:
        [answers] = sampler.sample([prompt], 40, SamplingParams(6, 2.0), seeded())
    assert sizes[1] < 40
    for step, rows in enumerate(sizes[1:], 1):
        live = sum(len(a.token_ids) > step for a in answers)
        assert live <= rows <= live / COMPACT_BELOW + 1


def test_free_places_are_taken_by_answers_that_waited(policy: Policy) -> None:
    prompt = policy.encode("Which of the following is the most likely diagnosis? " * 2)
    sampler = TorchSampler(policy.model, stopping_often(policy, prompt), max_rows=8)
    with tokens_fed(policy) as sizes:
        groups = sampler.sample([prompt] * 10, 4, SamplingParams(30, 2.0), seeded())
    lengths = [len(a.token_ids) for g in groups for a in g]
    reads = [i for i, tokens in enumerate(sizes) if tokens % len(prompt) == 0 and tokens > 8]
    assert len(reads) > 2
    # Five batches of eight that wait for their slowest would take the sum of their longest.
    batches = [max(lengths[i : i + 8]) for i in range(0, 40, 8)]
    assert len(sizes) - len(reads) < sum(batches)


@pytest.mark.parametrize(("prompts", "answers"), [(5, 3), (1, 7), (3, 10), (2, 4), (9, 1)])
@pytest.mark.parametrize(
    ("architecture", "temperature"), [("qwen2", 0.0), ("qwen2", 1.0), ("gemma3", 1.0)]
)
def test_no_more_rows_than_allowed_and_the_same_answers(
    architecture: str, prompts: int, answers: int, temperature: float, tiny: Callable[[str], Path]
) -> None:
    """An answer hangs on its own random numbers, not on the company it is written in."""
    policy = load_policy(ModelSpec(path=str(tiny(architecture))))
    few = TorchSampler(policy.model, policy.stop_ids, max_rows=4)
    ids = [[1 + i] * (5 + i % 3) for i in range(prompts)]
    with tokens_fed(policy) as sizes:
        sampled = few.sample(ids, answers, SamplingParams(4, temperature), seeded())
    assert all(tokens <= 4 or tokens >= 5 for tokens in sizes)
    assert min(sizes) <= 4
    whole = TorchSampler(policy.model, policy.stop_ids)
    expected = whole.sample(ids, answers, SamplingParams(4, temperature), seeded())
    assert [[a.token_ids for a in g] for g in sampled] == [
        [a.token_ids for a in g] for g in expected
    ]


def test_stop_strings_end_an_answer_wherever_they_are_cut_into_tokens(policy: Policy) -> None:
    prompt = policy.encode("User: what?")
    sampler = TorchSampler(policy.model, policy.stop_ids, policy.decode)
    [free] = sampler.sample([prompt], 30, SamplingParams(25, 1.0), seeded())
    text = policy.decode(free[0].token_ids[:12])
    wanted = (text[len(text) // 2 :], "e")
    [answers] = sampler.sample([prompt], 30, SamplingParams(25, 1.0, stop=wanted), seeded())
    assert {a.stop for a in answers} >= {StopReason.TEXT}
    for answer, unstopped in zip(answers, free, strict=True):
        assert answer.token_ids == unstopped.token_ids[: len(answer.token_ids)]
        before = policy.decode(answer.token_ids[:-1])
        assert not any(w in before for w in wanted)
        found = any(w in policy.decode(answer.token_ids) for w in wanted)
        assert found is (answer.stop is StopReason.TEXT)
    with pytest.raises(ValueError, match="decode"):
        TorchSampler(policy.model, ()).sample([prompt], 1, SamplingParams(5, stop=("e",)), seeded())


@pytest.mark.parametrize(("top_k", "top_p"), [(3, 1.0), (0, 0.3), (2, 0.9), (1, 1.0)])
def test_truncated_sampling_draws_from_the_likeliest_and_reports_the_whole_distribution(
    policy: Policy, top_k: int, top_p: float
) -> None:
    prompt = policy.encode("User: what?")
    probs = next_token_probs(policy, prompt, 1.5)
    order = probs.argsort(descending=True).tolist()
    nucleus = next(n for n in range(1, len(order) + 1) if probs[order[:n]].sum() >= top_p - 1e-6)
    allowed = order[: min(nucleus, top_k or len(order))]
    params = SamplingParams(1, 1.5, top_k, top_p)
    [answers] = TorchSampler(policy.model, ()).sample([prompt], 600, params, seeded())
    drawn = [a.token_ids[0] for a in answers]
    assert set(drawn) <= set(allowed)
    inside = probs[allowed] / probs[allowed].sum()
    for token, share in zip(allowed, inside.tolist(), strict=True):
        assert drawn.count(token) / 600 == pytest.approx(share, abs=0.09)
    for answer in answers[:20]:
        expected = float(probs[answer.token_ids[0]].log())
        assert answer.log_probs[0] == pytest.approx(expected, abs=1e-5)


@given(
    st.lists(st.floats(-20, 20), min_size=2, max_size=9),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0.3, 1.0, 2.0]),
)
def test_a_token_is_the_one_in_whose_share_the_random_number_falls(
    logits: list[float], uniform: float, temperature: float
) -> None:
    probs = torch.softmax(torch.tensor([logits]) / temperature, -1)
    tokens, _, _ = draw(
        torch.tensor([logits]),
        SamplingParams(1, temperature),
        torch.tensor([uniform], dtype=torch.float64),
    )
    token = int(tokens)
    below = float(probs[0, :token].double().sum())
    assert below - 1e-6 <= uniform <= below + float(probs[0, token]) + 1e-6
    assert probs[0, token] > 0


def test_it_samples_from_the_weights_as_they_are(policy: Policy) -> None:
    sampler = TorchSampler(policy.model, policy.stop_ids)
    prompt, params = policy.encode("User: what?"), SamplingParams(8, 0.0)
    before = sampler.sample([prompt], 1, params, seeded())
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.mul_(-1.5)
    assert sampler.sample([prompt], 1, params, seeded()) != before


def test_dropout_is_off_while_sampling_and_the_mode_comes_back(
    tiny: Callable[[str], Path],
) -> None:
    policy = load_policy(ModelSpec(path=str(tiny("gpt2"))))  # it has dropout
    sampler = TorchSampler(policy.model, policy.stop_ids)
    params = SamplingParams(5, 0.0)
    calm = sampler.sample([[5, 6, 7]], 1, params, seeded())
    policy.model.train()
    assert sampler.sample([[5, 6, 7]], 1, params, seeded()) == calm
    assert policy.model.training
