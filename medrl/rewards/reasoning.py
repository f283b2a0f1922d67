"""Pay for the quality of the reasoning (RARL), less of it where the answer is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import model_validator

from medrl.judges import RUBRICS, Judge, Judgement, JudgeSpec
from medrl.part import Share
from medrl.rewards.judged import JudgedSpec, asked_of, question_of
from medrl.rewards.term import Answer, RewardContext, Score, Term

_RUBRIC = RUBRICS["reasoning"]


@dataclass(frozen=True)
class Reasoning:
    """The judge's score from 0 to 10, divided by 10; times ``wrong`` where the answer is not right.

    An answer without reasoning, or without a single answer that it could lead to, has 0. The score
    before that factor is logged beside it as ``ungated``.
    """

    judge: Judge
    wrong: float
    low: float = 0.0
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        questions = [question_of(_RUBRIC, answer) for answer in answers]
        scores = asked_of(self.judge, questions, answers, _of_one, without=0.0)
        return [self._gated(answer, score) for answer, score in zip(answers, scores, strict=True)]

    def _gated(self, answer: Answer, score: Score) -> Score:
        if score.value is None:
            return score
        gate = 1.0 if answer.verdict.correct else self.wrong
        return replace(score, value=gate * score.value, beside={"ungated": score.value})


def _of_one(_: Answer, judged: Judgement) -> float | None:
    return None if judged.value is None else judged.value / _RUBRIC.high


class ReasoningSpec(JudgedSpec):
    """RARL's reasoning reward: mean of four aspects, in [0, 1]. The paper names reasoning quality;
    aspects and gate are ours.

    The rule reads the case's tag ``findings``; the reason of a score names the four aspects.
    """

    term: Literal["reasoning"]
    judge: JudgeSpec = JudgeSpec(kind="rule", rule="reasoning")
    """The rule ``reasoning``, or a model that scores from 0 to 10."""
    wrong: Share = 0.5
    """What is left of the value where the answer is wrong: 1 pays fluent wrong answers in full."""

    @model_validator(mode="after")
    def _can_be_answered(self) -> ReasoningSpec:
        self.judge.check_rubric(_RUBRIC)
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Reasoning(self._built(context), self.wrong)
