"""What each step of a reasoning is worth for the answer (Knowledge-or-Reasoning, Wu et al. 2025).

A fixed language model reads the question, the first i steps in a think block, and is asked for the
gold answer: ``ppl_i`` is that answer's perplexity. Then

    ``InfoGain = mean_i (ppl_{i-1} - ppl_i)``, i = 1 .. S steps,

which telescopes to ``(ppl_0 - ppl_S) / S``; the log form takes ``log ppl`` instead. A mean over
steps as the formula says; released code divides by S + 1 points.

The log-probs are those of the library's own learner: a question is computed once for all its steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from medrl.analysis.steps import step_spans
from medrl.cases.case import Case
from medrl.grading import declared_answer
from medrl.grading.format import Format
from medrl.learning.batching import micro_batches
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, choose_mode, lay_out
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.policy import Policy
from medrl.learning.rollout import encode_prompt

_GAP = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class InfoGain:
    """The gold answer's perplexity as the steps of a trace are read.

    Attributes:
        perplexities: S + 1 numbers, at least 1: before any step, and after each.
    """

    perplexities: tuple[float, ...]

    @property
    def per_step(self) -> tuple[float, ...]:
        """S falls in perplexity; negative where a step leads away from the answer."""
        return tuple(before - after for before, after in pairwise(self.perplexities))

    @property
    def per_step_log(self) -> tuple[float, ...]:
        """S falls in log-perplexity: nats per token of the answer."""
        return tuple(
            math.log(before) - math.log(after) for before, after in pairwise(self.perplexities)
        )

    @property
    def gain(self) -> float | None:
        """Mean of ``per_step``; ``None`` without steps."""
        return _mean(self.per_step)

    @property
    def log_gain(self) -> float | None:
        """Mean of ``per_step_log``; ``None`` without steps."""
        return _mean(self.per_step_log)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def information_gain(
    policy: Policy,
    template: str,
    traces: Sequence[tuple[Case, str]],
    format: Format = "think_answer",
    token_budget: int = 8192,
) -> list[InfoGain]:
    """Information gain of each trace under a fixed model.

    Args:
        policy: the model that scores; nothing of it is changed.
        template: prompt template, see :func:`medrl.environments.prompts.render`.
        traces: cases with the text inside a think block; the gold answer is the case's
            ``reference.value``.
        format: how the answer is declared behind the think block.
        token_budget: most tokens computed at a time; one trace may exceed it.

    Raises:
        DataError: a trace with its question does not fit the model's context.
    """
    members = [
        m for i, trace in enumerate(traces) for m in _members(policy, template, format, i, trace)
    ]
    perplexities: list[list[float]] = [[] for _ in traces]
    for member, found in zip(members, _perplexities(policy, members, token_budget), strict=True):
        perplexities[member.group].append(found)
    return [InfoGain(tuple(found)) for found in perplexities]


def _members(
    policy: Policy, template: str, format: Format, number: int, trace: tuple[Case, str]
) -> list[Member]:
    """The question with the first 0, 1, ... S steps and the gold answer, as one group."""
    case, think = trace
    opening, _, _ = declared_answer(_GAP, format).partition(_GAP)
    before = opening.rstrip()  # a space belongs to the word behind it, in most tokenizers
    gold = policy.encode(opening[len(before) :] + case.reference.value)
    ends = [0, *(end for _, end in step_spans(think))]
    read = [policy.encode(f"<think>{think[:end]}</think>{before}") for end in ends]
    prompt = encode_prompt(policy, case, template, max(map(len, read)) + len(gold))
    members = []
    for steps in read:
        tokens = [*prompt.token_ids, *steps, *gold]
        origins = [Origin.TEMPLATE] * (len(prompt) + len(steps)) + [Origin.POLICY] * len(gold)
        zeros = [0.0] * len(tokens)
        members.append(Member(tokens, origins, zeros, number, len(prompt), prompt.media))
    return members


@torch.no_grad()
def _perplexities(policy: Policy, members: Sequence[Member], token_budget: int) -> list[float]:
    found = [math.nan] * len(members)
    if not members:
        return found
    mode = choose_mode(members, "auto")
    budget = max(token_budget, *(member.length for member in members))
    for rows in micro_batches(members, mode, budget):
        layout = lay_out([members[b] for b in rows], mode, policy.pad_id, policy.device)
        with policy.arithmetic():
            sums = answer_log_probs(policy.model, layout, 1.0).double().sum(1).tolist()
        for b, log_prob in zip(rows, sums, strict=True):
            found[b] = math.exp(-log_prob / len(members[b].written))
    return found
