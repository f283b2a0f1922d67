"""Rewards of several kinds of case on one scale (MedCCO's re-weighting).

Closed questions are paid 0 or 1, open ones shares that deviate little; in one batch the first drown
the second. The paper has the idea, the form is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch

LEAST_DEVIATION = 1e-6
"""Rewards that deviate less are all the same: there is nothing to rescale."""


class RunningScale:
    """Running mean and deviation of the rewards of each kind of case.

    Kept are moving averages of the mean and of the mean square, so that a drift from step to step
    is part of the deviation. The first rewards of a kind are its first average.
    """

    def __init__(self, reference: str = "closed", decay: float = 0.99) -> None:
        """Nothing seen yet.

        Args:
            reference: the kind whose scale the others are brought to.
            decay: weight of what was seen before, per update, in [0, 1).

        Raises:
            ValueError: a decay outside of [0, 1).
        """
        if not 0 <= decay < 1:
            raise ValueError(f"decay is {decay}; use one from 0 to below 1")
        self.reference, self.decay = reference, decay
        self._moments: dict[str, tuple[float, float]] = {}

    def update(self, kind: str, values: Sequence[float]) -> None:
        """See the rewards of a step; none change nothing."""
        if not values:
            return
        now = fmean(values), fmean(v * v for v in values)
        mean, square = self._moments.get(kind, now)
        rest = 1 - self.decay
        self._moments[kind] = (
            self.decay * mean + rest * now[0],
            self.decay * square + rest * now[1],
        )

    def mean(self, kind: str) -> float:
        """Running mean; ``KeyError`` for a kind that was never seen."""
        return self._moments[kind][0]

    def deviation(self, kind: str) -> float:
        """Running standard deviation; ``KeyError`` for a kind that was never seen."""
        mean, square = self._moments[kind]
        return math.sqrt(max(0.0, square - mean * mean))

    def rescale(self, kind: str, values: Sequence[float]) -> list[float]:
        """``(R - mu_kind) / sigma_kind * sigma_ref + mu_ref`` of each reward.

        Unchanged while the reference kind, or this one, was not seen or does not deviate. The
        result may leave the reward's range.
        """
        seen = self._moments.keys() >= {kind, self.reference}
        if not seen or kind == self.reference or self.deviation(kind) < LEAST_DEVIATION:
            return list(values)
        if self.deviation(self.reference) < LEAST_DEVIATION:
            return list(values)
        factor = self.deviation(self.reference) / self.deviation(kind)
        shift = self.mean(self.reference)
        return [(value - self.mean(kind)) * factor + shift for value in values]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Mean and mean square of each kind, every bit of them, for a checkpoint."""
        return {
            kind: torch.tensor(seen, dtype=torch.float64) for kind, seen in self._moments.items()
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from what ``tensors`` gave."""
        self._moments = {kind: (float(t[0]), float(t[1])) for kind, t in tensors.items()}
