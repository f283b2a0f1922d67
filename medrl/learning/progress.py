"""What a user sees while a run is going: banner, live progress, or plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from medrl.learning.memory import training_bytes
from medrl.learning.policy import Policy
from medrl.learning.preparation import Parts
from medrl.schema import Recipe
from medrl.stages import MergeStage, RLStage, Stage

SHOWN = ("reward", "accuracy", "format_rate", "think_tokens", "entropy", "loss")
SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Live on a terminal, one line every ten seconds elsewhere, silent if asked.

    Args:
        console: where to write.
        quiet: show nothing but warnings and errors.
    """

    def __init__(self, console: Console, quiet: bool = False) -> None:
        self.console = console
        self.quiet = quiet
        if quiet or not console.is_terminal:  # the bars of loading and saving weights
            disable_progress_bar()

    def banner(self, recipe: Recipe, policy: Policy, parts: Parts) -> None:
        """The facts people look for first."""
        if self.quiet:
            return
        parameters, total = policy.sizes()
        table = Table.grid(padding=(0, 2))
        rows = {
            "recipe": f"{recipe.name} ({recipe.scale}), seed {recipe.seed}",
            "model": f"{recipe.model.path}, {total / 1e6:.1f} M parameters, "
            f"{trained_share(parameters, total)}",
            "device": f"{policy.device}, {str(policy.dtype).removeprefix('torch.')}",
            "stop ids": ", ".join(
                f"{i} {policy.tokenizer.convert_ids_to_tokens(i)!r}" for i in policy.stop_ids
            ),
            "cases": f"{len(parts.prompt_lengths)}, prompts of {min(parts.prompt_lengths)} to "
            f"{max(parts.prompt_lengths)} tokens",
            "memory": f"weights, gradients and optimiser need about "
            f"{training_bytes(recipe, total, parameters) / 2**30:.1f} GiB, activations on top",
        }
        for number, (stage, data) in enumerate(zip(recipe.stages, parts.stages, strict=True), 1):
            if isinstance(stage, MergeStage):
                rows[f"stage {number}"] = f"{stage.label}, of {' and '.join(stage.of)}"
            if not isinstance(stage, Stage):
                continue
            answers = stage.answers_per_prompt if isinstance(stage, RLStage) else 1
            own = "" if data.cases is None else f"{len(data.cases)} cases of its own, "
            rows[f"stage {number}"] = (
                f"{stage.label}, {own}"
                f"{stage.steps} steps of {stage.prompts_per_step} prompts x {answers} answers, "
                f"at most {stage.token_budget} tokens in a micro-batch"
            )
            rows[f"layout {number}"] = layout_in_words(stage, fmean(data.lengths))
        for key, value in rows.items():
            table.add_row(key, value)
        self.console.print(table)

    def note(self, text: str) -> None:
        """One line worth knowing."""
        if not self.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(
        self, stage: Stage, first_step: int
    ) -> Iterator[Callable[[Mapping[str, float]], None]]:
        """Progress of one stage; call the yielded function with each step's metrics."""
        with self._progress(stage.label, stage.steps, first_step) as advance:
            yield lambda metrics: advance(1, describe(metrics))

    @contextmanager
    def counting(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """Progress of something counted; call the yielded function with how many more are done."""
        with self._progress(title, total, 0) as advance:
            yield lambda done: advance(done, "")

    @contextmanager
    def _progress(self, title: str, total: int, done: int) -> Iterator[Callable[[int, str], None]]:
        if self.quiet:
            yield lambda amount, note: None
        elif self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            with Progress(*columns, console=self.console) as progress:
                task = progress.add_task(title, total=total, completed=done, note="")
                yield lambda amount, note: progress.update(task, advance=amount, note=note)
        else:
            yield _lines(self.console, title, total, done)


def _lines(console: Console, title: str, total: int, done: int) -> Callable[[int, str], None]:
    """Plain lines for logs: the first, the last, and one every ten seconds in between."""
    state = {"done": done, "shown": -SECONDS_BETWEEN_LINES}

    def advance(amount: int, note: str) -> None:
        state["done"] += amount
        now = time.monotonic()
        if now - state["shown"] >= SECONDS_BETWEEN_LINES or state["done"] == total:
            state["shown"] = now
            console.print(f"{title} {state['done']:.0f}/{total}  {note}", highlight=False)

    return advance


def describe(metrics: Mapping[str, float]) -> str:
    """The few numbers worth watching."""
    return "  ".join(f"{name} {metrics[name]:.2f}" for name in SHOWN if name in metrics)


def trained_share(trained: int, total: int) -> str:
    """How many parameters training changes, in words."""
    if trained == total:
        return "all trained"
    return f"{trained:,} of them trained ({100 * trained / total:.2f} %)"


def layout_in_words(stage: Stage, prompt_length: float) -> str:
    """How the tokens of a stage will be computed, and what that can save."""
    asked = getattr(stage, "layout", "auto")
    answers = getattr(stage, "answers_per_prompt", 1)
    why = "chosen by token count" if asked == "auto" else "as asked"
    if asked == "shared" or (asked == "auto" and answers > 1):
        longest = getattr(stage, "max_new_tokens", 0)
        ratio = answers * (prompt_length + longest) / (prompt_length + answers * longest)
        return (
            f"shared ({why}): each prompt once for its {answers} answers, {ratio:.1f}x fewer "
            f"tokens for the longest answers, up to {answers}x for short ones"
        )
    if asked == "plain":
        return "plain (as asked): one padded row per answer"
    return f"packed ({why}): answers behind each other, nothing padded, nothing to share"
