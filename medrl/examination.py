"""``medrl eval``: question a model by one protocol, print a table, write what was answered."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from medrl.cases import SOURCES, Case, LoadedCases, find_contamination, shuffle_options
from medrl.cases.sources import Continuation, form_of
from medrl.cases.spec import DataSpec
from medrl.errors import MedrlError, RecipeError, RunError
from medrl.evaluation.evaluate import Examiner, as_records, flat, summarise
from medrl.evaluation.harness import (
    Examined,
    answer_samples,
    choice_samples,
    generated_config,
    likelihood_config,
    write_harness,
)
from medrl.evaluation.likelihood import choice_records, encode, score, summarise_choices
from medrl.evaluation.protocol import EvalProtocol
from medrl.evaluation.statistics import Interval, pass_at_k, seed_summary, wilson
from medrl.evaluation.stored import difference, read_answers, write_answers
from medrl.evaluation.tables import tables
from medrl.grading import Grader
from medrl.learning.preparation import (
    cases_of,
    fitting,
    keep_measurable,
    load_examiner,
    mixed_cases,
)
from medrl.learning.progress import Display
from medrl.recipe import load_recipe
from medrl.run import generator
from medrl.run.disk import write_error
from medrl.sampling.sampler import SamplingParams
from medrl.schema import Recipe
from medrl.stages import RLStage

PASS_AT = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class EvalOptions:
    """The options of ``medrl eval``; the command's help says what each does."""

    protocol: EvalProtocol = "generated"
    model: str | None = None
    data: str | None = None
    data_path: Path | None = None
    split: str | None = None
    size: int | None = None
    samples: int = 1
    temperature: float | None = None
    continuation: Continuation | None = None
    token_budget: int = 8192
    shuffles: int = 0
    to: Path | None = None
    against: Path | None = None
    harness_json: Path | None = None

    def check(self) -> None:
        """Refuse what does not go together, and files that could not be written after the hours.

        Raises:
            RecipeError: a path without a data set, or an option of the other protocol.
            RunError: the folder of ``to`` is missing, or that of ``harness_json`` cannot be made.
        """
        if self.data_path is not None and self.data is None:
            raise RecipeError("--data-path needs --data", "say which data set the file holds")
        if self.protocol == "likelihood" and (self.samples > 1 or self.temperature is not None):
            raise RecipeError(
                "--samples and --temperature are of protocol generated: likelihood draws nothing",
                "leave them out, or use --protocol generated",
            )
        if self.protocol == "generated" and self.continuation is not None:
            raise RecipeError("--continuation is of protocol likelihood", "leave it out")
        if self.against is not None and self.samples > 1:
            raise RecipeError("--against compares one answer per question", "leave --samples out")
        if self.to is not None and not self.to.parent.is_dir():
            raise RunError(
                f"{self.to.parent} is no folder", f"create it, to write {self.to.name} there"
            )
        if self.harness_json is not None:
            try:
                self.harness_json.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise write_error(error, self.harness_json) from error


@dataclass(frozen=True)
class Paper:
    """One set to ask.

    Attributes:
        source: its data set.
        shuffle: which order of the options; 0 as they are.
        set_aside: rows that could not be used.
    """

    title: str
    source: str
    cases: list[Case]
    shuffle: int
    set_aside: int

    @property
    def suffix(self) -> str:
        """What the order adds to the name of a task."""
        return f"_shuffled_{self.shuffle}" if self.shuffle else ""


Asked = tuple[Examined, Sequence[Any], list[dict[str, Any]]]
"""A set with its result, one row per answer, and those rows as records."""


