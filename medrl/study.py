"""Studies: arms x seeds x sets, and the claims of a paper tested on them.

A study is a YAML file. Each arm is trained once per seed in its own run folder (a finished run is
reused, a killed one resumed), every model answers the same questions, and each claim is one paired
difference with an interval over seeds and questions. How hard cases are for the starting model is
found out once, for all arms and sets.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from safetensors.torch import load_file

from medrl.cases.case import Case
from medrl.cases.difficulty import asked_about, keep_levels, rates_from, read_record
from medrl.cases.spec import DrawSpec
from medrl.errors import DataError, RecipeError, RunError
from medrl.evaluation.claims import (
    Answers,
    Qualities,
    judge,
    level_table,
    quality_table,
)
from medrl.evaluation.drawing import draw
from medrl.evaluation.evaluate import Examiner, Row, as_records, flat
from medrl.evaluation.paid import pay_rows
from medrl.evaluation.readings import Metrics, curve, training_table
from medrl.learning.auxiliary import stage_folder
from medrl.learning.inputs import check_recorded, fingerprint_cases, fingerprint_model
from medrl.learning.policy import load_trained
from medrl.learning.preparation import cases_of, load_examiner, prepare
from medrl.learning.progress import Display
from medrl.learning.session import resume_run, run_recipe
from medrl.recipe import load_recipe
from medrl.report.study_figures import draw_figures
from medrl.report.study_results import arm_table, markdown, show, tag_table
from medrl.run import describe_machine, generator
from medrl.run.disk import replace_file, write_error
from medrl.sampling.sampler import SamplingParams
from medrl.schema import Recipe
from medrl.study_file import Arm, Study, load_study, located_recipe, located_study


def run_study(
    name: str,
    seeds: Sequence[int],
    clinic_seed: int,
    results: Path,
    work: Path,
    console: Console,
    quiet: bool,
    paths: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Train what is missing, answer what is unanswered, test the claims, write JSON and Markdown.

    Args:
        paths: where data sets lie, by name; for sets whose path the study leaves open.

    Raises:
        RecipeError: see :func:`load_study`; also seeds that are too few to test a claim, or twice
            the same.
        RunError: a run in ``work`` was made with another recipe, or something cannot be written.
        DataError: a path for a data set that the study does not ask about.

    Returns:
        What ``results/<study>.json`` holds.
    """
    study, machine = located_study(load_study(name), paths), describe_machine()
    if len(set(seeds)) < len(seeds) or (study.claims and len(seeds) < 2):
        raise RecipeError(
            f"seeds {', '.join(map(str, seeds))}: a claim needs two or more different ones",
            "e.g. --seeds 0,1,2",
        )
    try:
        results.mkdir(parents=True, exist_ok=True)  # before the hours, not after
    except OSError as error:
        raise write_error(error, results) from error
    folder = work / f"{study.name}-clinic{clinic_seed}"
    folder.mkdir(parents=True, exist_ok=True)
    display = Display(console, quiet)
    sets = _sets(study, _arm_recipe(study, Arm(), 0, clinic_seed, paths), folder, display)
    if study.by and not any(study.by in case.tags for cases in sets.values() for case in cases):
        raise RecipeError(f"no case of any set has a tag {study.by!r}", "mend by, or leave it out")
    answers: Answers = {}
    metrics: dict[str, list[Metrics]] = {}
    models: dict[str, list[Qualities]] = {}
    whole_first = sorted(study.arms.items(), key=lambda item: bool(item[1].of))
    for arm, spec in whole_first:
        for seed in seeds if spec.train else seeds[:1]:
            settings = study.arms.get(spec.of, spec)
            recipe = _arm_recipe(study, settings, seed, clinic_seed, paths)
            run = folder / f"{arm}-{seed}"
            if spec.of:
                examiner = _half_way(recipe, folder / f"{spec.of}-{seed}", spec)
            elif spec.train:
                _train(_with_counts(recipe, folder, display), run, display)
                metrics.setdefault(arm, []).append(_metrics(run))
                models.setdefault(arm, []).append(_qualities(run))
                examiner = load_examiner(recipe, str(run / "model"))
            else:
                examiner = load_examiner(recipe)
            for key, rows in _answers(study, sets, recipe, run, examiner, display):
                for each in [seed] if spec.train else seeds:
                    answers[(arm, each, *key)] = rows
    outcome = {
        "study": study.name,
        "commit": machine["git_commit"],
        "versions": {name: machine[name] for name in ("medrl", "torch", "transformers", "python")},
        "seeds": list(seeds),
        "clinic_seed": clinic_seed,
        "hardware": machine,
        "run_commits": _run_commits(folder),
        "seconds": round(_seconds(folder)),
        "arms": arm_table([*study.arms], [*study.sets], [*study.starts], seeds, answers),
        "levels": [row for arm, runs in metrics.items() for row in level_table(arm, runs)],
        "models": [row for arm, runs in models.items() for row in quality_table(arm, runs)],
        "by": study.by,
        "tagged": tag_table(study.by, [*study.arms], sets, [*study.starts], seeds, answers),
        "training": [
            row
            for arm, runs in metrics.items()
            for row in training_table(arm, study.training, runs)
        ],
        "curves": [
            {"arm": arm, "metric": name, "values": curve(name, metrics[arm])}
            for arm, name in dict.fromkeys(pair for each in study.curves for pair in each.pairs)
        ],
        "claims": [judge(claim, seeds, answers, metrics, models) for claim in study.claims],
    }
    stem = study.name if clinic_seed == 0 else f"{study.name}-clinic{clinic_seed}"
    (results / f"{stem}.json").write_text(json.dumps(outcome, indent=2) + "\n", encoding="utf-8")
    figure = f"{stem}.svg" if study.figures or study.curves else ""
    if figure:
        drawn = draw_figures(study.figures, outcome["arms"], study.curves, outcome["curves"])
        (results / figure).write_text(drawn, encoding="utf-8")
    (results / f"{stem}.md").write_text(markdown(outcome, figure), encoding="utf-8")
    show(outcome, console)
    console.print(
        f"results: {results / stem}.json and .md", markup=False, highlight=False, soft_wrap=True
    )
    return outcome


