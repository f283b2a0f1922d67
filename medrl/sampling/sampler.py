"""What every sampler promises: prompts in, G answers each with their own log-probs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import torch

from medrl.prompt import Media, Prompt

TokenIds = Sequence[int]


class StopReason(StrEnum):
    """Why an answer ended."""

    END = "end"
    """The policy sampled a stop token. It is part of the answer and is trained."""
    LENGTH = "length"
    """The token limit was reached: the answer is cut."""
    TEXT = "text"
    """One of the wanted stop strings was written. It is part of the answer and is trained."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How answers are drawn.

    Attributes:
        max_new_tokens: most tokens of one answer, stop token included.
        temperature: 0 is greedy. Log-probs are those of the tempered distribution (at 0: of the
            untempered one), before ``top_k`` and ``top_p``: the learner's own.
        top_k: draw from the k likeliest tokens only; 0: from all.
        top_p: draw from the fewest likeliest tokens whose probabilities reach this sum; 1: from
            all. Both make rare tokens rarer than their log-probs say, so training refuses them
            unless asked.
        stop: texts that end an answer; looked for in the answer as decoded.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled answer of T tokens.

    Attributes:
        token_ids: T ids as sampled; they are never re-tokenised.
        log_probs: T natural log-probabilities under the sampling distribution.
        entropies: T entropies (nats) of the distribution each token was drawn from.
        stop: why it ended.
    """

    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    entropies: tuple[float, ...]
    stop: StopReason


class Sampler(Protocol):
    """Draws answers from the policy. Implementations must pass tests/sampling/contract.py.

    Attributes:
        exact: its log-probs are the learner's own function of the same weights. An engine that
            computes them otherwise says False, and the learner corrects for the difference.
    """

    exact: bool

    def sample(
        self,
        prompts: Sequence[TokenIds],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
        media: Sequence[Media | None] = (),
    ) -> list[list[Completion]]:
        """``answers_per_prompt`` completions for each prompt, in prompt order.

        Args:
            media: the images of each prompt; empty where the model reads text only.

        The same weights, arguments and generator state give the same completions.
        """
        ...

    def refresh(self) -> None:
        """Take over the policy's current weights; called before each step's sampling and before
        each evaluation."""
        ...


def sample(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    answers_per_prompt: int,
    params: SamplingParams,
    generator: torch.Generator,
) -> list[list[Completion]]:
    """The answers of a sampler to prompts that may hold images."""
    ids = [prompt.token_ids for prompt in prompts]
    media = [prompt.media for prompt in prompts]
    asked = ids, answers_per_prompt, params, generator
    return sampler.sample(*asked, media) if any(media) else sampler.sample(*asked)
