"""Pay where the answer is the one that the reasoning comes to (CAPO's decision consistency)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from medrl.cases.case import LETTERS
from medrl.environments.prompts import option_lines
from medrl.judges import RUBRICS, Judge, Judgement, JudgeSpec, Question, choice_rubric
from medrl.judges.parts import reasoning_of
from medrl.rewards.judged import JudgedSpec, asked_of, question_of
from medrl.rewards.term import Answer, RewardContext, Score, Term

Mode = Literal["every", "correct"]


@dataclass(frozen=True)
class Decision:
    """1 where the reasoning comes to the answer in the answer block, else 0.

    Attributes:
        chooses: the judge is asked which option the reasoning comes to, and never sees the answer.
            Where there are no options, or more than letters, it is shown the answer and asked
            whether the reasoning leads to it. A rule compares by itself.
        mode: ``correct``: a wrong answer has 0.
    """

    judge: Judge
    chooses: bool
    mode: Mode
    low: float = 0.0
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        known = [self._gated(answer) for answer in answers]
        open_ = [answer for answer, score in zip(answers, known, strict=True) if score is None]
        questions = [self._question(answer) for answer in open_]
        asked = iter(asked_of(self.judge, questions, open_, self._worth, without=0.0))
        return [score or next(asked) for score in known]

    def _gated(self, answer: Answer) -> Score | None:
        """The score of an answer that nobody is asked about."""
        if not answer.verdict.format_ok:
            return Score(0.0, "the reply has not the format")
        if self.mode == "correct" and not answer.verdict.correct:
            return Score(0.0, "only the reasoning of correct answers is paid")
        if not answer.verdict.answer:
            return Score(0.0, "there is no answer to be judged")
        return None

    def _question(self, answer: Answer) -> Question:
        options = answer.case.reference.options
        if not self._hides(answer):
            return question_of(RUBRICS["consistency"], answer)
        return Question(
            choice_rubric(LETTERS[: len(options)]),
            {
                "options": option_lines(options),
                "reasoning": reasoning_of(answer.text, answer.prompt.text),
            },
            answer.case.reference,
        )

    def _hides(self, answer: Answer) -> bool:
        return self.chooses and 0 < len(answer.case.reference.options) <= len(LETTERS)

    def _worth(self, answer: Answer, judged: Judgement) -> float:
        if not self._hides(answer):
            return float(judged.label == "yes")
        reference, given = answer.case.reference, answer.verdict.answer
        letter = given if reference.kind == "option" else LETTERS[reference.options.index(given)]
        return float(judged.label == letter)


class DecisionSpec(JudgedSpec):
    """CAPO's decision consistency in {0, 1}: does the answer follow from the reasoning?

    A reply without the grader's format has 0, so that consistent nonsense is not paid.
    """

    term: Literal["decision"]
    judge: JudgeSpec = JudgeSpec(kind="rule", rule="implied")
    """The rule ``implied``, or a model that says which option the reasoning comes to."""
    mode: Mode = "every"
    """``every``: all answers. ``correct``: wrong ones have 0."""

    @model_validator(mode="after")
    def _can_be_answered(self) -> DecisionSpec:
        self.judge.check_rubric(RUBRICS["consistency"])
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Decision(self._built(context), self.judge.kind != "rule", self.mode)
