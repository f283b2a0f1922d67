"""An expert who asks what tells most: Bayes' rule over the conditions that still fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medrl.clinic.knowledge import Condition

FEWEST_QUESTIONS, MOST_QUESTIONS = 2, 9
SURE = 0.95
"""Probability of one condition at which the expert stops asking."""
LEADING = 2
"""Conditions that the expert has in mind at once."""
ODD = 0.02
"""P(finding | condition) of what the textbook does not list."""
HISTORY = 0.4
"""Share of patients who tell a risk factor; see :mod:`medrl.clinic.patients`."""


def chance(condition: Condition, finding: str) -> float:
    """P(finding | condition) in (0, 1), as the textbook has it."""
    if finding in condition.risk_factors:
        return HISTORY / len(condition.risk_factors)
    return condition.findings.get(finding, ODD)


class Hypothesis:
    """A condition that may be the right one, with its log-probability up to a constant."""

    def __init__(self, condition: Condition, reported: Sequence[str]) -> None:
        self.condition = condition
        self.log_weight = sum(math.log(chance(condition, f)) for f in reported)

    def learn(self, finding: str, present: bool) -> None:
        """Take an answer into account."""
        p = chance(self.condition, finding)
        self.log_weight += math.log(p if present else 1 - p)


@dataclass(frozen=True, slots=True)
class Step:
    """A question and what came of it.

    Attributes:
        leading: ids of the likeliest conditions before it was asked, likeliest first.
        asked: id of the finding.
        present: whether the patient has it.
    """

    leading: tuple[str, ...]
    asked: str
    present: bool


class Expert:
    """Goes through a consultation: 2 to 9 questions, the most informative first, then a diagnosis.

    Args:
        hypotheses: conditions that fit the self-report; they are used up.
        answers: what can be asked, and what is so. The expert looks only at what was asked.

    Attributes:
        steps: the questions, in order.
        diagnosis: id of the likeliest condition in the end.
        sure: its probability.
    """

    def __init__(self, hypotheses: Sequence[Hypothesis], answers: Mapping[str, bool]) -> None:
        self._hypotheses = list(hypotheses)
        self.steps: list[Step] = []
        left = dict(answers)
        while left and len(self.steps) < MOST_QUESTIONS:
            ranked = self._ranked()
            if len(self.steps) >= FEWEST_QUESTIONS and ranked[0][1] >= SURE:
                break
            asked = max(sorted(left), key=self._information)
            leading = tuple(condition for condition, _ in ranked[:LEADING])
            self.steps.append(Step(leading, asked, left[asked]))
            for hypothesis in self._hypotheses:
                hypothesis.learn(asked, left[asked])
            del left[asked]
        self.diagnosis, self.sure = self._ranked()[0]

    def _probabilities(self) -> list[float]:
        top = max(h.log_weight for h in self._hypotheses)
        weights = [math.exp(h.log_weight - top) for h in self._hypotheses]
        total = math.fsum(weights)
        return [w / total for w in weights]

    def _ranked(self) -> list[tuple[str, float]]:
        ids = [h.condition.id for h in self._hypotheses]
        return sorted(zip(ids, self._probabilities(), strict=True), key=lambda x: (-x[1], x[0]))

    def _information(self, finding: str) -> float:
        """Mutual information (nats) of a finding and the condition:
        ``H(sum_c P(c) p_c) - sum_c P(c) H(p_c)``, H the entropy of a yes-no answer."""
        pairs = [
            (w, chance(h.condition, finding))
            for w, h in zip(self._probabilities(), self._hypotheses, strict=True)
        ]
        return _entropy(math.fsum(w * p for w, p in pairs)) - math.fsum(
            w * _entropy(p) for w, p in pairs
        )


def _entropy(p: float) -> float:
    return -sum(x * math.log(x) for x in (p, 1 - p) if x > 0)