def evaluate_model(
    name: str, overrides: Sequence[str], options: EvalOptions, console: Console, quiet: bool
) -> None:
    """Evaluate a model on a recipe's sets or on one named data set, and print a table.

    Raises:
        RecipeError, RunError: see ``EvalOptions.check``.
        DataError: a set cannot be read, more than 2 % of its prompts are too long, or ``against``
            holds answers to other questions or by another protocol.
    """
    options.check()
    began = time.time()
    kept = read_answers(options.against, options.protocol) if options.against else {}
    folder = Path(name)
    is_run = (folder / "recipe.yaml").is_file()
    recipe = load_recipe(str(folder / "recipe.yaml") if is_run else name, "rehearsal", overrides)
    model = options.model or (str(folder / "model") if is_run else recipe.model.path)
    examiner = load_examiner(recipe, model)
    display = Display(console, quiet)
    asked: list[Asked] = []
    notes: list[str] = []
    for paper in _papers(recipe, examiner, options, display):
        if options.protocol == "likelihood":
            asked.append(_by_likelihood(paper, examiner, options, display))
        else:
            asked.append(_in_writing(paper, recipe, examiner, options, display))
        trained = recipe if is_run and options.model is None else None
        notes += _contamination(paper, trained, examiner.grader)
        if options.against:
            notes.append(difference(paper.title, asked[-1][1], kept, options.against))
    for table in tables(options.protocol, [examined for examined, _, _ in asked]):
        console.print(table)
    for line in [_legend(recipe, options), *notes]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _write(asked, examiner, options, model, recipe.seed, began, console)


# --- what is asked -------------------------------------------------------------------------------


def _papers(
    recipe: Recipe, examiner: Examiner, options: EvalOptions, display: Display
) -> Iterator[Paper]:
    """Each set once as it is, then with its options in other orders."""
    sets = dict(recipe.evaluation.sets)
    if options.data is not None:
        path = str(options.data_path) if options.data_path else None
        split = options.split or (None if path else "test")
        sets = {options.data: DataSpec(source=options.data, path=path, split=split)}
    for name, spec in sets.items():
        sized = spec.model_copy(update={"size": options.size or spec.size})
        cases, set_aside = _load(sized, recipe, examiner, display)
        fit = _fitting(cases, spec.source, recipe, examiner, options)
        set_aside += len(cases) - len(fit)
        for order in range(options.shuffles + 1):
            shuffled = [shuffle_options(case, order) for case in fit] if order else fit
            title = f"{name} shuffled {order}" if order else name
            yield Paper(title, spec.source, shuffled, order, set_aside)


def _load(
    spec: DataSpec, recipe: Recipe, examiner: Examiner, display: Display
) -> tuple[list[Case], int]:
    """Cases of a set, and how many of its rows are no good; those are named."""
    found: list[LoadedCases] = []
    cases = cases_of(spec, examiner.grader, recipe.clinic_seed, found.append)
    for loaded in found:
        if loaded.rejected or loaded.skipped or len(loaded.splits) > 1:
            display.note(f"{spec.source}: {loaded.summary()}")
    return cases, sum(len(loaded.rejected) for loaded in found)


def _fitting(
    cases: list[Case], source: str, recipe: Recipe, examiner: Examiner, options: EvalOptions
) -> list[Case]:
    """The cases that fit the model's context; the others are named.

    Raises:
        DataError: more than ``MAX_TOO_LONG`` of them do not fit, or cannot be asked at all.
    """
    policy = examiner.policy
    if options.protocol == "generated":
        return fitting(policy, cases, recipe.evaluation_prompt, recipe.evaluation.max_new_tokens)[0]
    form = form_of(source, options.continuation)
    # Not the tokens themselves: those of pictures weigh megabytes a case.
    return keep_measurable(lambda case: len(encode(policy, case, form)), cases)[0]


# --- the two protocols ---------------------------------------------------------------------------


def _by_likelihood(
    paper: Paper, examiner: Examiner, options: EvalOptions, display: Display
) -> Asked:
    form = form_of(paper.source, options.continuation)
    total = sum(len(case.reference.options) for case in paper.cases)
    with display.counting(f"{paper.title}: options", total) as advance:
        rows = score(examiner.policy, paper.cases, form, options.token_budget, on_progress=advance)
    summary = summarise_choices(rows)
    samples = choice_samples(paper.cases, rows, form, paper.suffix)
    config = likelihood_config(form)
    examined = Examined(paper.title, options.protocol, samples, config, summary, paper.set_aside)
    return examined, rows, choice_records(rows)


