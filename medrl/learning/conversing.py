"""From cases to groups of conversations: the policy and its environments take turns.

All conversations of a step go on at the same time. While environments answer (a judge, a server),
the policy writes on in the others; who has a reply is read on from where it stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from medrl.cases.case import Case
from medrl.environments.environment import Ending, Environment, Reply, World
from medrl.errors import DataError
from medrl.grading import Grader, declared_answer
from medrl.grading.verdict import Verdict
from medrl.learning.frames import Frame
from medrl.learning.groups import Episode, Group, Origin, group_of
from medrl.learning.policy import Policy
from medrl.learning.rollout import read_case
from medrl.prompt import Prompt
from medrl.run import derive_seed
from medrl.run.coroutines import run_to_end
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, StopReason
from medrl.sampling.talk import Talk, start_talk


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an episode may go.

    Attributes:
        turns: of the policy.
        tokens: of the whole episode, prompt included; the model's context is a limit as well.
        timeout: seconds an environment may take for a reply.
    """

    turns: int
    tokens: int
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What conversations are held with, in, and how far."""

    world: World
    frame: Frame
    limits: Limits


@dataclass
class Tokens:
    """What has been written and read behind a prompt, and by whom."""

    ids: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    def write(self, ids: Sequence[int], log_probs: Sequence[float] = ()) -> None:
        """A turn of the policy, with its behaviour log-probs if it was sampled."""
        self.ids += ids
        self.origins += [Origin.POLICY] * len(ids)
        self.log_probs += log_probs or [0.0] * len(ids)

    def read(self, ids: Sequence[int], origins: Sequence[Origin]) -> None:
        """A reply in its frame."""
        self.ids += ids
        self.origins += origins
        self.log_probs += [0.0] * len(ids)

    def episode(
        self, policy: Policy, prompt: Prompt, stop: StopReason, verdict: Verdict, **more: Any
    ) -> Episode:
        """All of it behind ``prompt``; ``more`` are further attributes of the episode."""
        before = len(prompt)
        return Episode(
            token_ids=(*prompt.token_ids, *self.ids),
            origins=(*(Origin.TEMPLATE,) * before, *self.origins),
            log_probs=(*(0.0,) * before, *self.log_probs),
            stop=stop,
            text=policy.decode(self.ids),
            verdict=verdict,
            **{"reward": 0.0} | more,
        )


@dataclass
class Conversation:
    """An episode in the making.

    Attributes:
        most: tokens that may have been read when a turn begins.
    """

    environment: Environment
    prompt: Prompt
    most: int
    tokens: Tokens = field(default_factory=Tokens)
    turns: list[Completion] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    ending: Ending | None = None

    def write(self, turn: Completion) -> None:
        """The policy's turn."""
        self.turns.append(turn)
        self.tokens.write(turn.token_ids, turn.log_probs)

    def hear(self, reply: Reply | None, policy: Policy, setting: Setting) -> Sequence[int]:
        """Take a reply, ``None`` if it came too late: what the policy is to read, or nothing where
        the conversation ends."""
        if reply is None:
            self.ending = Ending.TIMEOUT
            return ()
        self.replies.append(reply)
        ids, origins = setting.frame.tokens(policy, self.tokens.ids, reply.text)
        if reply.over:
            self.ending = Ending.FINISHED
        elif len(self.turns) >= setting.limits.turns:
            self.ending = Ending.TURNS
        elif len(self.prompt) + len(self.tokens.ids) + len(ids) > self.most:
            self.ending = Ending.TOKENS
        else:
            self.tokens.read(ids, origins)
            return ids
        return ()

    def episode(self, policy: Policy) -> Episode:
        """What happened, with the sum of the rewards of all turns."""
        entropies = [entropy for turn in self.turns for entropy in turn.entropies]
        return self.tokens.episode(
            policy,
            self.prompt,
            self.turns[-1].stop,
            self.environment.verdict(),
            reward=sum(reply.reward for reply in self.replies),
            entropy=fmean(entropies) if entropies else None,
            terms=self.environment.measures(),
            ending=self.ending,
            turns=len(self.turns),
        )


