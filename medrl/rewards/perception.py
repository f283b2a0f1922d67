"""Pay where the picture was needed: right with it, wrong without it (CAPO).

A picture that is perturbed shows less; what is answered from the question alone survives that, what
is read off the picture does not. The paper has the idea, both formulas are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Literal

from medrl.grading.verdict import Verdict
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

Form = Literal["margin", "pairs"]


def per_response(correct: bool, correct_perturbed: bool) -> float:
    """``1[acc = 1] 1[acc~ = 0]`` of an answer and one to the perturbed picture: 0 or 1."""
    return float(correct and not correct_perturbed)


def group_margin(correct_G: Sequence[bool], perturbed_G: Sequence[bool]) -> list[float]:
    """``acc_i max(0, mean acc - mean acc~)`` of each answer of a group, in [0, 1].

    Args:
        correct_G: of the answers to the case.
        perturbed_G: of those to its perturbed pictures; their number may be another.

    Raises:
        ValueError: there are no answers of one kind.
    """
    if not (correct_G and perturbed_G):
        raise ValueError("a margin needs answers with and without perturbation")
    margin = max(0.0, fmean(correct_G) - fmean(perturbed_G))
    return [margin if correct else 0.0 for correct in correct_G]


@dataclass(frozen=True)
class Perception:
    """One of the two forms. An answer without the grader's format counts as wrong on both sides.

    ``pairs`` compares the answers of a group with those to the perturbed picture one by one; which
    with which does not matter, for they were drawn independently.
    """

    form: Form
    low: float = 0.0
    high: float = 1.0

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        return [
            score
            for _, group in groupby(answers, lambda answer: answer.group)
            for score in self._of_group(list(group))
        ]

    def _of_group(self, group: Sequence[Answer]) -> list[Score]:
        perturbed = [_right(verdict) for verdict in group[0].perturbed]
        if len(perturbed) < len(group):
            why = f"{len(perturbed)} answers to perturbed pictures for {len(group)} to the case"
            return [Score(None, why) for _ in group]
        correct = [_right(answer.verdict) for answer in group]
        if self.form == "pairs":
            pairs = zip(correct, perturbed[: len(correct)], strict=True)
            return [Score(per_response(c, p), f"{_say(c)}, perturbed {_say(p)}") for c, p in pairs]
        # Answers that the format's gate has stopped are not here; they are wrong ones.
        stopped = [False] * (len(perturbed) - len(correct))
        reason = f"{sum(correct)} right, perturbed {sum(perturbed)}, of {len(perturbed)} each"
        margins = group_margin([*correct, *stopped], perturbed)[: len(correct)]
        return [Score(margin, reason) for margin in margins]


def _right(verdict: Verdict) -> bool:
    return verdict.correct and verdict.format_ok


def _say(right: bool) -> str:
    return "right" if right else "wrong"


class PerceptionSpec(TermSpec):
    """CAPO's perception consistency: pay answers that are right with the picture and would be wrong
    with a perturbed one.

    Needs answers to perturbed pictures (:attr:`medrl.rewards.term.Answer.perturbed`). A question
    that is answered without its picture never earns it. Of a group's answers it favours none that
    is not favoured by being right: it weighs questions, and only where advantages are not divided
    by their group's deviation.
    """

    term: Literal["perception"]
    form: Form = "margin"
    """``margin``: what the group's accuracy loses by perturbation, for right answers (less noisy).
    ``pairs``: 1 where the answer is right and one to the perturbed picture is wrong."""

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Perception(self.form)
