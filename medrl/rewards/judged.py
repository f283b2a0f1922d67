"""Reward terms that ask a judge: a rule, a local model or an endpoint.

Where a judge fails, there is no value: the answer is left out of training and counted. An answer
that has nothing to be judged, such as no answer at all, has the lowest value without a question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from pydantic import Field, model_validator

from medrl.environments.prompts import option_lines
from medrl.judges import (
    RUBRICS,
    AnyRubric,
    Judge,
    Judgement,
    JudgeSpec,
    PartName,
    Question,
    Rubric,
    build_judge,
    check_judge,
)
from medrl.judges.parts import answer_of, reasoning_of, steps_of
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec


def texts_of(answer: Answer) -> dict[PartName, str]:
    """All that a rubric can ask to be shown of an answer, but ``step``; what the case does not have
    is empty."""
    case = answer.case
    reference = case.reference
    letter = reference.kind == "option"
    final = answer_of(answer.text, answer.verdict, reference)
    return {
        "question": f"{case.context}\n{case.question}" if case.context else case.question,
        "options": option_lines(reference.options) if letter else "\n".join(reference.options),
        "reference": f"{_named(reference.value, answer)} {reference.unit}".rstrip(),
        "findings": case.tags.get("findings", ""),
        "reasoning": reasoning_of(answer.text, answer.prompt.text),
        "answer": _named(final, answer),
        "reply": answer.text,
    }


def _named(value: str, answer: Answer) -> str:
    """A letter with its option's text; anything else as it is."""
    reference = answer.case.reference
    if reference.kind == "option" and len(value) == 1 and value in reference.letters:
        return f"{value}. {reference.options[reference.letters.index(value)]}"
    return value


@dataclass(frozen=True)
class Judged:
    """What a judge says of each answer.

    Attributes:
        judge: its ``last`` holds the counts of the last call.
    """

    judge: Judge
    rubric: Rubric

    @property
    def low(self) -> float:
        """The rubric's."""
        return self.rubric.low

    @property
    def high(self) -> float:
        """The rubric's."""
        return self.rubric.high

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        questions = [question_of(self.rubric, answer) for answer in answers]
        return asked_of(self.judge, questions, answers, lambda _, judged: judged.value, self.low)


def question_of(rubric: Rubric, answer: Answer) -> Question:
    """What a rubric asks about an answer."""
    return Question(rubric, texts_of(answer), answer.case.reference)


def asked_of(
    judge: Judge,
    questions: Sequence[Question],
    answers: Sequence[Answer],
    worth: Callable[[Answer, Judgement], float | None],
    without: float,
) -> list[Score]:
    """Ask about all answers that have what their question judges; the others are not asked about.

    Args:
        questions: one per answer.
        worth: from an answer and its judgement, which has a value, to the value of the term.
        without: value of an answer that lacks what is judged.
    """
    lacks = [next((p for p in q.rubric.judged if not q.texts.get(p)), None) for q in questions]
    asked = [question for question, part in zip(questions, lacks, strict=True) if part is None]
    judged = iter(judge.ask(asked))
    scores = []
    for answer, part in zip(answers, lacks, strict=True):
        if part is not None:
            scores.append(Score(without, f"there is no {part} to be judged"))
        elif (judgement := next(judged)).value is None:
            scores.append(_failed(judgement))
        else:
            scores.append(Score(worth(answer, judgement), judgement.reason))
    return scores


def _failed(judgement: Judgement) -> Score:
    return Score(None, f"{judgement.failure}: {judgement.reason}")


class JudgedSpec(TermSpec):
    """What all terms with a judge have."""

    judge: JudgeSpec

    @property
    def model(self) -> str | None:
        """Model that the term loads, if its judge is a local one."""
        return self.judge.model if self.judge.kind == "model" else None

    def check(self) -> None:
        """See :class:`TermSpec`.

        Raises:
            JudgeError: the judge's key is not set.
        """
        check_judge(self.judge)

    def _built(self, context: RewardContext) -> Judge:
        return build_judge(self.judge, context.grader, context.model_folder)


class JudgeTermSpec(JudgedSpec):
    """Pay what a judge says, under a rubric."""

    term: Literal["judge"]
    rubric: AnyRubric
    """Name of a shipped rubric, or one of one's own."""

    @model_validator(mode="after")
    def _can_be_answered(self) -> JudgeTermSpec:
        self.judge.check_rubric(self.rubric)
        if "step" in self.rubric.parts:
            raise ValueError(
                f"rubric {self.rubric.name!r} is about single steps; use term: steps instead"
            )
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Judged(self._built(context), self.rubric)


