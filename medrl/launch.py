"""Between the command line and the library: resolve a recipe, start or resume it, print results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from medrl.cases import SOURCES, Case, LoadedCases, find_contamination, load_cases
from medrl.cases.spec import DataSpec
from medrl.clinic.sources import CLINIC_SETS
from medrl.environments.prompts import render
from medrl.errors import RecipeError
from medrl.grading import Grader
from medrl.grading.proof import prove
from medrl.learning.preparation import cases_of
from medrl.learning.progress import Display
from medrl.learning.session import resume_run, run_recipe
from medrl.recipe import load_recipe
from medrl.report import write_report
from medrl.schema import Recipe
from medrl.stages import Stage

CLINIC_SHOWN = 1000
"""Questions of an endless clinic set that ``medrl data`` draws."""


def shortcuts(
    model: str | None = None,
    data: str | None = None,
    data_path: Path | None = None,
    split: str | None = None,
    seed: int | None = None,
) -> list[str]:
    """What ``--model``, ``--data`` with its path and split, and ``--seed`` are as overrides."""
    found = []
    if model is not None:
        found.append(f"model.path={model}")
    if data is not None:
        spec: dict[str, Any] = {"source": data}
        if data_path is not None:
            spec |= {"path": str(data_path), "split": None}
        if split is not None:
            spec["split"] = split
        found.append(f"train={json.dumps(spec)}")
    if seed is not None:
        found.append(f"seed={seed}")
    return found


def check_shortcuts(data: str | None, data_path: Path | None, split: str | None) -> None:
    """Whether options about data have a data set.

    Raises:
        RecipeError: they have none.
    """
    if data_path is not None and data is None:
        raise RecipeError("--data-path needs --data", "say which data set the file holds")
    if split is not None and data is None:
        raise RecipeError("--split needs --data", "or set train.split=... of the recipe's own")


def describe(recipe: Recipe, console: Console) -> None:
    """What ``--dry-run`` shows: the resolved recipe, and how much work it is."""
    # The amount of work is a comment, so that what is shown can be saved and run.
    console.print(recipe.to_yaml(), markup=False, highlight=False, soft_wrap=True)
    for stage in recipe.stages:
        if not isinstance(stage, Stage):
            continue
        answers = getattr(stage, "answers_per_prompt", 1)
        console.print(
            f"# {stage.label}: {stage.steps} steps x {stage.prompts_per_step} prompts x "
            f"{answers} answers = {stage.steps * stage.prompts_per_step * answers} answers",
            highlight=False,
            soft_wrap=True,
        )


def start(recipe: Recipe, folder: Path, console: Console, quiet: bool, overwrite: bool) -> None:
    """Run a recipe in a new folder, then report and print."""
    summary = run_recipe(recipe, folder, Display(console, quiet), overwrite)
    finish(summary, folder, console)


def resume(folder: Path, console: Console, quiet: bool) -> None:
    """Go on with a run, then report and print."""
    recipe = load_recipe(str(folder / "recipe.yaml"))
    summary = resume_run(recipe, folder, Display(console, quiet))
    finish(summary, folder, console)


def finish(summary: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Table of results, phases, throughput, paths."""
    table = Table("set", "n", "before", "after", "difference", box=SIMPLE, pad_edge=False)
    for name, result in summary["evaluations"].items():
        before, after, change = result["before"], result["after"], result["comparison"]
        table.add_row(
            name,
            str(after["n"]),
            interval(before),
            interval(after),
            f"{100 * change['difference']:+.1f} "
            f"[{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]",
        )
    console.print(table)
    console.print("accuracy in %, with 95 % intervals; greedy answers to the same prompt")
    for name, result in summary["evaluations"].items():
        before, after = result["before"], result["after"]
        console.print(
            f"{name}: format kept {before['format_rate']:.2f} -> {after['format_rate']:.2f}, "
            f"thinking {before['think_rate']:.2f} -> {after['think_rate']:.2f}, "
            f"no answer {before['no_answer']} -> {after['no_answer']}, "
            f"cut {before['cut']} -> {after['cut']}; guessing: {100 * after['chance']:.1f} %",
            highlight=False,
        )
    if len(summary["stages"]) > 1:
        console.print(stage_table(summary["stages"]))
    phases = [f"{p['phase']} ({p['start']}-{p['end']})" for p in summary["phases"]]
    console.print(f"phases by step: {' -> '.join(phases) or 'none'}", highlight=False)
    console.print(
        f"{summary['wall_seconds']:.0f} s, {summary['peak_memory_bytes'] / 2**30:.1f} GiB, "
        f"sampling {summary['sampling_tokens_per_second']} tokens/s, "
        f"learning {summary['learning_tokens_per_second']} tokens/s",
        highlight=False,
    )
    if summary["model"].startswith("clinic:"):
        console.print("The teaching clinic proves mechanisms, never medicine.")
    console.print(f"report: {write_report(folder)}", markup=False, highlight=False, soft_wrap=True)


