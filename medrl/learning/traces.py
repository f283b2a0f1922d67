"""The thinking-trace model: reasoning for cases that have an answer but no reasoning.

Taught by supervised fine-tuning on (question, answer) -> reasoning, it writes traces for the other
cases. A trace is kept only if it leads somewhere: a reader that gets the question and the trace up
to where it first names the answer must come to that answer by itself. What a reader finds without
such help shows in the control: the same check with the trace of another case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from medrl.cases.case import Case
from medrl.errors import DataError
from medrl.evaluation.evaluate import Examiner
from medrl.grading import Grader
from medrl.learning.groups import Group, group_of, written_episode
from medrl.learning.policy import Policy
from medrl.learning.rollout import encode_prompt
from medrl.sampling.sampler import SamplingParams, sample
from medrl.sampling.torch_sampler import TorchSampler
from medrl.stages import TraceStage

BLOCK = 64
"""Cases at a time."""

_TRACE = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


def trace_groups(policy: Policy, cases: Sequence[Case], grader: Grader) -> list[Group]:
    """The reasoning of each case, to be written by a model that is told the answer.

    Raises:
        DataError: a case has no reasoning (tag ``rationale``).
    """
    groups = []
    for case in cases:
        if "rationale" not in case.tags:
            raise DataError(
                f"{case.source} (case {case.id}) has no rationale to learn to explain from",
                "teach the trace stage on rows with a 'rationale' tag; the others go into fill",
            )
        text = f"<think>{case.tags['rationale']}</think>"
        ids = [*policy.encode(text), policy.stop_ids[0]]
        prompt = encode_prompt(policy, case, "trace", len(ids))
        episode = written_episode(prompt, ids, text, grader.grade(text, case.reference))
        groups.append(group_of(case, prompt, [episode]))
    return groups


def redact(trace: str, case: Case) -> str:
    """The trace up to the first mention of the answer: its text, or for an option its letter.

    Letters count where they are marked as such ("(B)", "option B", "B."), not inside words. Cut and
    not blotted out, because what follows tells much: "is treated with ..., a drug that".
    """
    reference = case.reference
    mentions = [re.search(rf"(?<!\w){re.escape(reference.gold_text)}(?!\w)", trace, re.IGNORECASE)]
    if reference.kind == "option":
        letter = reference.value
        mentions += [
            re.search(rf"\(\s*{letter}\s*\)|\b(?:option|answer|letter)\s+{letter}\b", trace),
            re.search(rf"(?<!\w){letter}(?=[.):]|\s*$)", trace),
        ]
    return trace[: min((found.start() for found in mentions if found), default=len(trace))]


@dataclass(frozen=True, slots=True)
class Filled:
    """What a trace model has written.

    Attributes:
        traces: kept reasoning by case id.
        asked: cases it was asked to explain.
        kept_at: of how many cases the first, second, ... attempt was kept.
        control: share of cases whose answer a reader finds from the trace of *another* case;
            ``None`` if there were no two of them.
    """

    traces: dict[str, str]
    asked: int
    kept_at: tuple[int, ...]
    control: float | None

    @property
    def kept(self) -> float:
        """Share of cases with a trace that passed."""
        return len(self.traces) / self.asked if self.asked else 0.0


def fill(
    stage: TraceStage,
    writer: Policy,
    reader: Examiner,
    cases: Sequence[Case],
    generator: torch.Generator,
    on_progress: Callable[[int], None],
) -> Filled:
    """Write traces for cases and keep those that lead the reader to the answer."""
    sampler = TorchSampler(writer.model, writer.stop_ids, writer.decode)
    params = SamplingParams(stage.max_new_tokens, stage.temperature)
    traces: dict[str, str] = {}
    kept_at = [0] * stage.attempts
    others: list[bool] = []
    reader.sampler.refresh()
    for start in range(0, len(cases), BLOCK):
        part = list(cases[start : start + BLOCK])
        prompts = [encode_prompt(writer, c, "trace", stage.max_new_tokens) for c in part]
        with writer.arithmetic():
            written = sample(sampler, prompts, stage.attempts, params, generator)
        for attempt in range(stage.attempts):
            open_cases = [
                (case, found[1].strip())
                for case, answers in zip(part, written, strict=True)
                if case.id not in traces
                and (found := _TRACE.fullmatch(writer.decode(answers[attempt].token_ids)))
                and found[1].strip()
            ]
            led = _led_to_answer(stage, reader, open_cases, generator)
            for (case, trace), right in zip(open_cases, led, strict=True):
                if right:
                    traces[case.id] = trace
                    kept_at[attempt] += 1
        others += _from_others(stage, reader, part, traces, generator)
        on_progress(len(part))
    control = sum(others) / len(others) if others else None
    return Filled(traces, len(cases), tuple(kept_at), control)


def _from_others(
    stage: TraceStage,
    reader: Examiner,
    cases: Sequence[Case],
    traces: dict[str, str],
    generator: torch.Generator,
) -> list[bool]:
    """Whether a reader answers each case rightly from the kept trace of the next one."""
    there = [case for case in cases if case.id in traces]
    others = [traces[case.id] for case in [*there[1:], *there[:1]]]
    swapped = list(zip(there, others, strict=True)) if len(there) > 1 else []
    return _led_to_answer(stage, reader, swapped, generator)


def _led_to_answer(
    stage: TraceStage,
    reader: Examiner,
    cases: Sequence[tuple[Case, str]],
    generator: torch.Generator,
) -> list[bool]:
    """Whether a reader that goes on from the redacted trace gives the right answer."""
    if not cases:
        return []
    policy = reader.policy
    prompts, begun = [], []
    for case, trace in cases:
        begun.append("<think>" + redact(trace, case).rstrip())
        ids = policy.encode(begun[-1])
        room = len(ids) + stage.max_new_tokens
        prompts.append(encode_prompt(policy, case, reader.template, room).begun(ids))
    params = SamplingParams(stage.max_new_tokens, 0.0)
    with policy.arithmetic():
        sampled = sample(reader.sampler, prompts, 1, params, generator)
    return [
        reader.grader.grade(start + policy.decode(answer.token_ids), case.reference).correct
        for (case, _), start, [answer] in zip(cases, begun, sampled, strict=True)
    ]


def with_traces(cases: Sequence[Case], traces: dict[str, str]) -> list[Case]:
    """The cases that have a trace, with it as their reasoning and no other."""
    return [
        replace(case, tags={**case.tags, "rationale": traces[case.id]})
        for case in cases
        if case.id in traces
    ]
