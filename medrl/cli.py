"""The commands, thin: each reads its arguments, calls one function and prints what it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from medrl.analysis import command as analysis
from medrl.errors import MedrlError, RecipeError
from medrl.safeguards import commands as safeguards

app = typer.Typer(
    help="Reinforcement learning in medicine: published systems as recipes over one set of parts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console()
err = Console(stderr=True)

Overrides = Annotated[list[str] | None, typer.Argument(help="overrides as key=value")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print warnings, errors and results only")]

INTERRUPTED = 130


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="a recipe's name or a YAML file")],
    overrides: Overrides = None,
    scale: Annotated[str, typer.Option(help="rehearsal or paper")] = "rehearsal",
    run: Annotated[Path | None, typer.Option(help="folder of the run [runs/RECIPE]")] = None,
    model: Annotated[str | None, typer.Option(help="model folder or hub id")] = None,
    data: Annotated[str | None, typer.Option(help="data set to train on, see `medrl data`")] = None,
    data_path: Annotated[Path | None, typer.Option(help="its file or folder")] = None,
    split: Annotated[
        str | None, typer.Option(help="split of that data set [train; of a file: all of it]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the run")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a stopped run")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="delete an older run")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the recipe and stop")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a recipe: evaluate, train, evaluate again, save, report."""
    from medrl import launch
    from medrl.recipe import load_recipe

    launch.check_shortcuts(data, data_path, split)
    shortcuts = launch.shortcuts(model, data, data_path, split, seed)
    folder = run or Path("runs") / Path(recipe).stem
    if resume:
        if overrides or shortcuts or overwrite:
            raise RecipeError(
                "--resume goes on with the run's own recipe and takes no other settings",
                f"drop the overrides, or start a new run without --resume (run: {folder})",
            )
        launch.resume(folder, out, quiet)
        return
    resolved = load_recipe(recipe, scale, [*(overrides or []), *shortcuts])
    if dry_run:
        launch.describe(resolved, out)
        return
    launch.start(resolved, folder, out, quiet, overwrite)


@app.command(name="eval")
def evaluate(
    recipe: Annotated[str, typer.Argument(help="a recipe's name, YAML file or run folder")],
    overrides: Overrides = None,
    protocol: Annotated[
        Literal["generated", "likelihood"],
        typer.Option(help="generated: it writes, we grade; likelihood: of each option"),
    ] = "generated",
    model: Annotated[str | None, typer.Option(help="model folder or hub id")] = None,
    data: Annotated[str | None, typer.Option(help="data set instead of the recipe's sets")] = None,
    data_path: Annotated[Path | None, typer.Option(help="its file or folder")] = None,
    split: Annotated[
        str | None, typer.Option(help="split of that data set [test; of a file: all of it]")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="most cases per set")] = None,
    samples: Annotated[int, typer.Option(min=1, help="answers per case; above 1: pass@k")] = 1,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="0: greedy [1 sample: 0; more: as trained]")
    ] = None,
    continuation: Annotated[
        Literal["letter", "text"] | None,
        typer.Option(help="what likelihood is taken of [as the set is published]"),
    ] = None,
    token_budget: Annotated[
        int, typer.Option(min=1, help="likelihood: most tokens in one forward pass")
    ] = 8192,
    shuffles: Annotated[int, typer.Option(min=0, help="also with options in this many orders")] = 0,
    to: Annotated[Path | None, typer.Option(help="write every answer to this JSONL")] = None,
    against: Annotated[
        Path | None, typer.Option(help="compare, question by question, with such a JSONL")
    ] = None,
    harness_json: Annotated[
        Path | None, typer.Option(help="folder for files as lm-evaluation-harness writes them")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Evaluate a model by one protocol: accuracy with interval, chance, what was not read."""
    from medrl import examination

    options = examination.EvalOptions(
        protocol=protocol,
        model=model,
        data=data,
        data_path=data_path,
        split=split,
        size=size,
        samples=samples,
        temperature=temperature,
        continuation=continuation,
        token_budget=token_budget,
        shuffles=shuffles,
        to=to,
        against=against,
        harness_json=harness_json,
    )
    examination.evaluate_model(recipe, overrides or [], options, out, quiet)


@app.command()
def grade(
    file: Annotated[Path, typer.Argument(help="JSONL with response, options, answer")],
    response_key: str = "response",
    options_key: str = "options",
    answer_key: str = "answer",
    reference_key: str = "reference",
) -> None:
    """Grade a file of model outputs and explain disagreements with a reference column."""
    from medrl.grading.files import grade_file, print_report

    print_report(
        grade_file(
            file,
            response_key=response_key,
            options_key=options_key,
            answer_key=answer_key,
            reference_key=reference_key,
        ),
        out,
    )


@app.command(name="data")
def data_command(
    name: Annotated[str | None, typer.Argument(help="a data set; none lists them all")] = None,
    path: Annotated[Path | None, typer.Option(help="file or folder to load it from")] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test")] = None,
    against: Annotated[Path | None, typer.Option(help="check for overlap with this file")] = None,
) -> None:
    """List the data sets, or load one and say what is in it and what was set aside."""
    from medrl import launch

    launch.show_data(name, path, split, against, out)


@app.command()
def recipes() -> None:
    """List the recipes."""
    from medrl.recipe import available

    table = Table("recipe", "what it trains")
    for name, summary in available().items():
        table.add_row(name, summary)
    out.print(table)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="a run folder")]) -> None:
    """Write (again) the HTML report of a run."""
    from medrl.report import write_report

    out.print(f"report: {write_report(run)}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="a study's name or a YAML file")],
    seeds: Annotated[str, typer.Option(help="seeds, e.g. 0,1,2")] = "0,1,2",
    clinic_seed: Annotated[int, typer.Option(help="which pairings are held out")] = 0,
    data_path: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH: where a data set of the study lies")
    ] = None,
    to: Annotated[Path, typer.Option(help="folder for results")] = Path("results"),
    work: Annotated[Path, typer.Option(help="folder for the runs")] = Path("runs/studies"),
    quiet: Quiet = False,
) -> None:
    """Run the arms of a study over seeds and test its claims, with intervals."""
    from medrl import study as studies

    try:
        chosen = [int(text) for text in seeds.split(",")]
    except ValueError as error:
        raise RecipeError(f"--seeds {seeds!r} is not a list of numbers", "e.g. 0,1,2") from error
    paths = dict(text.partition("=")[::2] for text in data_path or [])
    if bare := [name for name, path in paths.items() if not path]:
        raise RecipeError(
            f"--data-path {bare[0]!r} does not say of which data set",
            "write NAME=PATH, as in pneumoniamnist=films.npz",
        )
    studies.run_study(name, chosen, clinic_seed, to, work, out, quiet, paths)


app.command()(safeguards.guard)
app.command()(safeguards.review)
app.command()(analysis.analyse)
app.command()(analysis.select)


def main() -> None:
    """Entry point: errors a user can act on become one line and an exit code."""
    from medrl.learning.evaluations import Stopped

    try:
        app()
    except MedrlError as error:
        # Escaped: what the user typed may hold brackets, which would be read as markup.
        err.print(f"[red]error:[/red] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.fix:
            err.print(f"  [green]fix:[/green] {escape(error.fix)}", highlight=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from None
    except Stopped as stopped:
        err.print(
            f"stopped cleanly; go on with: medrl train RECIPE --run {stopped.path} --resume",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        raise SystemExit(INTERRUPTED) from None
