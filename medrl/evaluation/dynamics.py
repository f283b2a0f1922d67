"""What a policy's answers look like while it learns: the six phases of Med-RLVR training.

Under a reward that only checks tags and the option letter, a base model was reported to pass
from broken format through long and then concise reasoning into two ways of cheating, and back.
``measure`` reads the shape of one answer, ``mean_shape`` averages a batch into metrics that a
``StepSeries`` collects, ``label_phases`` names the phase of each step and ``phase_timeline``
joins them. The names come from reports of that work; the numbers that detect them are ours.
Labels describe: phases may be missing, repeat, or come in another order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import groupby
from typing import Any

from medrl.evaluation.answer_shape import ResponseShape, mean_shape, measure

__all__ = [
    "Evidence",
    "Phase",
    "PhaseSpan",
    "PhaseThresholds",
    "ResponseShape",
    "StepSeries",
    "label_phases",
    "mean_shape",
    "measure",
    "phase_timeline",
    "phases_of",
]


class Phase(StrEnum):
    """Phases of training, in the order in which they were reported."""

    FORMAT_FAILURE = "format failure"
    VERBOSE_FORMATTER = "verbose formatter"
    CONCISE_STRUCTURER = "concise structurer"
    DIRECT_ANSWER = "direct-answer hacker"
    STEP_BY_STEP = "step-by-step exploit"
    REINTEGRATED = "reintegrated reasoning"
    UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class PhaseThresholds:
    """Where one phase ends and another begins; all values are ours. Rates lie in [0, 1]."""

    format_failing: float = 0.5
    """Format rate below which the format has not been learned."""
    format_holding: float = 0.9
    """Format rate from which it has."""
    verbose_ratio: float = 1.5
    """Verbose: longer than this many times the answers of the format failure."""
    falling: float = 0.05
    """Length falls if it lost this share over one smoothing window."""
    think_collapsed: float = 0.2
    """Share of its peak under which the think block has collapsed."""
    think_kept: float = 0.3
    """Share of its peak from which the think block still holds reasoning."""
    early_low: float = 0.2
    """Early answers are rare up to this rate."""
    early_high: float = 0.5
    """... and the habit above this one."""
    text_before: float = 0.3
    """Share of the tokens before the think tag above which reasoning has moved there."""
    nothing_before: float = 0.05
    """... and below which there is none to speak of."""
    accuracy_margin: float = 0.05
    """Accuracies closer than this count as equal."""
    accuracy_rise: float = 0.1
    """Accuracy per valid answer has risen if it grew by more than this."""


@dataclass(frozen=True, slots=True)
class StepSeries:
    """Batch means of a run, one number per training step, all equally long.

    Attributes:
        format_rate: share of answers in the right format, by the check the reward used. Text
            before the think tag can only show as a phase if that check allows it.
        response_tokens, think_tokens, pre_think_tokens: means over the batch.
        early_answer_rate: share of answers with ``ResponseShape.early_answer``.
        accuracy: share right.

    Raises:
        ValueError: if lengths differ. A number may be NaN where a step has none.
    """

    format_rate: Sequence[float]
    response_tokens: Sequence[float]
    think_tokens: Sequence[float]
    pre_think_tokens: Sequence[float]
    early_answer_rate: Sequence[float]
    accuracy: Sequence[float]

    def __post_init__(self) -> None:
        lengths = {column.name: len(getattr(self, column.name)) for column in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"a series needs one number per step in every column, got {lengths}")


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """Steps ``start`` up to but not including ``end`` were in one phase."""

    phase: Phase
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """Smoothed numbers of one step and what they are compared with; nothing from later steps.

    Attributes:
        format_rate, tokens, think, early, accuracy: smoothed columns of ``StepSeries``.
        before_share: smoothed share of tokens before the think tag.
        failing_tokens: mean length over the steps so far on which the format failed. A run that
            starts with the format in place has none: its own first length stands in.
        earlier_tokens: length one window ago, or when the format last began to hold if later.
        think_peak: largest ``think`` so far while the format held; NaN before that.
        best_accuracy: largest ``accuracy`` so far.
        valid_accuracy: ``accuracy`` per answer in the format.
        first_accuracy: ``valid_accuracy`` when the format first held; NaN before that.
    """

    format_rate: float
    tokens: float
    think: float
    early: float
    accuracy: float
    before_share: float
    failing_tokens: float
    earlier_tokens: float
    think_peak: float
    best_accuracy: float
    valid_accuracy: float
    first_accuracy: float


def is_format_failure(now: Evidence, limits: PhaseThresholds) -> bool:
    """Most answers are not in the format."""
    return now.format_rate < limits.format_failing


def is_verbose(now: Evidence, limits: PhaseThresholds) -> bool:
    """The format holds and answers are much longer than before it did."""
    return _holds(now, limits) and now.tokens > limits.verbose_ratio * now.failing_tokens


def is_concise(now: Evidence, limits: PhaseThresholds) -> bool:
    """The structure stays, the reasoning stays inside it, and the length falls."""
    falls = now.tokens < (1 - limits.falling) * now.earlier_tokens
    return falls and _reasons_inside(now, limits)


def is_direct_answer(now: Evidence, limits: PhaseThresholds) -> bool:
    """Most think blocks open with the answer, or the block has collapsed."""
    collapsed = now.think < limits.think_collapsed * now.think_peak
    return collapsed or now.early > limits.early_high


def is_step_by_step(now: Evidence, limits: PhaseThresholds) -> bool:
    """The format holds, by a check that allows it, and much of the text precedes the think tag."""
    return _holds(now, limits) and now.before_share > limits.text_before


def is_reintegrated(now: Evidence, limits: PhaseThresholds) -> bool:
    """Reasoning is inside the think block and accuracy the best so far, within the margin."""
    at_best = now.accuracy >= now.best_accuracy - limits.accuracy_margin
    return at_best and _reasons_inside(now, limits)


def _holds(now: Evidence, limits: PhaseThresholds) -> bool:
    return now.format_rate >= limits.format_holding


def _reasons_inside(now: Evidence, limits: PhaseThresholds) -> bool:
    return (
        _holds(now, limits)
        and now.think >= limits.think_kept * now.think_peak
        and now.think > 0
        and now.early <= limits.early_low
        and now.before_share < limits.nothing_before
    )


def label_phases(
    series: StepSeries, thresholds: PhaseThresholds | None = None, ema: int = 10
) -> list[Phase]:
    """Phase of each step; a label never depends on later steps.

    Where several detectors fire, in this order:

    1. Format failure: without the format, nothing else means what it says.
    2. Step-by-step exploit before direct-answer hacker: its think block is empty as well, but
       only it has the text in front.
    3. Direct-answer hacker before the rest: long text after a declared answer is still a hack.
    4. Concise structurer before reintegrated reasoning if the length falls from a verbose phase
       with no hack since; otherwise the other way round. Both before verbose formatter, except
    5. verbose formatter before reintegrated reasoning while accuracy has not risen since the
       format first held: length that has bought nothing.

    A concise structurer that levels off at the best accuracy so far meets every condition of
    phase 6 and gets that label; the numbers cannot tell them apart.

    Args:
        series: the run.
        thresholds: defaults to ``PhaseThresholds()``.
        ema: steps of the exponential moving average (weight ``2 / (ema + 1)``); 1 is none.

    Returns:
        one label per step, ``UNLABELLED`` where no detector fires.

    Raises:
        ValueError: if ``ema`` is below 1.
    """
    if ema < 1:
        raise ValueError(f"ema counts steps and must be at least 1, not {ema}")
    limits = thresholds or PhaseThresholds()
    labels: list[Phase] = []
    from_verbose = False
    for now in _evidence(series, limits, ema):
        label = _decide(now, limits, from_verbose)
        if label in (Phase.VERBOSE_FORMATTER, Phase.DIRECT_ANSWER, Phase.STEP_BY_STEP):
            from_verbose = label is Phase.VERBOSE_FORMATTER
        labels.append(label)
    return labels


def _decide(now: Evidence, limits: PhaseThresholds, from_verbose: bool) -> Phase:
    if is_format_failure(now, limits):
        return Phase.FORMAT_FAILURE
    if is_step_by_step(now, limits):
        return Phase.STEP_BY_STEP
    if is_direct_answer(now, limits):
        return Phase.DIRECT_ANSWER
    verbose, reintegrated = is_verbose(now, limits), is_reintegrated(now, limits)
    if is_concise(now, limits) and (from_verbose or not reintegrated):
        return Phase.CONCISE_STRUCTURER
    has_risen = now.valid_accuracy - now.first_accuracy > limits.accuracy_rise
    if reintegrated and (has_risen or not verbose):
        return Phase.REINTEGRATED
    return Phase.VERBOSE_FORMATTER if verbose else Phase.UNLABELLED


def _evidence(series: StepSeries, limits: PhaseThresholds, ema: int) -> list[Evidence]:
    smooth = {column.name: _smooth(getattr(series, column.name), ema) for column in fields(series)}
    found: list[Evidence] = []
    failing_steps, failing_tokens = 0, 0.0
    held_since, first_tokens = 0, next(iter(smooth["response_tokens"]), math.nan)
    think_peak, best_accuracy, first_accuracy = math.nan, math.nan, math.nan
    for step, rate in enumerate(smooth["format_rate"]):
        tokens, think = smooth["response_tokens"][step], smooth["think_tokens"][step]
        before, accuracy = smooth["pre_think_tokens"][step], smooth["accuracy"][step]
        # Unsmoothed: the long answers right after the format is learned are not part of it.
        length = series.response_tokens[step]
        if series.format_rate[step] < limits.format_failing and not math.isnan(length):
            failing_steps += 1
            failing_tokens += length
        valid_accuracy = accuracy / rate if rate else math.nan
        best_accuracy = _larger(best_accuracy, accuracy)
        if rate >= limits.format_holding:
            think_peak = _larger(think_peak, think)
            if math.isnan(first_accuracy):
                first_accuracy = valid_accuracy
        else:
            held_since = step + 1
        found.append(
            Evidence(
                format_rate=rate,
                tokens=tokens,
                think=think,
                early=smooth["early_answer_rate"][step],
                accuracy=accuracy,
                before_share=before / tokens if tokens else 0.0,
                failing_tokens=failing_tokens / failing_steps if failing_steps else first_tokens,
                earlier_tokens=smooth["response_tokens"][min(step, max(step - ema, held_since))],
                think_peak=think_peak,
                best_accuracy=best_accuracy,
                valid_accuracy=valid_accuracy,
                first_accuracy=first_accuracy,
            )
        )
    return found


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Exponential moving average that starts at the first number and passes over NaN."""
    weight, average = 2 / (window + 1), math.nan
    smooth: list[float] = []
    for value in values:
        if math.isnan(average):
            average = value
        elif not math.isnan(value):
            average += weight * (value - average)
        smooth.append(average)
    return smooth


