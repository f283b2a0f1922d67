"""Analyse a run: sample its model and another on the same cases, compare, write the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from medrl.analysis.clinic_facts import clinic_facts
from medrl.analysis.comparison import Comparison, Yardsticks, compare_samples
from medrl.analysis.gate import K, pass_gate
from medrl.analysis.information import InfoGain, information_gain
from medrl.analysis.page import render_page
from medrl.analysis.samples import FOLDER, Plan, Samples, draw_samples
from medrl.analysis.steps import split_steps
from medrl.cases.case import Case
from medrl.errors import RecipeError, RunError
from medrl.evaluation.evaluate import Examiner
from medrl.learning.preparation import fitting, load_examiner, mixed_cases
from medrl.learning.progress import Display
from medrl.recipe import load_recipe
from medrl.run import RunFolder
from medrl.run.disk import encode_json, replace_file, write_error
from medrl.schema import Recipe
from medrl.stages import RLStage

TRAIN = "train"
"""Name of the training cases where a set is asked for."""
_TRACES_AT_A_TIME = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of ``medrl analyse``; the command's help says what each does."""

    set: str
    samples: int
    size: int | None = None
    temperature: float | None = None
    names: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model to sample: what it is called, where it lies, which run folder keeps its samples."""

    name: str
    path: str
    home: Path


def analyse_run(
    run: Path, against: str | None, settings: Settings, console: Console, quiet: bool
) -> tuple[Comparison, Path]:
    """Compare a run's model with another one; returns the numbers and the page's path.

    Samples are kept in the run folders and used again, so a stopped analysis goes on.

    Args:
        against: a run folder, model folder or hub id; ``None``: the model the run started from.

    Raises:
        RunError: no finished run here, or something cannot be written.
        RecipeError: the run's recipe has no such set, or its cases lack the tag asked for.
        MedrlError: see ``load_examiner`` and ``cases_of``.
    """
    RunFolder.view(run)
    recipe = load_recipe(str(run / "recipe.yaml"))
    trained_model, other_model = _models(run, against, recipe)
    display = Display(console, quiet)
    examiner = _examiner(recipe, trained_model)
    plan = _plan(recipe, settings)
    cases = _cases(recipe, settings, examiner, plan)
    yardsticks = _yardsticks(cases, settings.names)
    trained = draw_samples(examiner, cases, plan, trained_model.home, trained_model.name, display)
    del examiner  # before the other one needs the memory
    scorer = _examiner(recipe, other_model)
    other = draw_samples(scorer, cases, plan, other_model.home, other_model.name, display)
    is_gate = against is None and settings.set == TRAIN
    comparison = compare_samples(
        settings.set,
        plan.temperature,
        trained,
        other,
        yardsticks,
        [_gains(scorer, samples, display) for samples in (trained, other)],
        other_model.name,
        pass_gate(other.tally(), min(K, plan.samples)) if is_gate else None,
    )
    return comparison, _write(comparison, run, recipe, trained_model, other_model)


def _models(run: Path, against: str | None, recipe: Recipe) -> tuple[Model, Model]:
    trained = Model(run.resolve().name, _model_of(run), run)
    if against is None:
        against = recipe.model.path
    elif (Path(against) / "recipe.yaml").is_file():
        other = Path(against)
        name = other.resolve().name
        if name == trained.name:
            name = f"{other.resolve().parent.name}/{name}"
        return trained, Model(name, _model_of(other), other)
    return trained, Model(Path(against).name, against, run)


def _model_of(run: Path) -> str:
    if not (run / "model" / "config.json").is_file():
        raise RunError(
            f"{run} has no trained model yet", f"finish it: medrl train RECIPE --run {run} --resume"
        )
    return str(run / "model")


def _examiner(recipe: Recipe, model: Model) -> Examiner:
    """Adapters are merged into a saved model, and nothing is trained here."""
    plain = recipe.model.model_copy(update={"lora_rank": 0, "gradient_checkpointing": False})
    return load_examiner(recipe.model_copy(update={"model": plain}), model.path)


def _plan(recipe: Recipe, settings: Settings) -> Plan:
    trained = [stage.temperature for stage in recipe.stages if isinstance(stage, RLStage)]
    temperature = settings.temperature or (trained[-1] if trained else 1.0)
    return Plan(
        samples=settings.samples,
        temperature=temperature,
        max_new_tokens=recipe.evaluation.max_new_tokens,
        seed=recipe.seed,
    )


def _cases(recipe: Recipe, settings: Settings, examiner: Examiner, plan: Plan) -> list[Case]:
    sets = {TRAIN: recipe.train_sets} | {n: (s,) for n, s in recipe.evaluation.sets.items()}
    if settings.set not in sets:
        raise RecipeError(
            f"the run's recipe has no set {settings.set!r}", f"its sets: {', '.join(sets)}"
        )
    asked = sets[settings.set]
    if settings.size is not None:
        asked = tuple(spec.model_copy(update={"size": settings.size}) for spec in asked)
    cases = mixed_cases(asked, examiner.grader, recipe.clinic_seed)
    return fitting(examiner.policy, cases, examiner.template, plan.max_new_tokens)[0]


def _yardsticks(cases: Sequence[Case], tag: str | None) -> Yardsticks:
    """The teaching clinic's knowledge where the cases are its own; a tag's text where one is
    named."""
    facts = clinic_facts(cases)
    known = Yardsticks(facts.condition, facts.check, facts.same) if facts else Yardsticks()
    if tag is None:
        return known
    lacking = next((case for case in cases if not case.tags.get(tag)), None)
    if lacking is not None:
        raise RecipeError(
            f"{lacking.source} (case {lacking.id}) has no tag {tag!r}",
            f"its tags: {', '.join(lacking.tags) or 'none'}",
        )
    return replace(known, required=lambda case: case.tags[tag])


def _gains(scorer: Examiner, samples: Samples, display: Display) -> list[InfoGain]:
    """Information gain of one trace per case: the first that was not cut and has a step."""
    found = [
        next(((c, s.think) for s in answers if not s.cut and split_steps(s.think)), None)
        for c, answers in zip(samples.cases, samples.answers, strict=True)
    ]
    traces = [trace for trace in found if trace is not None]
    gains: list[InfoGain] = []
    with display.counting(f"information gain {samples.name}", len(traces)) as advance:
        for start in range(0, len(traces), _TRACES_AT_A_TIME):
            part = traces[start : start + _TRACES_AT_A_TIME]
            format = scorer.grader.format
            gains += information_gain(scorer.policy, scorer.template, part, format)
            advance(len(part))
    return gains


def _write(comparison: Comparison, run: Path, recipe: Recipe, *models: Model) -> Path:
    name = re.sub(r"[^\w.-]+", "-", f"{comparison.set}-against-{comparison.models[1]}")
    page = run / FOLDER / f"{name}.html"
    facts = {
        "Recipe": f"{recipe.name} ({recipe.scale})",
        "Seed": str(recipe.seed),
        "Model": models[0].path,
        "Against": models[1].path,
    }
    sources = [recipe.model.path, *(m.path for m in models)]
    sources += [spec.source for spec in recipe.train_sets]
    sources += [spec.source for spec in recipe.evaluation.sets.values()]
    clinic = any(source.startswith("clinic:") for source in sources)
    try:
        html = render_page(comparison, facts, clinic)
        replace_file(page, html.encode("utf-8", "backslashreplace"))
        record = encode_json(comparison.as_record(), f"{name}.json", indent=2)
        replace_file(page.with_suffix(".json"), record + b"\n")
    except OSError as error:
        raise write_error(error, page) from error
    return page
