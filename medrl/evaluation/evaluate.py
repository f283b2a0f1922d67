"""Evaluate a policy on a set of cases with the same grader that pays its reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean
from typing import Any

import torch

from medrl.cases.case import Case
from medrl.environments.environment import Ending
from medrl.evaluation.agreement import follows, reasoning_agreement
from medrl.evaluation.answer_shape import measure
from medrl.evaluation.protocol import Answered, EvalProtocol, one_protocol
from medrl.evaluation.statistics import compare_paired, wilson
from medrl.grading import Grader, Outcome
from medrl.learning.conversing import Setting, sample_conversations
from medrl.learning.groups import Episode
from medrl.learning.policy import Policy
from medrl.learning.rollout import encode_prompt
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, StopReason, sample

FORCED_ANSWER = "<answer>"
"""Prefill that forces the answer at once. It needs ``until=END_OF_ANSWER``: a policy that is used
to thinking gives some letter, then thinks, and answers again."""
END_OF_ANSWER = "</answer>"
"""Where a forced answer is cut off and read."""
FORCED_THINKING = "<think>"
"""Prefill that makes a model think, whatever its habit."""


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluated case: what was answered and what the grader said."""

    case_id: str
    gold: str
    answer: str
    outcome: str
    reason: str
    format_ok: bool
    cut: bool
    tokens: int
    think_tokens: int
    text: str
    options: int = 0
    """Options to choose from; 0 for a question without any."""
    protocol: EvalProtocol = "generated"
    follows: bool | None = None
    """Whether the answer follows from the reasoning, see :mod:`medrl.evaluation.agreement`."""
    ending: str = ""
    """Why a conversation was over; empty: it was none."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Of a conversation: what its environment measures, and its ``return``."""

    @property
    def correct(self) -> bool:
        """True when the grader said so; the format is not part of it."""
        return self.outcome == Outcome.CORRECT

    @property
    def thinks(self) -> bool:
        """Whether the think block holds at least five tokens: an empty one is no reasoning."""
        return self.think_tokens >= 5

    @property
    def agrees(self) -> bool:
        """Whether the reasoning comes to the answer; not where it comes to none."""
        return self.follows is True


@dataclass(frozen=True, slots=True)
class Examiner:
    """A policy with all it takes to question it: prompt template, sampler and grader.

    Attributes:
        setting: what conversations are held in; ``None``: a case is answered at once.
    """

    policy: Policy
    sampler: Sampler
    template: str
    grader: Grader
    setting: Setting | None = None

    def ask(
        self,
        cases: Sequence[Case],
        params: SamplingParams,
        generator: torch.Generator,
        answers_per_prompt: int = 1,
        prefill: str = "",
        until: str = "",
        block: int = 64,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[Row]]:
        """Answers of the policy to each case, read by the grader.

        Args:
            answers_per_prompt: G answers per case; more than one only makes sense when sampling.
            prefill: text put at the start of every answer and graded with it.
            until: text behind whose first occurrence an answer is cut off and read.
            block: cases decoded at a time.
            on_progress: told how many more cases are done after each block.

        Returns:
            One list of G rows per case, in case order.

        Raises:
            DataError: a prompt with its answer would not fit the model's context.
            ValueError: an answer is to begin or end somehow, and it is a conversation.
        """
        self.sampler.refresh()  # training went on since it last sampled
        if self.setting is not None and (prefill or until):
            raise ValueError("a conversation has no one answer to prefill or cut off")
        rows: list[list[Row]] = []
        prefill_ids = self.policy.encode(prefill)
        room = len(prefill_ids) + params.max_new_tokens
        for start in range(0, len(cases), block):
            part = cases[start : start + block]
            if self.setting is not None:
                drawn = int(torch.randint(2**62, (), generator=generator, device=generator.device))
                asked = self.policy, self.sampler, part, self.setting, answers_per_prompt
                groups = sample_conversations(*asked, params, drawn)
                rows += [[self._heard(group.case, e) for e in group.episodes] for group in groups]
                if on_progress:
                    on_progress(len(part))
                continue
            prompts = [
                encode_prompt(self.policy, case, self.template, room).begun(prefill_ids)
                for case in part
            ]
            with self.policy.arithmetic():
                sampled = sample(self.sampler, prompts, answers_per_prompt, params, generator)
            for case, answers in zip(part, sampled, strict=True):
                rows.append([self._row(case, prefill, until, answer) for answer in answers])
            if on_progress:
                on_progress(len(part))
        return rows

    def _heard(self, case: Case, episode: Episode) -> Row:
        """The row of a conversation."""
        verdict, ending = episode.verdict, episode.ending
        said = self.policy.decode(episode.policy_ids)
        shape = measure(said, (), lambda t: len(self.policy.encode(t)))
        return Row(
            case.id,
            case.reference.value,
            verdict.answer,
            str(verdict.outcome),
            verdict.reason,
            verdict.format_ok,
            ending is not Ending.FINISHED,
            episode.policy_tokens,
            shape.think_tokens,
            episode.text,
            ending=str(ending),
            measures=dict(episode.terms) | {"return": episode.reward},
        )

    def _row(self, case: Case, prefill: str, until: str, answer: Completion) -> Row:
        text = prefill + self.policy.decode(answer.token_ids)
        ended = bool(until) and until in text
        if ended:
            text = text[: text.index(until) + len(until)]
        verdict = self.grader.grade(text, case.reference)
        shape = measure(text, case.reference.options, lambda t: len(self.policy.encode(t)))
        return Row(
            case.id,
            case.reference.value,
            verdict.answer,
            str(verdict.outcome),
            verdict.reason,
            verdict.format_ok,
            answer.stop is StopReason.LENGTH and not ended,
            shape.total_tokens,
            shape.think_tokens,
            text,
            len(case.reference.options),
            follows=follows(text, verdict.answer, case),
        )