class SoftVerifierSpec(JudgedSpec):
    """A local model's probability that the answer is equivalent to the reference.

    P(1) / (P(0) + P(1)) of what it would reply ("Crossing the Reward Bridge"). Their normalisation
    within the batch is the objective's matter: REINFORCE-like advantages.
    """

    term: Literal["soft_verifier"]

    @model_validator(mode="after")
    def _is_soft(self) -> SoftVerifierSpec:
        if self.judge.kind != "model" or self.judge.mode != "probability":
            raise ValueError(
                "soft_verifier reads probabilities off a local model; "
                "set kind: model and mode: probability, or use term: judge"
            )
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Judged(self._built(context), RUBRICS["verifier"])


@dataclass(frozen=True)
class GenerativeVerifier:
    """General-Reasoner's reward: equivalence decides, and a length like the reference's is paid.

    No single answer to be read: -0.5. Equivalent: 1 - 0.05 min(|l - l*|, 10), where l and l* are
    the lengths of answer and reference in tokens of the policy. Otherwise 0.
    """

    judge: Judge
    tokens: Callable[[str], int]
    low: float = -0.5
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        questions = [question_of(RUBRICS["equivalence"], answer) for answer in answers]
        return asked_of(self.judge, questions, answers, self._worth, without=self.low)

    def _worth(self, answer: Answer, judged: Judgement) -> float:
        if judged.value is None or judged.value < 0.5:
            return 0.0
        reference = answer.case.reference
        given = answer_of(answer.text, answer.verdict, reference)
        wanted = f"{reference.value} {reference.unit}".strip()
        apart = abs(self.tokens(given) - self.tokens(wanted))
        return 1 - 0.05 * min(apart, 10)


class GenerativeVerifierSpec(JudgedSpec):
    """Equivalence by a judge, with General-Reasoner's penalties for length and for no answer."""

    term: Literal["generative_verifier"]

    @model_validator(mode="after")
    def _can_be_answered(self) -> GenerativeVerifierSpec:
        self.judge.check_rubric(RUBRICS["equivalence"])
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        encode = context.policy.encode
        return GenerativeVerifier(self._built(context), lambda text: len(encode(text)))


@dataclass(frozen=True)
class Steps:
    """Share of the steps of the reasoning that are supported by what is known of the case.

    ChestX-Reasoner's factuality, #supported / #steps, in [0, 1]. Reasoning without a step has 0
    (ours); one step that could not be judged leaves the answer without a value.
    """

    judge: Judge
    tag: str
    low: float = 0.0
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        steps: list[list[str]] = []
        questions: list[Question] = []
        for answer in answers:
            known = answer.case.tags.get(self.tag, "")
            found = steps_of(reasoning_of(answer.text, answer.prompt.text)) if known else []
            steps.append(found)
            rubric = RUBRICS["step_support"]
            questions += [Question(rubric, {"findings": known, "step": step}) for step in found]
        judged = iter(self.judge.ask(questions))
        return [
            self._share(answer, [next(judged) for _ in found])
            for answer, found in zip(answers, steps, strict=True)
        ]

    def _share(self, answer: Answer, judged: Sequence[Judgement]) -> Score:
        if not answer.case.tags.get(self.tag):
            return Score(None, f"{answer.case.source} has no {self.tag} to compare with")
        if not judged:
            return Score(0.0, "the reasoning has no steps")
        failed = [judgement for judgement in judged if judgement.value is None]
        if failed:
            return Score(None, f"{len(failed)} of {len(judged)} steps: {_failed(failed[0]).reason}")
        supported = [float(j.value is not None and j.value >= 0.5) for j in judged]
        return Score(fmean(supported), f"{sum(supported):.0f} of {len(judged)} steps are supported")


class StepsSpec(JudgedSpec):
    """Pay the share of reasoning steps that the case supports (ChestX-Reasoner)."""

    term: Literal["steps"]
    tag: str = Field("findings", min_length=1)
    """Label of the cases that holds their findings or reference steps: findings, rationale, ..."""

    @model_validator(mode="after")
    def _can_be_answered(self) -> StepsSpec:
        self.judge.check_rubric(RUBRICS["step_support"])
        return self

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Steps(self._built(context), self.tag)
