"""What a study claims, and whether the answers of its models bear it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from medrl.evaluation.evaluate import Row
from medrl.evaluation.readings import Metrics, TrainingClaim, differences, quarter, unit_of
from medrl.evaluation.statistics import Effect, paired_interaction, paired_study, seed_summary
from medrl.part import Part, Positive

Answers = dict[tuple[str, int, str, str], Sequence[Row]]
"""(arm, seed, set, start) -> one row per question."""


class Cell(Part):
    """Where a number is read: which arm, which set, how its answers start."""

    arm: str
    set: str
    start: str = "free"


class Pair(Part):
    """The difference between two cells, on the same questions."""

    more: Cell
    less: Cell

    @model_validator(mode="after")
    def _same_questions(self) -> Pair:
        if self.more.set != self.less.set:
            raise ValueError(
                f"more is on {self.more.set} and less on {self.less.set}, which are different "
                "questions; compare on one set, and two sets by beyond"
            )
        return self


class Claim(Pair):
    """``more`` exceeds ``less`` by more than ``by``: holds if the interval's lower end does.

    Compared is the share of all answers that are correct, think, keep the format, or are what their
    reasoning comes to.
    """

    name: str
    of: Literal["correct", "thinks", "format_ok", "agrees", "score"]
    """``score`` is what the study's reward gives, which must lie in [0, 1]; the others are true or
    false of an answer."""
    beyond: Pair | None = None
    """If given, what exceeds ``by`` is by how much more the difference is than this one."""
    by: float = 0.0

    @property
    def pairs(self) -> list[Pair]:
        """The differences it speaks of."""
        return [self, *([self.beyond] if self.beyond else [])]


class LevelClaim(Part):
    """While ``arm`` trained, groups without gradient were more frequent at some difficulty levels
    than at others. Pairs of levels are those of one run; the interval is over runs."""

    name: str
    of: Literal["dead_share"]
    arm: str
    more: tuple[Positive, ...] = Field(min_length=1)
    less: tuple[Positive, ...] = Field(min_length=1)
    by: float = 0.0


class QualityClaim(Part):
    """A model that ``arm`` trained beside its policy is good enough on cases it had not seen; the
    interval is over runs."""

    name: str
    of: Literal["quality"]
    arm: str
    stage: str
    beyond_control: bool = False
    """For traces: by how much the share kept exceeds the share that other cases' traces explain."""
    by: float = 0.0


AnyClaim = Annotated[Claim | LevelClaim | QualityClaim | TrainingClaim, Field(discriminator="of")]

Qualities = Mapping[str, Mapping[str, Any]]
"""Of one run: what was measured of the model of each auxiliary stage, by stage."""


def dead_share(metrics: Metrics, levels: Sequence[int]) -> float | None:
    """Share of groups at these levels that had equal rewards; ``None`` if there were no groups."""
    groups = dead = 0.0
    for row in metrics:
        for level in levels:
            count = row.get(f"groups_L{level}", 0.0)
            groups += count
            dead += count and count * row[f"dead_share_L{level}"]
    return dead / groups if groups else None


def level_table(arm: str, runs: Sequence[Metrics]) -> list[dict[str, Any]]:
    """For each level that ``arm`` trained on: groups per run, and the share of them without a
    gradient in the first quarter of the steps and in all, as means over runs."""
    names = {key for run in runs for row in run for key in row if key.startswith("groups_L")}
    table = []
    for level in sorted(int(name.removeprefix("groups_L")) for name in names):
        whole = [dead_share(run, [level]) for run in runs]
        early = [dead_share(run[: quarter(run)], [level]) for run in runs]
        groups = [sum(row.get(f"groups_L{level}", 0.0) for row in run) for run in runs]
        table.append(
            {
                "arm": arm,
                "level": level,
                "groups": sum(groups) / len(runs),
                "dead_share_early": _mean(early),
                "dead_share": _mean(whole),
            }
        )
    return table


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def quality_table(arm: str, runs: Sequence[Qualities]) -> list[dict[str, Any]]:
    """For each model that ``arm`` trained beside its policy: what was measured, run by run."""
    return [
        {
            "arm": arm,
            "stage": stage,
            "measure": first["measure"],
            "n": first["n"],
            "by_seed": [run[stage]["value"] for run in runs],
            "control": [run[stage].get("control") for run in runs],
        }
        for stage, first in runs[0].items()
    ]


def judge(
    claim: AnyClaim,
    seeds: Sequence[int],
    answers: Answers,
    metrics: Mapping[str, Sequence[Metrics]],
    models: Mapping[str, Sequence[Qualities]],
) -> dict[str, Any]:
    """The effect, its 95 % interval, and whether the claim holds.

    Args:
        metrics: steps of each run of an arm, in order of the seeds; for claims about training.
        models: what was measured of the models beside its policy, in the same order.

    Raises:
        ValueError: a level of a claim was never trained on, or a run has no such model or metric.
    """
    unit = "points"
    if isinstance(claim, TrainingClaim):
        found = seed_summary(differences(claim, metrics))
        value, low, high = found.mean, found.low, found.high
        unit = unit_of(claim.more.metric)
    elif isinstance(claim, LevelClaim):
        value, low, high = _level_effect(claim, metrics[claim.arm])
    elif isinstance(claim, QualityClaim):
        value, low, high = _quality(claim, models[claim.arm])
    else:
        effect = _effect(claim, seeds, answers)
        value, low, high = effect.value, effect.low, effect.high
    return {
        "name": claim.name,
        "effect": value,
        "low": low,
        "high": high,
        "unit": unit,
        "threshold": claim.by,
        "holds": low > claim.by,
    }


def _effect(claim: Claim, seeds: Sequence[int], answers: Answers) -> Effect:
    def values(cell: Cell) -> list[list[float]]:
        return [
            [
                float(getattr(row, claim.of))
                for row in answers[(cell.arm, seed, cell.set, cell.start)]
            ]
            for seed in seeds
        ]

    if claim.beyond is None:
        return paired_study(values(claim.more), values(claim.less))

    def asked(cell: Cell) -> list[str]:
        return [row.case_id for row in answers[(cell.arm, seeds[0], cell.set, cell.start)]]

    here, there = ((values(pair.more), values(pair.less)) for pair in claim.pairs)
    # A set and the same with its pictures perturbed hold the same questions.
    return paired_interaction(here, there, asked(claim.more) == asked(claim.beyond.more))


def _level_effect(claim: LevelClaim, runs: Sequence[Metrics]) -> tuple[float, float, float]:
    differences = []
    for run in runs:
        more, less = dead_share(run, claim.more), dead_share(run, claim.less)
        if more is None or less is None:
            raise ValueError(f"claim {claim.name!r}: {claim.arm} did not train on all its levels")
        differences.append(more - less)
    found = seed_summary(differences)
    return found.mean, found.low, found.high


def _quality(claim: QualityClaim, runs: Sequence[Qualities]) -> tuple[float, float, float]:
    values = []
    for run in runs:
        if claim.stage not in run:
            raise ValueError(f"claim {claim.name!r}: {claim.arm} has no model {claim.stage!r}")
        found = run[claim.stage]
        less = (found.get("control") or 0.0) if claim.beyond_control else 0.0
        values.append(found["value"] - less)
    if len(set(values)) == 1:  # no spread to speak of
        return values[0], values[0], values[0]
    spread = seed_summary(values)
    return spread.mean, spread.low, spread.high
