"""The figures of a study: what they show, and that the same numbers give the same file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from medrl.report.study_figures import CurveSpec, FigureSpec, draw_figures


def table(**accuracies: float) -> list[dict[str, Any]]:
    return [
        {"arm": arm, "set": name, "start": "free", "accuracy": a, "low": a - 0.1, "high": a + 0.1}
        for arm, a in accuracies.items()
        for name in ("easy", "hard")
    ]


def test_figures_name_their_arms_numbers_and_sets() -> None:
    rows = table(few=0.4, many=0.6, base=0.2)
    figures = [
        FigureSpec(title="By arm", sets=("easy", "hard"), arms=("base", "few")),
        FigureSpec(title="By size", sets=("hard",), arms={"few": 8, "many": 512}, of="cases"),
    ]
    svg = draw_figures(figures, rows)
    words = "".join(ET.fromstring(svg).itertext())
    for word in ("By arm", "By size", "base", "few", "easy", "hard", "512", "cases", "20 %"):
        assert word in words
    assert "many" not in words
    assert draw_figures(figures, rows) == svg
    assert draw_figures(figures, table(few=0.4, many=0.9, base=0.2)) != svg


def test_an_interval_that_is_clipped_is_drawn() -> None:
    rows = [row | {"low": 0.95, "high": 1.0, "accuracy": 0.97} for row in table(base=0.9)]
    rows[0] |= {"accuracy": 1.0, "high": 0.99}  # rounding
    assert "<svg" in draw_figures([FigureSpec(title="t", sets=("easy",), arms=("base",))], rows)


def test_curves_name_their_arms_and_metrics_and_leave_gaps() -> None:
    specs = [
        CurveSpec(title="Length", arms=("grpo", "dr"), metrics=("tokens_wrong", "tokens_right")),
        CurveSpec(title="Groups", arms=("dr",), metrics=("live_groups",)),
    ]
    values = [4.0, None, 6.0, 9.0]
    rows = [{"arm": a, "metric": m, "values": values} for each in specs for a, m in each.pairs]
    svg = draw_figures((), (), specs, rows)
    words = "".join(ET.fromstring(svg).itertext())
    for word in ("Length", "grpo, tokens wrong", "dr, tokens right", "Groups", "step", "%"):
        assert word in words
    assert draw_figures((), (), specs, rows) == svg
    rows[0] = rows[0] | {"values": [4.0, 5.0, 6.0, 9.0]}
    assert draw_figures((), (), specs, rows) != svg
