"""The figures of a study as one SVG file: accuracy by arm, or along a quantity such as cases, and
metrics over the steps of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from medrl.evaluation.readings import unit_of
from medrl.part import Part

# The colours of a report on white paper (report/templates/run.css); a file has no page to ask.
_INK, _MUTED, _RULE = "#22282e", "#626b74", "#e3e0d8"
_CURVES = ("#0d6e6e", "#b0602a", "#5a5fa8", "#626b74")
_MARKS = ("o", "s", "^", "D")
_LINES = ("-", "--", ":", "-.")
_WINDOW = 5
"""Steps that are averaged in a curve: those of one step depend on which cases it saw."""
_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.size": 11, "svg.hashsalt": "study"}
_WIDTH, _HEIGHT = 5.2, 3.4
"""Inches of one figure."""


class FigureSpec(Part):
    """Accuracy on some sets: of arms side by side, or over what their numbers say."""

    title: str
    sets: tuple[str, ...]
    arms: dict[str, float] | tuple[str, ...]
    """Names of arms in order, or a number for each, on a logarithmic axis."""
    of: str = ""
    """What these numbers are."""
    start: str = "free"


class CurveSpec(Part):
    """Metrics over the steps of training, as means over the runs of some arms."""

    title: str
    arms: tuple[str, ...]
    metrics: tuple[str, ...]
    """In one unit; each has its kind of line, each arm its colour."""

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each arm with each metric."""
        return ((arm, name) for arm in self.arms for name in self.metrics)


def draw_figures(
    figures: Sequence[FigureSpec],
    table: Sequence[Mapping[str, Any]],
    curves: Sequence[CurveSpec] = (),
    steps: Sequence[Mapping[str, Any]] = (),
) -> str:
    """All figures in a row, curves behind them; the same numbers give the same text.

    Args:
        table: rows with arm, set, start, accuracy, low and high, see ``study_results.arm_table``.
        steps: rows with arm, metric and values, one value (or ``None``) per step.
    """
    cells = {(row["arm"], row["set"], row["start"]): row for row in table}
    lines = {(row["arm"], row["metric"]): row["values"] for row in steps}
    count = len(figures) + len(curves)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH * count, _HEIGHT), layout="constrained")
        FigureCanvasSVG(figure)
        places = iter(range(1, count + 1))
        for spec in figures:
            _draw(figure.add_subplot(1, count, next(places)), spec, cells)
        for each in curves:
            _draw_curves(figure.add_subplot(1, count, next(places)), each, lines)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _draw(axes: Axes, spec: FigureSpec, cells: Mapping[tuple[str, str, str], Any]) -> None:
    numbered = isinstance(spec.arms, dict)
    at = list(spec.arms.values()) if isinstance(spec.arms, dict) else list(range(len(spec.arms)))
    for place, name in enumerate(spec.sets):
        rows = [cells[(arm, name, spec.start)] for arm in spec.arms]
        middle = [row["accuracy"] for row in rows]
        # An interval of the mean over runs reaches beyond it on both sides, whatever is clipped.
        below = [max(0.0, row["accuracy"] - row["low"]) for row in rows]
        above = [max(0.0, row["high"] - row["accuracy"]) for row in rows]
        beside = 0.0 if numbered else 0.16 * (place - (len(spec.sets) - 1) / 2)
        axes.errorbar(
            [x + beside for x in at],
            middle,
            yerr=[below, above],
            fmt=_MARKS[place % len(_MARKS)],
            color=_CURVES[place % len(_CURVES)],
            linestyle="-" if numbered else "none",
            markersize=5,
            elinewidth=1,
            capsize=2,
            label=name,
        )
    if numbered:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(at, [f"{x:g}" for x in at])
    else:
        axes.set_xticks(at, list(spec.arms), rotation=30, ha="right")
    axes.set_ylim(0, 1)
    _in_percent(axes)
    _dress(axes, spec.title, spec.of)


def _draw_curves(
    axes: Axes, spec: CurveSpec, lines: Mapping[tuple[str, str], Sequence[float | None]]
) -> None:
    for arm, name in spec.pairs:
        values = np.array(lines[arm, name], dtype=float)
        axes.plot(
            range(1, len(values) + 1),
            _smooth(values),
            color=_CURVES[spec.arms.index(arm) % len(_CURVES)],
            linestyle=_LINES[spec.metrics.index(name) % len(_LINES)],
            linewidth=1.4,
            label=f"{arm}, {name.replace('_', ' ')}" if len(spec.metrics) > 1 else arm,
        )
    if unit_of(spec.metrics[0]) == "points":
        _in_percent(axes)
    _dress(axes, spec.title, "step")


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over ``_WINDOW`` steps around each; fewer at both ends and beside gaps, which stay."""
    ones, there = np.ones(min(_WINDOW, len(values))), ~np.isnan(values)
    sums = np.convolve(np.where(there, values, 0.0), ones, "same")
    counts = np.convolve(there.astype(float), ones, "same")
    return np.where(there, sums / np.maximum(counts, 1.0), np.nan)


def _in_percent(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f} %"))


def _dress(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_xlabel(below, color=_MUTED)
    axes.tick_params(length=0, labelcolor=_MUTED)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(frameon=False, fontsize=9, labelcolor=_MUTED)