def _in_writing(
    paper: Paper,
    recipe: Recipe,
    examiner: Examiner,
    options: EvalOptions,
    display: Display,
) -> Asked:
    params = SamplingParams(recipe.evaluation.max_new_tokens, _temperature(recipe, options))
    seeded = generator(recipe.seed, "evaluation", paper.title, device=examiner.policy.device)
    with display.counting(paper.title, len(paper.cases)) as advance:
        rows = examiner.ask(
            paper.cases,
            params,
            seeded,
            answers_per_prompt=options.samples,
            on_progress=advance,
        )
    summary = summarise(flat(rows))
    if options.samples > 1:
        found = _spread([fmean(row.correct for row in answers) for answers in rows])
        summary |= {"low": found["low"], "high": found["high"]}
    summary["pass_at"] = {
        k: _spread([pass_at_k(options.samples, sum(r.correct for r in a), k) for a in rows])
        for k in PASS_AT
        if 1 < options.samples >= k
    }
    form = form_of(paper.source)
    template = recipe.evaluation_prompt
    samples = answer_samples(paper.cases, rows, form, template, params, paper.suffix)
    config = generated_config(template, options.samples, recipe.grader.model_dump())
    examined = Examined(paper.title, options.protocol, samples, config, summary, paper.set_aside)
    return examined, flat(rows), as_records(flat(rows))


def _temperature(recipe: Recipe, options: EvalOptions) -> float:
    """As asked for; else as the recipe evaluates, or, for several samples, as it trains."""
    if options.temperature is not None:
        return options.temperature
    if options.samples == 1:
        return recipe.evaluation.temperature
    trained = [stage.temperature for stage in recipe.stages if isinstance(stage, RLStage)]
    return trained[-1] if trained else 1.0


def over_questions(values: Sequence[float]) -> Interval:
    """95 % interval of a mean over questions with several answers each, in [0, 1].

    The answers to one question are alike, so questions are what counts: Student's t over their
    means. Where all are 0 or all are 1 it would be a point; Wilson's interval stands in.
    """
    mean, n = fmean(values), len(values)
    if mean in (0.0, 1.0):
        return wilson(round(mean * n), n)
    if n < 2:
        return Interval(0.0, 1.0)
    spread = seed_summary(values)
    return Interval(max(0.0, spread.low), min(1.0, spread.high))


def _spread(values: Sequence[float]) -> dict[str, float]:
    interval = over_questions(values)
    return {"mean": fmean(values), "low": interval.low, "high": interval.high}


# --- what is shown -------------------------------------------------------------------------------


def _legend(recipe: Recipe, options: EvalOptions) -> str:
    if options.protocol == "likelihood":
        return (
            "accuracy in % with 95 % intervals, by likelihood: nothing is written; acc_norm: per "
            "character; tied: the likeliest option was the first of equals"
        )
    temperature = _temperature(recipe, options)
    drawn = f"sampled at temperature {temperature:g}" if temperature else "greedy"
    return (
        f"accuracy in % with 95 % intervals, {drawn}; unread: no answer found, several: more than "
        "one given, cut: by the token limit"
    )


def _contamination(paper: Paper, trained: Recipe | None, grader: Grader) -> list[str]:
    """What is known about whether the model may have seen a set.

    Args:
        trained: the recipe the model was trained by, if it is known.
    """
    source = SOURCES.get(paper.source)
    if paper.shuffle or source is None:
        return []
    since = source.protocol.since
    notes = [f"{paper.title}: public since {since}; pretraining may have read it"] if since else []
    if trained is not None:
        try:
            cases = mixed_cases(trained.train, grader, trained.clinic_seed)
        except MedrlError as error:
            return [*notes, f"{paper.title}: not compared with the training cases: {error.message}"]
        found = find_contamination(paper.cases, cases)
        notes.append(f"{paper.title}: {found.summary(worst=1)}")
    return notes


def _write(
    asked: Sequence[Asked],
    examiner: Examiner,
    options: EvalOptions,
    model: str,
    seed: int,
    began: float,
    console: Console,
) -> None:
    written: dict[str, Path] = {}
    if options.to is not None:
        write_answers(options.to, {examined.name: records for examined, _, records in asked})
        written["answers"] = options.to
    if options.harness_json is not None:
        sets = [examined for examined, _, _ in asked]
        written["harness"] = write_harness(
            options.harness_json, sets, examiner.policy, model, seed, began
        )
    for what, path in written.items():
        console.print(f"{what}: {path}", markup=False, highlight=False, soft_wrap=True)