def flat(rows: Sequence[Sequence[Row]]) -> list[Row]:
    """All rows, case by case."""
    return [row for answers in rows for row in answers]


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracy with its Wilson interval, and beside it everything that is not an answer.

    ``no_answer``, ``several_answers`` and ``cut`` are counts; ``think_rate`` is the share of
    answers that think (see ``Row.thinks``); ``agreement`` the share of single answers that their
    reasoning comes to, ``None`` of none; ``chance`` is the accuracy that guessing would have.
    """
    correct = sum(row.correct for row in rows)
    interval = wilson(correct, len(rows))
    return {
        "protocol": one_protocol(rows),
        "n": len(rows),
        "correct": correct,
        "accuracy": correct / len(rows),
        "low": interval.low,
        "high": interval.high,
        "chance": fmean(1 / row.options if row.options else 0.0 for row in rows),
        "no_answer": sum(row.outcome == Outcome.NO_ANSWER for row in rows),
        "several_answers": sum(row.outcome == Outcome.SEVERAL_ANSWERS for row in rows),
        "cut": sum(row.cut for row in rows),
        "format_rate": fmean(row.format_ok for row in rows),
        "think_rate": fmean(row.thinks for row in rows),
        "agreement": reasoning_agreement(rows).rate,
        "think_tokens": fmean(row.think_tokens for row in rows),
        "response_tokens": fmean(row.tokens for row in rows),
        **_of_conversations([row for row in rows if row.ending]),
    }


def _of_conversations(rows: Sequence[Row]) -> dict[str, Any]:
    """How conversations ended (counts), and means of what was measured; empty of none."""
    if not rows:
        return {}
    names = sorted({name for row in rows for name in row.measures})
    means = {n: fmean(row.measures[n] for row in rows if n in row.measures) for n in names}
    return {"endings": dict(Counter(row.ending for row in rows)), "measures": means}


def compare(after: Sequence[Answered], before: Sequence[Answered]) -> dict[str, float]:
    """Paired difference in accuracy on the same cases: difference, low, high, p_value.

    Raises:
        DataError: they are of different protocols.
        ValueError: the two evaluations are not of the same cases in the same order.
    """
    one_protocol([*after, *before])
    if [r.case_id for r in after] != [r.case_id for r in before]:
        raise ValueError("the two evaluations are not of the same cases")
    result = compare_paired([r.correct for r in after], [r.correct for r in before])
    return {
        "difference": result.difference,
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
    }


def as_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as JSON-ready mappings."""
    return [asdict(row) for row in rows]
