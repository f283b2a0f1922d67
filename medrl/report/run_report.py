"""One page for one run: what came out, how it got there, and answers to read for oneself.

The page is a single file without any outside parts. What a model wrote is untrusted: the template
escapes all text, and a content policy lets the browser run one script only, the page's own, by
its hash, and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from medrl.errors import RunError
from medrl.report import words
from medrl.report.charts import lead_charts, other_charts
from medrl.report.episodes import OUTCOMES, PARTS, choose_episodes
from medrl.report.figures import draw_charts
from medrl.report.history import History, number, read_history
from medrl.run.disk import replace_file, write_error
from medrl.run.folder import LOGS, RECIPE, RunFolder

REPORT = "report.html"
TEMPLATES = Path(__file__).parent / "templates"

_EXPLAINED = {
    RECIPE: "the resolved recipe; enough to repeat the run",
    "metrics.jsonl": "one line per step, the same after a resume",
    "timings.jsonl": "seconds, tokens and memory per step",
    "episodes.jsonl": "answers with their verdicts",
    "evaluations.json": "results before and after training",
    "summary.json": "the numbers of this page",
    "checkpoints": "to resume from",
    "model": "the trained model, loadable with transformers",
    "analysis": "samples, numbers and pages of medrl analyse",
}


@dataclass(frozen=True, slots=True)
class SetResult:
    """One evaluation set: the base model, the trained one, and their paired comparison.

    Each is a mapping as in ``evaluations.json``, empty while it does not exist.
    """

    name: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    comparison: Mapping[str, Any]

    @property
    def n(self) -> str:
        """Cases in the set."""
        return words.plain((self.after or self.before).get("n"))

    @property
    def change(self) -> str:
        """``higher``, ``lower`` or ``no clear change``, by whether the interval leaves out 0."""
        low, high = (number(self.comparison.get(key)) for key in ("low", "high"))
        return "higher" if low > 0 else "lower" if high < 0 else "no clear change"


def write_report(run_path: Path) -> Path:
    """Write ``report.html`` into a run folder, in one step; returns its path.

    The run may be unfinished or in progress: the page then says so and shows what there is.

    Raises:
        RunError: there is no run here, a file of it cannot be read, or the disk refuses.
    """
    run = RunFolder.view(run_path)
    target = run.path / REPORT
    page = _render(_page(run))
    try:
        # A lone surrogate, which a file may hold as an escape, has no form in UTF-8.
        replace_file(target, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise write_error(error, target) from error
    return target


def _render(page: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["interval_marks"] = _interval_marks
    environment.filters |= {
        name: getattr(words, name)
        for name in (
            "plain",
            "percent",
            "percent_range",
            "against_guessing",
            "points",
            "p_value",
            "count_of",
            "size",
            "duration",
        )
    }
    script = (TEMPLATES / "run.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("run.html.j2").render(
        page, script=Markup(script), script_hash=f"sha256-{digest}"
    )


def _page(run: RunFolder) -> dict[str, Any]:
    """Everything the template shows."""
    recipe = _recipe(run)
    summary = _json(run, "summary.json")
    logs = {name: run.read_lines(name) for name in LOGS}
    history = read_history(logs["metrics"], logs["timings"], summary.get("phases", []))
    episodes = choose_episodes(logs["episodes"], history, run.path)
    results = _results(_json(run, "evaluations.json"))
    return {
        "title": recipe.get("name", "Run"),
        "lede": recipe.get("summary", ""),
        "scale": recipe.get("scale", words.NONE),
        "seed": recipe.get("seed", words.NONE),
        "model": _model(recipe) or words.NONE,
        "recipe_text": run.recipe_text,
        "clinic": _uses_clinic(recipe),
        "started": words.day((run.path / RECIPE).stat().st_mtime),
        "finished": (run.path / "summary.json").exists(),
        "summary": summary,
        "machine": words.machine_facts(summary.get("machine", {})),
        "history": history,
        "planned": _planned_steps(recipe),
        "results": results,
        "stage_results": _stage_rows(summary.get("stages", []), results),
        "lead": draw_charts(lead_charts(history), history, 520, 250, phases=True),
        "charts": draw_charts(other_charts(history), history, 372, 210),
        "parts": _parts(history, episodes),
        "logged_episodes": len(logs["episodes"]),
        "outcomes": _counted_outcomes([episode.outcome for episode in episodes]),
        "outcome_words": OUTCOMES,
        "files": _files(run.path),
    }


def _interval_marks(result: Mapping[str, Any]) -> Markup:
    """A bar for the interval and a dot for the accuracy, placed on an axis from 0 to 100 %."""
    low, middle, high = (100 * number(result.get(key)) for key in ("low", "accuracy", "high"))
    bar = f'<i style="left:{low:.2f}%;right:{100 - high:.2f}%"></i>' if low <= high else ""
    dot = f'<b style="left:{middle:.2f}%"></b>' if math.isfinite(middle) else ""
    return Markup(bar + dot)


def _recipe(run: RunFolder) -> Mapping[str, Any]:
    try:
        recipe = yaml.safe_load(run.recipe_text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(
            f"cannot read {run.path / RECIPE}: {error}", "restore it from a copy"
        ) from error
    return recipe if isinstance(recipe, Mapping) else {}


def _json(run: RunFolder, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty if the run has not come that far."""
    found: dict[str, Any] = run.read_json(name) if (run.path / name).exists() else {}
    return found


