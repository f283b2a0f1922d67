"""What is read off the steps of training runs: means of a metric early and late, and its curve.

All of it is about the last stage of a run: what a warm-up logs before is not mixed in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from medrl.part import Part

Metrics = Sequence[Mapping[str, Any]]
"""The steps of a run, as ``metrics.jsonl`` has them."""

When = Literal["early", "late", "all"]
"""The first quarter of the steps of a run's last stage, the last quarter, or all of them."""


class Reading(Part):
    """A metric of the runs of an arm, as the mean over some steps."""

    arm: str
    metric: str
    """As in ``metrics.jsonl``."""
    at: When = "late"


class Contrast(Part):
    """The difference between two readings of the same run, or of runs of the same seed."""

    more: Reading
    less: Reading


class TrainingClaim(Contrast):
    """While they trained, ``more`` exceeded ``less`` by more than ``by``; the interval is over
    runs."""

    name: str
    of: Literal["training"]
    beyond: Contrast | None = None
    """If given, what exceeds ``by`` is by how much more the difference is than this one."""
    by: float = 0.0
    """In the metric's unit: tokens, a norm, or a share."""

    @property
    def contrasts(self) -> list[Contrast]:
        """The differences it speaks of."""
        return [self, *([self.beyond] if self.beyond else [])]

    @property
    def readings(self) -> Iterator[Reading]:
        """All readings it speaks of."""
        for contrast in self.contrasts:
            yield from (contrast.more, contrast.less)


def unit_of(metric: str) -> Literal["tokens", "norm", "points"]:
    """``tokens``, ``norm`` of gradients, or ``points`` for shares and rewards, shown times 100."""
    if "norm" in metric:
        return "norm"
    return "tokens" if "tokens" in metric else "points"


def last_stage(metrics: Metrics) -> Metrics:
    """The steps of a run's last stage."""
    first = max((i for i, row in enumerate(metrics) if row["step"] == 1), default=0)
    return metrics[first:]


def quarter(steps: Sequence[Any]) -> int:
    """How many of the steps a quarter of them is, rounded up."""
    return -(-len(steps) // 4)


def value_of(metrics: Metrics, metric: str, at: When) -> float | None:
    """Mean over those steps that have the metric; ``None`` if none of them has."""
    steps = last_stage(metrics)
    count = quarter(steps)
    chosen = {"early": steps[:count], "late": steps[-count:], "all": steps}[at]
    found = [row[metric] for row in chosen if metric in row]
    return fmean(found) if found else None


def differences(claim: TrainingClaim, metrics: Mapping[str, Sequence[Metrics]]) -> list[float]:
    """What a claim speaks of, run by run.

    Args:
        metrics: steps of the runs of each arm, in order of the seeds.

    Raises:
        ValueError: a run never logged a metric of the claim.
    """

    def values(reading: Reading) -> list[float]:
        found = [value_of(run, reading.metric, reading.at) for run in metrics[reading.arm]]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            raise ValueError(f"claim {claim.name!r}: {reading.arm} logged no {reading.metric!r}")
        return known

    pairs = [list(zip(values(c.more), values(c.less), strict=True)) for c in claim.contrasts]
    here, *there = ([more - less for more, less in pair] for pair in pairs)
    return [a - b for a, b in zip(here, there[0], strict=True)] if there else here


def training_table(
    arm: str, names: Sequence[str], runs: Sequence[Metrics]
) -> Iterator[dict[str, Any]]:
    """A row for each of the metrics that ``arm`` logged: early and late, run by run."""
    for name in names:
        early, late = ([value_of(run, name, at) for run in runs] for at in ("early", "late"))
        if None not in (*early, *late):
            yield {"arm": arm, "metric": name, "early": early, "late": late}


def curve(name: str, runs: Sequence[Metrics]) -> list[float | None]:
    """The metric at each step of the last stage, mean over the runs that have it there."""
    stages = [last_stage(run) for run in runs]
    columns = ([row[name] for row in rows if name in row] for rows in zip(*stages, strict=True))
    return [round(fmean(found), 4) if found else None for found in columns]
