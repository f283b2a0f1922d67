"""Conversations: what was kept is what reading everything again would give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from medrl.learning.policy import Policy, load_policy
from medrl.prompt import Prompt
from medrl.sampling.sampler import Completion, SamplingParams
from medrl.sampling.talk import KeptTalk, RereadTalk, Talk, start_talk
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec
from tests.sampling.contract import next_token_probs
from tests.sampling.test_torch_sampler import stopping_often, tokens_fed
from tests.tiny import ARCHITECTURES

TURNS = 3
REPLIES = ((5, 9, 2), (7,), (3, 3, 8, 1, 6), (4, 11))


@pytest.fixture
def policy(tiny: Callable[[str], Path]) -> Policy:
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


def held(
    talk: Talk,
    conversations: int,
    turns: int = TURNS,
    late: Callable[[int, int], int] = lambda number, turn: 0,
) -> dict[int, list[Completion]]:
    """All turns of each conversation; a reply comes ``late`` steps after the turn it answers."""
    said: dict[int, list[Completion]] = {n: [] for n in range(conversations)}
    due: dict[int, int] = {}
    for step in range(1000):
        if all(len(own) == turns for own in said.values()):
            return said
        for number in [n for n, at in due.items() if at <= step]:
            talk.reply(number, REPLIES[(number + len(said[number])) % len(REPLIES)])
            del due[number]
        for number, turn in talk.step().items():
            said[number].append(turn)
            if len(said[number]) < turns:
                due[number] = step + 1 + late(number, len(said[number]))
            else:
                talk.close(number)
    raise AssertionError("a conversation did not go on")


def ids_of(said: dict[int, list[Completion]]) -> dict[int, list[tuple[int, ...]]]:
    return {number: [turn.token_ids for turn in turns] for number, turns in said.items()}


def prompts_of(policy: Policy) -> list[Prompt]:
    return [policy.prompt(text) for text in ("User: what?", "A", "Reason, then give the letter.")]


def tokens_of(prompt: Prompt, number: int, turns: Sequence[Completion], upto: int) -> list[int]:
    """The conversation before turn ``upto``."""
    ids = list(prompt.token_ids)
    for t, turn in enumerate(turns[:upto], 1):
        ids += [*turn.token_ids, *REPLIES[(number + t) % len(REPLIES)]]
    return ids


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_kept_turns_are_those_of_reading_again(kind: str, tiny: Callable[[str], Path]) -> None:
    policy = load_policy(ModelSpec(path=str(tiny(kind))))
    prompts = prompts_of(policy)
    sampler = TorchSampler(policy.model, stopping_often(policy, [*prompts[0].token_ids]))
    args = sampler, prompts, 2, SamplingParams(6, 0.0), 0
    kept, reread = held(KeptTalk(*args), 6), held(RereadTalk(*args), 6)
    assert ids_of(kept) == ids_of(reread)
    for number, turns in kept.items():
        for mine, theirs in zip(turns, reread[number], strict=True):
            torch.testing.assert_close(mine.log_probs, theirs.log_probs, rtol=1e-4, atol=1e-4)


def test_log_probs_are_the_models_own(policy: Policy) -> None:
    prompts = prompts_of(policy)
    sampler = TorchSampler(policy.model, stopping_often(policy, [*prompts[0].token_ids]))
    said = held(start_talk(sampler, prompts, 3, SamplingParams(5, 0.8), 3), 9)
    for number, turns in said.items():
        for t, turn in enumerate(turns):
            ids = tokens_of(prompts[number // 3], number, turns, t)
            for token, log_prob in zip(turn.token_ids, turn.log_probs, strict=True):
                probs = next_token_probs(policy, ids, 0.8)
                assert log_prob == pytest.approx(float(probs[token].log()), abs=1e-4)
                ids.append(token)


def test_turns_do_not_hang_on_when_replies_come(policy: Policy) -> None:
    prompts = prompts_of(policy)
    sampler = TorchSampler(policy.model, stopping_often(policy, [*prompts[0].token_ids]))
    args = sampler, prompts, 4, SamplingParams(5, 1.0), 7
    at_once = held(KeptTalk(*args), 12)
    late = held(KeptTalk(*args), 12, late=lambda number, turn: (5 * number + 3 * turn) % 11)
    sampler.max_rows = 4
    few = held(KeptTalk(*args), 12)
    assert ids_of(late) == ids_of(few) == ids_of(at_once)
    assert len({turns[0].token_ids for turns in at_once.values()}) > 3


def test_only_what_is_new_is_read(policy: Policy) -> None:
    prompt = policy.prompt("Reason, then give the letter.")
    talk = KeptTalk(TorchSampler(policy.model, ()), [prompt], 4, SamplingParams(3, 1.0), 0)
    with tokens_fed(policy) as sizes:
        held(talk, 4, turns=2)
    lengths = [len(REPLIES[(n + 1) % 4]) for n in range(4)]
    # The prompt once, two tokens of each turn, then the third with its reply in one pass.
    assert sizes == [len(prompt), 4, 4, 4 + sum(lengths), 4, 4]


def test_a_closed_conversation_frees_its_place(policy: Policy) -> None:
    prompts = [policy.prompt(f"Question {n}") for n in range(5)]
    talk = KeptTalk(TorchSampler(policy.model, (), max_rows=2), prompts, 1, SamplingParams(2), 0)
    first: dict[int, Completion] = {}
    while len(first) < 2:
        first |= talk.step()
    assert set(first) == {0, 1} and not talk.step()
    talk.close(0)
    talk.close(1)
    while len(first) < 4:
        first |= talk.step()
    assert set(first) == {0, 1, 2, 3} and talk.open == {2, 3}


def test_long_replies_are_read_in_pieces(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    args = TorchSampler(policy.model, ()), prompts_of(policy), 2, SamplingParams(3, 1.0), 1
    whole = held(KeptTalk(*args), 6)
    monkeypatch.setattr("medrl.sampling.talk.READ_TOKENS", 5)
    assert ids_of(held(KeptTalk(*args), 6)) == ids_of(whole)
