"""From cases to groups of conversations: the policy and its environments take turns.

All conversations of a step go on at the same time. While environments answer (a judge, a server),
the policy writes on in the others; who has a reply is read on from where it stood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from medrl.cases.case import Case
from medrl.environments.environment import Ending, Environment, Reply, World
from medrl.errors import DataError
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
class Conversation:
    """An episode in the making: what has been read and written, and by whom.

    Attributes:
        most: tokens that may have been read when a turn begins.
    """

    environment: Environment
    prompt: Prompt
    most: int
    ids: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    turns: list[Completion] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    ending: Ending | None = None

    def write(self, turn: Completion) -> None:
        """The policy's turn."""
        self.turns.append(turn)
        self._add(turn.token_ids, [Origin.POLICY] * len(turn.token_ids), turn.log_probs)
        self.entropies += turn.entropies

    def hear(self, reply: Reply | None, policy: Policy, setting: Setting) -> Sequence[int]:
        """Take a reply, ``None`` if it came too late: what the policy is to read, or nothing where
        the conversation ends."""
        if reply is None:
            self.ending = Ending.TIMEOUT
            return ()
        self.replies.append(reply)
        limits = setting.limits
        ids, origins = setting.frame.tokens(policy, self.turns[-1].token_ids, reply.text)
        if reply.over:
            self.ending = Ending.FINISHED
        elif len(self.turns) >= limits.turns:
            self.ending = Ending.TURNS
        elif len(self.prompt) + len(self.ids) + len(ids) > self.most:
            self.ending = Ending.TOKENS
        else:
            self._add(ids, origins, [0.0] * len(ids))
            return ids
        return ()

    def _add(
        self, ids: Sequence[int], origins: Sequence[Origin], log_probs: Sequence[float]
    ) -> None:
        self.ids += ids
        self.origins += origins
        self.log_probs += log_probs

    def episode(self, policy: Policy) -> Episode:
        """What happened, with the sum of the rewards of all turns."""
        before = len(self.prompt)
        assert self.ending is not None
        return Episode(
            token_ids=(*self.prompt.token_ids, *self.ids),
            origins=(*(Origin.TEMPLATE,) * before, *self.origins),
            log_probs=(*(0.0,) * before, *self.log_probs),
            stop=self.turns[-1].stop,
            text=policy.decode(self.ids),
            verdict=self.environment.verdict(),
            reward=sum(reply.reward for reply in self.replies),
            entropy=fmean(self.entropies) if self.entropies else None,
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
    policy: Policy, cases: Sequence[Case], setting: Setting, seed: int
) -> list[Group]:
    """One group of one episode per case: the policy's turns are those of the case's transcript, and
    the environment says what it says to them (SFT on an expert's conversations).

    The environment, and not the transcript, is asked for replies, so that what is imitated looks
    as it will when the policy speaks for itself.

    Raises:
        DataError: a case has no transcript, or its conversation does not fit the limits.
        JudgeError: what an environment asks cannot be reached.
    """
    most = min(setting.limits.tokens, policy.context)
    groups = []
    for number, case in enumerate(cases):
        environment = setting.world.open(case, derive_seed(seed, "environment", number))
        prompt = _opening(policy, case, environment.opening, most)
        own = Conversation(environment, prompt, most)
        run_to_end(_replay(policy, own, _said(case), setting))
        if len(own.prompt) + len(own.ids) > most:
            raise DataError(
                f"{case.source} (case {case.id}): the conversation has "
                f"{len(own.prompt) + len(own.ids)} tokens, and there is room for {most}",
                "drop the case, or use a model with a longer context",
            )
        groups.append(group_of(case, prompt, [own.episode(policy)]))
    return groups


def _said(case: Case) -> list[str]:
    """The expert's turns."""
    said = [turn.text for turn in case.transcript if turn.speaker == "policy"]
    if not said:
        raise DataError(
            f"{case.source} (case {case.id}) has no transcript to learn from",
            "use cases with an expert's conversation, or leave the stage out",
        )
    return said


async def _replay(policy: Policy, own: Conversation, said: Sequence[str], setting: Setting) -> None:
    for text in said:
        ids = (*policy.encode(text), policy.stop_ids[0])
        own.write(Completion(ids, (0.0,) * len(ids), (), StopReason.END))
        reply = await _ask(own.environment, text, setting.limits.timeout)
        own.hear(reply, policy, setting)
        if own.ending is not None:
            return
    own.ending = Ending.TURNS


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
