"""Conversations: who wrote what, when they end, and that only the policy's tokens are trained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrl.cases.case import Case, Provenance, Reference
from medrl.cases.record import Turn
from medrl.environments.environment import Ending, Environment, Reply
from medrl.errors import DataError, JudgeError, ModelError
from medrl.grading import Grader
from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.conversing import Limits, Setting, sample_conversations, written_conversations
from medrl.learning.frames import Frame, frame_of
from medrl.learning.groups import Group, Origin
from medrl.learning.layout import Mode, answer_grid, lay_out, members_of
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.metrics import written
from medrl.learning.policy import Policy, load_policy
from medrl.model import causal_lm
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec

FRAME = Frame("\nUser: ", "\nAssistant:")
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@dataclass
class Echo:
    """Answers with how often it was asked; over after so many turns."""

    opening: str
    over_after: int = 99
    before: Callable[[int], float] = lambda turn: 0.0
    fails_at: int = 99
    heard: list[str] = field(default_factory=list)

    async def step(self, text: str) -> Reply:
        self.heard.append(text)
        turn = len(self.heard)
        if turn == self.fails_at:
            raise JudgeError("no patient at http://127.0.0.1:1", "start it")
        if seconds := self.before(turn):
            await asyncio.sleep(seconds)
        return Reply(f"fever {turn}", reward=turn / 2, event="told", over=turn == self.over_after)

    def verdict(self) -> Verdict:
        return Verdict(Outcome.NO_ANSWER, "", "nobody diagnosed", False, "")

    def measures(self) -> Mapping[str, float]:
        return {"heard": len(self.heard)}


@dataclass
class Echoes:
    """Opens them; the n-th of all as ``make`` says."""

    make: Callable[[int, str], Echo] = lambda number, text: Echo(text)
    opened: list[Echo] = field(default_factory=list)
    most_turns: int = 99

    def open(self, case: Case, seed: int) -> Environment:
        self.opened.append(self.make(len(self.opened), case.question))
        return self.opened[-1]

    def demonstration(self, case: Case, seed: int) -> tuple[str, tuple[Turn, ...]]:
        return case.question, case.transcript


def case(number: int, question: str = "User: what?\nAssistant:") -> Case:
    return Case(f"c{number}", question, Reference("phrase", "flu"), Provenance("test"))


@pytest.fixture
def policy(tiny: Callable[[str], Path]) -> Policy:
    return load_policy(ModelSpec(path=str(tiny("qwen2"))))


def held(
    policy: Policy,
    world: Echoes,
    cases: int = 2,
    episodes: int = 3,
    turns: int = 3,
    tokens: int = 1000,
    timeout: float = 5.0,
    seed: int = 0,
) -> list[Group]:
    sampler = TorchSampler(policy.model, policy.stop_ids)
    setting = Setting(world, FRAME, Limits(turns, tokens, timeout))
    asked = [case(n) for n in range(cases)]
    params = SamplingParams(5, 1.0)
    return sample_conversations(policy, sampler, asked, setting, episodes, params, seed)


def test_every_token_has_its_origin(policy: Policy) -> None:
    world = Echoes()
    groups = held(policy, world)
    assert [len(g.episodes) for g in groups] == [3, 3]
    environments = iter(world.opened)
    for group in groups:
        assert group.prefix_length == len(policy.prompt("User: what?\nAssistant:"))
        for episode in group.episodes:
            environment = next(environments)
            assert isinstance(environment, Echo)
            assert (episode.ending, episode.turns) == (Ending.TURNS, 3)
            assert episode.reward == 0.5 + 1.0 + 1.5 and episode.terms == {"heard": 3}
            runs = [
                (origin, policy.decode([t for t, _ in tokens]))
                for origin, tokens in _runs(
                    list(zip(episode.token_ids, episode.origins, strict=True))
                )
            ]
            wrote = [text for origin, text in runs if origin is Origin.POLICY]
            assert wrote == environment.heard
            read = [text for origin, text in runs if origin is Origin.ENVIRONMENT]
            assert read == ["fever 1", "fever 2"]
            framed = [text for origin, text in runs if origin is Origin.TEMPLATE]
            assert framed == ["User: what?\nAssistant:", *["\nUser: ", "\nAssistant:"] * 2]
            assert "fever" in episode.text and "fever" not in written(policy, episode)
            assert len(episode.log_probs) == len(episode.token_ids)
            for log_prob, origin in zip(episode.log_probs, episode.origins, strict=True):
                assert (log_prob != 0) is (origin is Origin.POLICY)


def _runs(pairs: list[tuple[int, Origin]]) -> list[tuple[Origin, list[tuple[int, Origin]]]]:
    found: list[tuple[Origin, list[tuple[int, Origin]]]] = []
    for token, origin in pairs:
        if not found or found[-1][0] is not origin:
            found.append((origin, []))
        found[-1][1].append((token, origin))
    return found


@pytest.mark.parametrize("mode", ["plain", "packed", "shared"])
def test_log_probs_are_the_learners(policy: Policy, mode: Mode) -> None:
    members = members_of(held(policy, Echoes()))
    behaviour_BA = answer_grid(members, policy.device)[1]
    with torch.no_grad():
        layout = lay_out(members, mode, policy.pad_id, "cpu")
        found_BA = answer_log_probs(policy.model, layout, 1.0)
    torch.testing.assert_close(found_BA, behaviour_BA, rtol=1e-4, atol=1e-4)


def test_what_others_write_has_no_gradient(policy: Policy) -> None:
    """A loss on these conversations reaches the predictions of the policy's own tokens only: where
    a reply, a frame or the prompt would be predicted, the gradient is exactly zero."""
    members = members_of(held(policy, Echoes()))
    layout = lay_out(members, "plain", policy.pad_id, "cpu")
    kept: list[torch.Tensor] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        output.last_hidden_state.retain_grad()
        kept.append(output.last_hidden_state)

    hook = causal_lm(policy.model).base_model.register_forward_hook(keep)
    answer_log_probs(policy.model, layout, 1.0).sum().backward()
    hook.remove()
    [hidden_BTD] = kept
    assert hidden_BTD.grad is not None
    reached_BT = (hidden_BTD.grad != 0).any(-1)
    for b, member in enumerate(members):
        for t, origin in enumerate(member.origins[1:]):
            assert bool(reached_BT[b, t]) is (origin is Origin.POLICY)
        assert not reached_BT[b, member.length :].any()


def test_an_environment_may_end_it(policy: Policy) -> None:
    world = Echoes(lambda number, text: Echo(text, over_after=1 + number % 3))
    [group] = held(policy, world, cases=1, turns=9)
    assert [e.turns for e in group.episodes] == [1, 2, 3]
    assert {e.ending for e in group.episodes} == {Ending.FINISHED}


def test_an_episode_has_so_many_tokens(policy: Policy) -> None:
    [group] = held(policy, Echoes(), cases=1, turns=99, tokens=80)
    for episode in group.episodes:
        assert episode.ending is Ending.TOKENS and 80 - 25 < len(episode.token_ids) <= 80
    with pytest.raises(DataError, match=r"case c0.*the opening has \d+ tokens"):
        held(policy, Echoes(), tokens=10)


def test_a_hung_environment_holds_nobody_up(policy: Policy) -> None:
    """64 conversations, one of which never answers: it is counted, the rest finish."""
    world = Echoes(lambda number, text: Echo(text, before=lambda turn: 60.0 * (number == 17)))
    groups = held(policy, world, cases=16, episodes=4, turns=2, timeout=1.0)
    endings = [e.ending for g in groups for e in g.episodes]
    assert endings[17] is Ending.TIMEOUT and endings.count(Ending.TURNS) == 63
    assert groups[4].episodes[1].turns == 1 and groups[4].episodes[1].reward == 0


def test_slow_replies_change_nothing(policy: Policy) -> None:
    at_once = held(policy, Echoes(), seed=4)
    slow = Echoes(lambda number, text: Echo(text, before=lambda turn: 0.01 * ((number + turn) % 4)))
    assert [e.token_ids for g in held(policy, slow, seed=4) for e in g.episodes] == [
        e.token_ids for g in at_once for e in g.episodes
    ]
    assert at_once != held(policy, Echoes(), seed=5)


def test_what_cannot_be_reached_stops_the_step(policy: Policy) -> None:
    world = Echoes(lambda number, text: Echo(text, fails_at=2 if number == 3 else 99))
    with pytest.raises(JudgeError, match=r"no patient at http"):
        held(policy, world)


def test_a_chat_has_its_templates_frame(policy: Policy) -> None:
    policy.tokenizer.chat_template = CHAT
    chat = Policy(**{n: getattr(policy, n) for n in policy.__dataclass_fields__} | {"chat": True})
    frame = frame_of(chat)
    assert frame == Frame("<|endoftext|>\n<user>", "<|endoftext|>\n<assistant>")
    turn = [*policy.encode("Do you cough?"), policy.stop_ids[0]]
    ids, origins = frame.tokens(chat, turn, "Yes.")
    said = policy.tokenizer.decode([*turn, *ids])
    assert said == "Do you cough?<|endoftext|>\n<user>Yes.<|endoftext|>\n<assistant>"
    assert (
        policy.tokenizer.decode(
            [i for i, o in zip(ids, origins, strict=True) if o is Origin.ENVIRONMENT]
        )
        == "Yes."
    )
    cut, _ = frame.tokens(chat, turn[:-1], "Yes.")
    assert policy.tokenizer.decode([*turn[:-1], *cut]) == said
    policy.tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ModelError, match="leaves out what was said before"):
        frame_of(chat)


def test_an_experts_conversation_is_learned_turn_by_turn(policy: Policy) -> None:
    said = Turn("policy", "Any fever?"), Turn("environment", "Yes."), Turn("policy", "It is flu.")
    asked = replace(case(0), transcript=said)
    setting = Setting(Echoes(), FRAME, Limits(9, 1000))
    [group] = written_conversations(policy, [asked], setting, Grader(), 0)
    [episode] = group.episodes
    end = policy.tokenizer.decode([policy.stop_ids[0]])
    runs = [
        (origin, policy.tokenizer.decode([t for t, _ in tokens]))
        for origin, tokens in _runs(list(zip(episode.token_ids, episode.origins, strict=True)))
    ]
    assert runs == [
        (Origin.TEMPLATE, "User: what?\nAssistant:"),
        (Origin.POLICY, f"Any fever?{end}"),
        (Origin.TEMPLATE, "\nUser: "),
        (Origin.ENVIRONMENT, "Yes."),
        (Origin.TEMPLATE, "\nAssistant:"),
        (Origin.POLICY, f"It is flu.{end}"),
    ]
    assert episode.turns == 2 and not any(episode.log_probs)
    with pytest.raises(DataError, match=r"case c0.*the conversation has \d+ tokens"):
        few = replace(setting, limits=Limits(9, len(episode.token_ids) - 1))
        written_conversations(policy, [asked], few, Grader(), 0)