def stage_table(stages: Sequence[Mapping[str, Any]]) -> Table:
    """Accuracy on every set after each stage, and how good the models beside the policy are."""
    sets = list(dict.fromkeys(s for stage in stages for s in stage.get("evaluations", {})))
    table = Table("after stage", *sets, "model beside the policy", box=SIMPLE, pad_edge=False)
    for stage in stages:
        results, made = stage.get("evaluations", {}), stage.get("quality")
        cells = [f"{100 * results[s]['accuracy']:.1f}" if s in results else "" for s in sets]
        beside = f"{made['measure']} {made['value']:.3f} of {made['n']}" if made else ""
        table.add_row(stage["name"], *cells, beside)
    return table


def interval(result: Mapping[str, float]) -> str:
    """``72.3 [67.0, 77.1]`` in percent."""
    return f"{100 * result['accuracy']:.1f} [{100 * result['low']:.1f}, {100 * result['high']:.1f}]"


def show_data(
    name: str | None,
    path: Path | None,
    split: str | None,
    against: Path | None,
    console: Console,
) -> None:
    """List the data sets, or load one, count it, and compare it with another file."""
    if name is None:
        table = Table("data set", "what it is", "hub")
        for key, source in SOURCES.items():
            table.add_row(key, source.about, source.hub.repo if source.hub else "local file")
        table.add_row(
            "clinic:SET", f"made up as needed; SET is {', '.join(CLINIC_SETS)}", "built in"
        )
        console.print(table)
        return
    loaded = _load_to_show(name, path, split)
    cases, rejected = loaded.cases, loaded.rejected
    console.print(f"{name}: {len(cases)} cases, {len(rejected)} rows set aside", highlight=False)
    for reason, count in loaded.unasked.items():
        console.print(f"  {count} rows left out: {reason}", highlight=False, markup=False)
    for row in rejected[:20]:
        console.print(f"  {row.provenance}: {row.reason}", highlight=False, markup=False)
    console.print("the first of them:")
    _show_case(cases[0], console)
    if against is not None:
        other = load_cases("jsonl", against)
        found = find_contamination(cases, other.cases)
        console.print(f"overlap with {against}: {found.summary()}", highlight=False, markup=False)


def _show_case(case: Case, console: Console) -> None:
    for picture in case.images:
        width, height = picture.open().size
        shown = f"picture: {picture}, {width} x {height} pixels"
        console.print(shown, highlight=False, markup=False, soft_wrap=True)
    console.print(render(case, "{question}\n{options}"), highlight=False, markup=False)
    if (record := case.record) is not None:
        words = len(record.description.split())
        described = f", {words} words of description" if words else ""
        console.print(f"to be asked for: {len(record.facts)} facts{described}", highlight=False)
    if case.transcript:
        turns = sum(turn.speaker == "policy" for turn in case.transcript)
        console.print(f"to be imitated: {turns} turns of an expert", highlight=False)
    console.print(f"answer: {case.reference.value}", highlight=False, markup=False)


def _load_to_show(name: str, path: Path | None, split: str | None) -> LoadedCases:
    grader = Grader()
    if name.startswith("clinic:"):
        if path is not None or split is not None:
            raise RecipeError(f"{name} is made up, not read", "leave --path and --split out")
        return LoadedCases(cases_of(DataSpec(source=name, size=CLINIC_SHOWN), grader))
    return load_cases(name, path, split, prove=lambda case: prove(case, grader))