def _model(recipe: Mapping[str, Any]) -> str:
    model = recipe.get("model", "")
    return str(model.get("path", "") if isinstance(model, Mapping) else model)


def _uses_clinic(recipe: Mapping[str, Any]) -> bool:
    """Whether any data of the run comes from the teaching clinic."""
    sets = (recipe.get("evaluation") or {}).get("sets") or {}
    sources = [spec.get("source", "") for spec in (recipe.get("train") or {}, *sets.values())]
    return any(str(name).startswith("clinic:") for name in (*sources, _model(recipe)))


def _planned_steps(recipe: Mapping[str, Any]) -> int:
    """Steps of all stages; 0 if the recipe does not say."""
    return sum(int(stage.get("steps", 0)) for stage in recipe.get("stages") or [])


def _results(evaluations: Mapping[str, Any]) -> list[SetResult]:
    before, after, comparison = (
        evaluations.get(moment, {}) for moment in ("before", "after", "comparison")
    )
    return [
        SetResult(name, before.get(name, {}), after.get(name, {}), comparison.get(name, {}))
        for name in dict.fromkeys((*before, *after))
    ]


def _stage_rows(
    stages: Sequence[Mapping[str, Any]], results: Sequence[SetResult]
) -> list[tuple[str, str, list[str], str]]:
    """(stage, objective, accuracy on each set, model beside the policy); one stage needs none."""
    if len(stages) < 2:
        return []
    base = [words.percent(result.before.get("accuracy")) for result in results]
    rows = [("none: the base", "", base, "")]
    for stage in stages:
        known, quality = stage.get("evaluations", {}), stage.get("quality", {})
        accuracies = [
            words.percent(known[result.name].get("accuracy")) if result.name in known else ""
            for result in results
        ]
        beside = ""
        if quality:
            spread = ""
            if "low" in quality:
                spread = f" ({words.plain(quality['low'])} to {words.plain(quality['high'])})"
            beside = f"{quality['measure']} {words.plain(quality['value'])}{spread}"
            beside += f", n = {words.plain(quality['n'])}"
        rows.append((str(stage["name"]), str(stage["objective"]), accuracies, beside))
    return rows


def _counted_outcomes(outcomes: Sequence[str]) -> list[tuple[str, str, int]]:
    """(value, words, how many) for the filter buttons, the known ones first."""
    counts = Counter(outcomes)
    order = [name for name in OUTCOMES if name in counts]
    order += sorted(set(counts) - set(OUTCOMES))
    return [(name, OUTCOMES.get(name, name), counts[name]) for name in order]


def _parts(history: History, episodes: Sequence[Any]) -> list[tuple[str, str, list[Any]]]:
    """(part of training, its steps in words, its episodes), without empty parts."""
    found = []
    for part in PARTS:
        inside = [episode for episode in episodes if episode.part == part]
        steps = [episode.step for episode in inside if episode.step]
        if inside:
            span = f"steps {min(steps)} to {max(steps)}" if steps else "steps not recorded"
            found.append((part, span, inside))
    return found


def _files(folder: Path) -> list[tuple[str, str, str]]:
    """(name, size, what it is) of what lies in the run folder, the explained ones first."""
    names = [p.name for p in folder.iterdir() if not p.name.startswith(".") and p.name != REPORT]
    order = list(_EXPLAINED)
    names.sort(key=lambda name: (order.index(name) if name in order else len(order), name))
    return [(name, _weight(folder / name), _explain(name)) for name in names]


def _explain(name: str) -> str:
    if name.startswith("answers-"):
        return "every answer of one evaluation"
    if name.startswith("audit-"):
        return "what auditors decided about open questions"
    return _EXPLAINED.get(name, "")


def _weight(path: Path) -> str:
    """Size of a file, or of all files in a folder and their number."""
    try:
        if path.is_file():
            return words.size(path.stat().st_size)
        sizes = [inner.stat().st_size for inner in path.rglob("*") if inner.is_file()]
    except OSError:  # a run in progress replaces its files
        return words.NONE
    return f"{words.size(sum(sizes))} in {len(sizes)} file{'s' * (len(sizes) != 1)}"