def _arm_recipe(
    study: Study, arm: Arm, seed: int, clinic_seed: int, paths: Mapping[str, str]
) -> Recipe:
    overrides = [*study.overrides, *arm.overrides, f"seed={seed}", f"clinic_seed={clinic_seed}"]
    if arm.stages is not None:
        overrides.append(f"stages={json.dumps(arm.stages)}")
    recipe = located_recipe(load_recipe(study.recipe, "rehearsal", overrides), paths)
    # The study evaluates by itself, on more sets and starts than the recipe does.
    return recipe.model_copy(
        update={"evaluation": recipe.evaluation.model_copy(update={"sets": {}})}
    )


def _sets(study: Study, recipe: Recipe, folder: Path, display: Display) -> dict[str, list[Case]]:
    """The questions of each set, the same for every model.

    Raises:
        DataError: no question of a set is at the levels asked for.
    """
    examiner = load_examiner(recipe)
    found = {}
    for name, spec in study.sets.items():
        cases = cases_of(spec, examiner.grader, recipe.clinic_seed)
        if spec.levels is not None:
            path = _drawn(recipe, examiner, cases, study.draws, folder, display)
            rates = rates_from(read_record(path), cases, study.draws, str(path))
            cases = keep_levels(cases, rates, spec.levels).kept
            if not cases:
                raise DataError(
                    f"set {name}: no question is at the levels {list(spec.levels)}",
                    "give it other levels or a greater size",
                )
        found[name] = cases
    return found


def _with_counts(recipe: Recipe, folder: Path, display: Display) -> Recipe:
    """The recipe, told how hard its cases are, so that no arm has to find out again."""
    spec = recipe.difficulty
    if spec is None or spec.counts is not None:
        return recipe
    asked = recipe.model_copy(update={"seed": 0})  # the same draws for all seeds
    parts = prepare(asked)
    cases = asked_about(parts.train_cases, spec)
    path = _drawn(asked, parts.examiner, cases, spec, folder, display)
    told = spec.model_copy(update={"counts": str(path)})
    return recipe.model_copy(update={"difficulty": told})