def _larger(best: float, value: float) -> float:
    return value if math.isnan(best) or value > best else best


def phase_timeline(labels: Sequence[Phase], min_steps: int = 10) -> list[PhaseSpan]:
    """Spans of equal labels that tile the run, without flickers.

    A sudden change takes about one smoothing window to show and passes through other labels on
    its way, so ``min_steps`` should be about the ``ema`` of the labels.

    The shortest span under ``min_steps`` steps joins its longer neighbour (the earlier one if
    they are equally long), and neighbours of the same phase join, until no such span is left or
    only one span is.

    Raises:
        ValueError: if ``min_steps`` is below 1.
    """
    if min_steps < 1:
        raise ValueError(f"min_steps must be at least 1, not {min_steps}")
    runs = _merge([(label, 1) for label in labels])
    while len(runs) > 1:
        shortest = min(range(len(runs)), key=lambda place: runs[place][1])
        if runs[shortest][1] >= min_steps:
            break
        beside = [place for place in (shortest - 1, shortest + 1) if 0 <= place < len(runs)]
        host = max(beside, key=lambda place: runs[place][1])
        runs[shortest] = (runs[host][0], runs[shortest][1])
        runs = _merge(runs)
    spans: list[PhaseSpan] = []
    for phase, length in runs:
        start = spans[-1].end if spans else 0
        spans.append(PhaseSpan(phase, start, start + length))
    return spans


def phases_of(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Med-RLVR's phases in a run's metrics; ``start`` and ``end`` count from 1, both inclusive."""
    columns = (
        "format_rate",
        "response_tokens",
        "think_tokens",
        "pre_think_tokens",
        "early_answer_rate",
        "accuracy",
    )
    if not metrics:
        return []
    series = StepSeries(**{name: [row[name] for row in metrics] for name in columns})
    return [
        {"phase": str(span.phase), "start": span.start + 1, "end": span.end}
        for span in phase_timeline(label_phases(series))
    ]


def _merge(runs: Sequence[tuple[Phase, int]]) -> list[tuple[Phase, int]]:
    """Join neighbouring runs of the same phase."""
    return [
        (phase, sum(length for _, length in group))
        for phase, group in groupby(runs, key=lambda run: run[0])
    ]
