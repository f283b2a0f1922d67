"""Whether closed questions outweigh open ones while an arm of a study trains on both (MedCCO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, get_args

from medrl.evaluation.statistics import SeedSummary, seed_summary
from medrl.part import Part

Metrics = Sequence[Mapping[str, Any]]
"""The steps of a run, as ``metrics.jsonl`` has them."""
Quantity = Literal["reward_std", "grad_norm"]
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


class ImbalanceClaim(Part):
    """While ``arm`` trained, closed questions had more than half of what closed and open questions
    have together of a quantity; or with ``beyond`` a greater share than in that arm. The interval
    is over runs."""

    name: str
    of: Quantity
    arm: str
    beyond: str = ""
    by: float = 0.0


def mean_of(run: Metrics, quantity: str) -> float | None:
    """Mean over the steps that have it; ``None`` if none has."""
    values = [row[quantity] for row in run if quantity in row]
    return fmean(values) if values else None


def closed_share(run: Metrics, quantity: Quantity) -> float:
    """What closed questions have of both, in [0, 1].

    Raises:
        ValueError: the run has not measured it, or it was 0 throughout.
    """
    closed, opened = (mean_of(run, f"{quantity}_{form}") for form in ("closed", "open"))
    if closed is None or opened is None or closed + opened == 0:
        raise ValueError(
            f"{quantity} was not measured for closed and open questions apart; train on both, and "
            "for grad_norm set gradients_by_form: true"
        )
    return closed / (closed + opened)


def imbalance(claim: ImbalanceClaim, runs: Mapping[str, Sequence[Metrics]]) -> SeedSummary:
    """By how much the share exceeds a half, or the share of the other arm in the same seed.

    Raises:
        ValueError: see :func:`closed_share`.
    """
    shares = [closed_share(run, claim.of) for run in runs[claim.arm]]
    others = [0.5] * len(shares)
    if claim.beyond:
        others = [closed_share(run, claim.of) for run in runs[claim.beyond]]
    return seed_summary([a - b for a, b in zip(shares, others, strict=True)])


def form_table(arm: str, runs: Sequence[Metrics]) -> list[dict[str, Any]]:
    """One row per quantity that ``arm`` has measured for both forms: means over its runs."""
    table = []
    for quantity in QUANTITIES:
        means = {}
        for form in ("closed", "open"):
            found = [mean_of(run, f"{quantity}_{form}") for run in runs]
            known = [value for value in found if value is not None]
            if len(known) == len(runs):
                means[form] = fmean(known)
        if len(means) == 2:
            table.append({"arm": arm, "quantity": quantity, **means})
    return table
