"""Measures of consultations (DoctorAgent-RL): how well was asked, and what it led to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from medrl.cases.record import Fact, Record
from medrl.patients.patient import facts_of
from medrl.patients.words import denies, holds

BEST = 5.0
"""Highest score of a diagnosis, a recommendation, or the information obtained."""


def precision(answered: float, questions: float) -> float:
    """Answered questions among all questions, in [0, 1]; 0 if none was asked."""
    return answered / questions if questions else 0.0


def information(record: Record, replies: Sequence[str]) -> float:
    """How much of what is present in a record came out in the patient's replies, from 0 to 5.

    Counted are facts whose answer is no denial, or all if a record has denials only. One is
    elicited by a reply that has its words, or most of its content words; so it does not matter
    which question brought it out. (The source has a judge compare; this is the rule in its place.)
    """
    said = [part for reply in replies for part in {reply, *reply.split("; ")}]
    facts = facts_of(record)
    present = [f for f in facts if f.answer and not denies(f.answer)] or facts
    return BEST * fmean(_elicited(f, said) for f in present) if present else 0.0


def _elicited(fact: Fact, said: Sequence[str]) -> bool:
    return fact.answer in said or any(not denies(s) and holds(s, fact.answer) for s in said)


def efficiency(
    score: float, turns: float, tokens: float, alpha: float = 1.0, beta: float = 0.01
) -> float:
    """Diagnostic efficiency index ``DEI = score^2 / (alpha * turns + beta * tokens)``.

    Args:
        score: in per cent.
        turns: mean number of turns of a consultation, above 0 unless ``tokens`` is.
        tokens: mean number of tokens that the policy wrote in a turn.

    Raises:
        ValueError: nothing was written in no turns.
    """
    cost = alpha * turns + beta * tokens
    if cost <= 0:
        raise ValueError("a consultation without turns and tokens has no efficiency")
    return score**2 / cost


@dataclass(frozen=True, slots=True)
class Finished:
    """What is measured of a consultation that is over.

    Attributes:
        correct: the grader's word on the diagnosis.
        diagnosis, recommendation, information: scores from 0 to 5.
        questions: all that were asked, ``answered`` those with an answer.
        turns: the policy's, ``tokens`` what it wrote in all of them.
        over_budget: it ended without a diagnosis because its turns were used up.
    """

    correct: bool
    diagnosis: float
    recommendation: float
    information: float
    questions: int
    answered: int
    turns: int
    tokens: int
    over_budget: bool

    @classmethod
    def from_measures(cls, measures: Mapping[str, float], correct: bool, tokens: int) -> Finished:
        """Of an episode's measures (:meth:`medrl.environments.consultation.Consultation.measures`),
        its verdict, and the tokens that the policy wrote."""
        return cls(
            correct,
            measures["diagnosis_score"],
            measures["recommendation_score"],
            measures["information"],
            int(measures["questions"]),
            int(measures["answered"]),
            int(measures["turns"]),
            tokens,
            bool(measures["over_budget"]),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over consultations.

    Attributes:
        accuracy: share of right diagnoses.
        diagnosis, recommendation, score: per cent of the highest score, and the mean of the two.
        information: from 0 to 5.
        precision: answered questions among all that were asked, of all consultations together.
        turns: per consultation, ``tokens`` per turn.
        over_budget: share that ended without a diagnosis because turns were used up.
        efficiency: see :func:`efficiency`.
    """

    count: int
    accuracy: float
    diagnosis: float
    recommendation: float
    score: float
    information: float
    precision: float
    turns: float
    tokens: float
    over_budget: float
    efficiency: float


def summarise(consultations: Iterable[Finished], alpha: float = 1.0, beta: float = 0.01) -> Summary:
    """The measures of a set.

    Raises:
        ValueError: no consultations, or one without a turn.
    """
    done = list(consultations)
    if not done or not all(c.turns for c in done):
        raise ValueError("there is nothing to summarise: no consultations, or one without a turn")
    diagnosis = 100 / BEST * fmean(c.diagnosis for c in done)
    recommendation = 100 / BEST * fmean(c.recommendation for c in done)
    score = (diagnosis + recommendation) / 2
    turns = fmean(c.turns for c in done)
    tokens = sum(c.tokens for c in done) / sum(c.turns for c in done)
    return Summary(
        count=len(done),
        accuracy=fmean(c.correct for c in done),
        diagnosis=diagnosis,
        recommendation=recommendation,
        score=score,
        information=fmean(c.information for c in done),
        precision=precision(sum(c.answered for c in done), sum(c.questions for c in done)),
        turns=turns,
        tokens=tokens,
        over_budget=fmean(c.over_budget for c in done),
        efficiency=efficiency(score, turns, tokens, alpha, beta),
    )


def budget_curve(by_budget: Mapping[int, Iterable[Finished]]) -> dict[int, Summary]:
    """Measures by imposed budget, smallest first.

    A budget counts questions, as in the source's 0 to 10: a consultation that is allowed ``n`` of
    them has ``n + 1`` turns.

    Raises:
        ValueError: see :func:`summarise`; a budget below 0.
    """
    if any(budget < 0 for budget in by_budget):
        raise ValueError("a budget counts questions, so it is 0 or more")
    return {budget: summarise(by_budget[budget]) for budget in sorted(by_budget)}
