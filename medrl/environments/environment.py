"""Environments with turns: what a policy talks to, one object per episode.

A *world* holds what episodes have in common (a retriever's index, a judge, a patient's model) and
opens an environment for each of them. An environment knows texts only; tokens, frames of a chat,
limits and who may write are the rollout's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from medrl.cases.case import Case
from medrl.cases.record import Turn
from medrl.grading.verdict import Verdict


class Ending(StrEnum):
    """Why an episode is over."""

    FINISHED = "finished"
    """The environment said so."""
    TURNS = "turns"
    """The policy had all its turns."""
    TOKENS = "tokens"
    """Nothing more fits: the context, or the tokens that an episode may have, are used up."""
    TIMEOUT = "timeout"
    """The environment did not answer in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an environment makes of a turn of the policy.

    Attributes:
        text: what the policy reads next, without any frame of a chat; unread if it is ``over``.
        reward: of this turn; the return of an episode is their sum.
        event: what the turn was, one word of a list that the environment documents, for counting.
        over: whether the episode ends here.
    """

    text: str
    reward: float = 0.0
    event: str = ""
    over: bool = False


class Environment(Protocol):
    """One episode's other side; single use.

    Attributes:
        opening: what the policy reads before its first turn.
    """

    opening: str

    async def step(self, text: str) -> Reply:
        """Answer a turn of the policy; ``text`` is what it wrote, its stop token left out.

        May take its time (a judge, a retriever, a server): others go on meanwhile. Whoever calls
        may give up waiting; then nothing follows but ``verdict``.

        Raises:
            JudgeError: what it asks cannot be reached; the run stops there and can be resumed.
        """
        ...

    def verdict(self) -> Verdict:
        """What the grader says of the episode as far as it went; ``NO_ANSWER`` if none came."""
        ...

    def measures(self) -> Mapping[str, float]:
        """What is worth logging of the episode as far as it went, by name."""
        ...


class World(Protocol):
    """Opens environments; made once per run, from what its recipe says.

    Attributes:
        most_turns: turns that a policy may have in an episode.
    """

    most_turns: int

    def open(self, case: Case, seed: int) -> Environment:
        """The environment of one episode about ``case``.

        The same arguments give an environment that behaves the same. The episodes of a group
        have one case and one seed, and so one opening.
        """
        ...

    def demonstration(self, case: Case, seed: int) -> tuple[str, tuple[Turn, ...]]:
        """An expert's episode: its opening, and the turns as they would stand in one, the policy's
        and the environment's by turns, a policy's last.

        Raises:
            DataError: there is no expert for the case.
        """
        ...
