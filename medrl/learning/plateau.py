"""Ending a stage where its validation accuracy has stopped rising (MedCCO's curriculum switch)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medrl.cases.spec import TrainSpec
from medrl.part import Part, Positive

Metrics = dict[str, float]


class PlateauSpec(Part):
    """When a stage ends before its ``steps`` are done.

    MedCCO goes on to open questions at a boundary; that a plateau draws it, and this rule, are
    ours.
    """

    validation: TrainSpec
    """Held-out cases, one set or a list; answered greedily."""
    every: Positive = 10
    """Steps from one evaluation to the next; the first comes after so many."""
    patience: Positive = 3
    """Evaluations in a row that may bring no new best; with the last of them the stage ends."""


def has_plateaued(accuracies: Sequence[float], patience: int) -> bool:
    """Whether the last ``patience`` accuracies are all no higher than the best before them."""
    if len(accuracies) <= patience:
        return False
    return max(accuracies[-patience:]) <= max(accuracies[:-patience])


class Plateau:
    """Watches one stage.

    Attributes:
        accuracies: what was found so far, in [0, 1], oldest first; part of every checkpoint.
    """

    def __init__(self, spec: PlateauSpec, evaluate: Callable[[], float]) -> None:
        """Nothing seen yet.

        Args:
            evaluate: the policy's accuracy on the validation cases, now.
        """
        self.spec, self.evaluate = spec, evaluate
        self.accuracies: list[float] = []

    def look(self, done: int) -> Metrics:
        """Evaluate if it is time after so many steps; what to log of it."""
        if done % self.spec.every:
            return {}
        self.accuracies.append(self.evaluate())
        return {"validation_accuracy": self.accuracies[-1]}

    @property
    def reached(self) -> bool:
        """Whether the stage is over."""
        return has_plateaued(self.accuracies, self.spec.patience)