def _drawn(
    recipe: Recipe,
    examiner: Examiner,
    cases: Sequence[Case],
    spec: DrawSpec,
    folder: Path,
    display: Display,
) -> Path:
    """File with the right answers of the recipe's own model, named by what they depend on."""
    room = recipe.evaluation.max_new_tokens
    asked = {
        "model": fingerprint_model(examiner.policy.model),
        "cases": fingerprint_cases(cases),
        **_reading(recipe),
        "max_new_tokens": room,
        "draws": {name: getattr(spec, name) for name in DrawSpec.model_fields},
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    path = folder / f"difficulty-{key}.json"
    if not path.exists():
        began = time.monotonic()
        seeded = generator(0, "difficulty", device=examiner.policy.device)
        with display.counting("difficulty for the starting model", len(cases)) as advance:
            record = draw(examiner, cases, spec, room, seeded, advance)
        record["seconds"] = round(time.monotonic() - began, 1)
        replace_file(path, json.dumps(record).encode())
    return path


def _reading(recipe: Recipe) -> dict[str, Any]:
    """How a model is asked and read."""
    return {
        "prompt": recipe.evaluation_prompt,
        "chat": recipe.model.chat,
        "grader": recipe.grader.model_dump(mode="json"),
    }


def _train(recipe: Recipe, run: Path, display: Display) -> None:
    if (run / "recipe.yaml").exists() and load_recipe(str(run / "recipe.yaml")) != recipe:
        raise RunError(f"{run} was made with another recipe", "delete it, or give another --work")
    if (run / "summary.json").exists():
        check_recorded(run, prepare(recipe).fingerprint())
        return
    if (run / "recipe.yaml").exists():
        resume_run(recipe, run, display)
    else:
        run_recipe(recipe, run, display)


def _half_way(recipe: Recipe, run: Path, spec: Arm) -> Examiner:
    """The model of a finished run as it was after one of its stages.

    Raises:
        RecipeError: there is no such stage.
    """
    labels = [stage.label for stage in recipe.stages]
    there = [s.label for s in recipe.stages[:-1] if not s.auxiliary]
    if spec.after not in there:
        raise RecipeError(
            f"arm of {spec.of!r}: no stage {spec.after!r} to look at the policy after",
            f"use {', '.join(there)}",
        )
    examiner = load_examiner(recipe)
    folder = run / stage_folder(labels.index(spec.after))
    load_trained(examiner.policy.model, load_file(folder / "policy.safetensors"))
    return examiner


def _qualities(run: Path) -> Qualities:
    """How good the models beside the policy are, by stage."""
    stages = json.loads((run / "summary.json").read_text(encoding="utf-8"))["stages"]
    return {stage["name"]: stage["quality"] for stage in stages if "quality" in stage}


def _metrics(run: Path) -> Metrics:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _answers(
    study: Study,
    sets: Mapping[str, Sequence[Case]],
    recipe: Recipe,
    run: Path,
    examiner: Examiner,
    display: Display,
) -> Iterator[tuple[tuple[str, str], Sequence[Row]]]:
    """Answers of one model to every set with every start.

    They are kept beside the run with what they depend on, and given again only if that changed.
    """
    run.mkdir(parents=True, exist_ok=True)
    model = fingerprint_model(examiner.policy.model)
    for set_name, cases in sets.items():
        for name, start in study.starts.items():
            params = SamplingParams(start.max_new_tokens or recipe.evaluation.max_new_tokens, 0.0)
            asks = replace(examiner, template=start.prompt or examiner.template)
            asked = {
                "model": model,
                "cases": fingerprint_cases(cases),
                **_reading(recipe),
                **start.model_dump(),
                "prompt": asks.template,
                "max_new_tokens": params.max_new_tokens,
            }
            path = run / f"study-{set_name}-{name}.json"
            kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if kept.get("asked") != asked:
                title, began = f"{run.name} {set_name} {name}", time.monotonic()
                with display.counting(title, len(cases)) as advance:
                    seeded = generator(recipe.seed, "study", device=examiner.policy.device)
                    rows = asks.ask(
                        cases,
                        params,
                        seeded,
                        prefill=start.prefill,
                        until=start.until,
                        on_progress=advance,
                    )
                kept = {
                    "asked": asked,
                    "seconds": round(time.monotonic() - began, 1),
                    "rows": as_records(flat(rows)),
                }
                replace_file(path, json.dumps(kept).encode())
            found = [Row(**record) for record in kept["rows"]]
            score = study.score
            yield (
                (set_name, name),
                found if score is None else pay_rows(asks, score, cases, found),
            )


def _run_commits(folder: Path) -> dict[str, str | None]:
    """The commit each run recorded; they differ where the study was stopped and gone on with."""
    summaries = sorted(folder.glob("*/summary.json"))
    return {p.parent.name: json.loads(p.read_text())["machine"]["git_commit"] for p in summaries}


def _seconds(folder: Path) -> float:
    """What training steps and answering took in all, however often the study was stopped."""
    summaries = [json.loads(p.read_text()) for p in folder.glob("*/summary.json")]
    asked = [*folder.glob("*/study-*.json"), *folder.glob("difficulty-*.json")]
    return float(
        sum(s["training_seconds"] for s in summaries)
        + sum(json.loads(p.read_text())["seconds"] for p in asked)
    )