def sample_conversations(
    policy: Policy,
    sampler: Sampler,
    cases: Sequence[Case],
    setting: Setting,
    episodes_per_case: int,
    params: SamplingParams,
    seed: int,
) -> list[Group]:
    """Hold ``episodes_per_case`` conversations about each case.

    The return of an episode, the sum of its turns' rewards, is its reward: an objective places it
    as it places any other, on the last token or on all.

    Args:
        params: of each turn of the policy.
        seed: of the policy's draws and of the environments; those of a group share theirs.

    Raises:
        DataError: the opening of a case does not fit the limits.
        JudgeError: what an environment asks cannot be reached.
    """
    conversations: list[Conversation] = []
    prompts: list[Prompt] = []
    most = min(setting.limits.tokens, policy.context) - params.max_new_tokens
    for number, case in enumerate(cases):
        drawn = derive_seed(seed, "environment", number)
        opened = [setting.world.open(case, drawn) for _ in range(episodes_per_case)]
        prompt = _opening(policy, case, opened[0].opening, most)
        prompts.append(prompt)
        conversations += [Conversation(environment, prompt, most) for environment in opened]
    talk = start_talk(sampler, prompts, episodes_per_case, params, seed)
    with policy.arithmetic():
        run_to_end(_hold(policy, talk, conversations, setting))
    groups = []
    for number, case in enumerate(cases):
        first = number * episodes_per_case
        own = conversations[first : first + episodes_per_case]
        groups.append(group_of(case, prompts[number], [c.episode(policy) for c in own]))
    return groups


def written_conversations(
    policy: Policy, cases: Sequence[Case], setting: Setting, grader: Grader, seed: int
) -> list[Group]:
    """One group of one episode per case, an expert's conversation as the world shows it (SFT); only
    the expert's turns are learned.

    Raises:
        DataError: there is no expert for a case, or the conversation does not fit the limits.
    """
    most = min(setting.limits.tokens, policy.context)
    groups = []
    for number, case in enumerate(cases):
        drawn = derive_seed(seed, "environment", number)
        opening, turns = setting.world.demonstration(case, drawn)
        prompt = _opening(policy, case, opening, most)
        tokens = Tokens()
        for turn in turns:
            ids = policy.encode(turn.text)
            if turn.speaker == "policy":
                tokens.write([*ids, policy.stop_ids[0]])
            else:
                tokens.read(*setting.frame.tokens(policy, tokens.ids, turn.text))
        if len(prompt) + len(tokens.ids) > most:
            raise DataError(
                f"{case.source} (case {case.id}): the conversation has "
                f"{len(prompt) + len(tokens.ids)} tokens, and there is room for {most}",
                "drop the case, or use a model with a longer context",
            )
        verdict = grader.grade(declared_answer(case.reference.value, grader.format), case.reference)
        said = sum(turn.speaker == "policy" for turn in turns)
        episode = tokens.episode(
            policy, prompt, StopReason.END, verdict, ending=Ending.FINISHED, turns=said
        )
        groups.append(group_of(case, prompt, [episode]))
    return groups


def _opening(policy: Policy, case: Case, text: str, most: int) -> Prompt:
    prompt = read_case(policy, case, text)
    if len(prompt) > most:
        raise DataError(
            f"{case.source} (case {case.id}): the opening has {len(prompt)} tokens, and before a "
            f"turn an episode has room for {most}",
            "lower max_new_tokens, drop the case, or use a model with a longer context",
        )
    return prompt


async def _hold(
    policy: Policy, talk: Talk, conversations: Sequence[Conversation], setting: Setting
) -> None:
    """Let all conversations go on until each has its ending."""
    asked: dict[int, asyncio.Task[Reply | None]] = {}
    try:
        while any(c.ending is None for c in conversations):
            done = talk.step()
            for number, turn in done.items():
                conversations[number].write(turn)
                text = policy.decode(turn.token_ids)
                step = _ask(conversations[number].environment, text, setting.limits.timeout)
                asked[number] = asyncio.create_task(step)
            for number, reply in (await _answered(asked, wait=talk.idle)).items():
                ids = conversations[number].hear(reply, policy, setting)
                if ids:
                    talk.reply(number, ids)
                else:
                    talk.close(number)
    finally:
        for task in asked.values():
            task.cancel()


async def _ask(environment: Environment, text: str, timeout: float) -> Reply | None:
    """The reply, or ``None`` if it did not come in time."""
    try:
        async with asyncio.timeout(timeout):
            return await environment.step(text)
    except TimeoutError:
        return None


async def _answered(
    asked: dict[int, asyncio.Task[Reply | None]], wait: bool
) -> Mapping[int, Reply | None]:
    """The replies that are there, taken out of ``asked``; waits for one if there is nothing else to
    do. Environments that need no waiting have answered after one look."""
    if asked:
        await asyncio.wait(
            asked.values(), timeout=None if wait else 0, return_when=asyncio.FIRST_COMPLETED
        )
    return {n: asked.pop(n).result() for n in sorted(asked) if asked[n].done()}
