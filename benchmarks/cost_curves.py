"""What a learning step of medrl costs, as prompts, answers, groups and batches grow.

    python benchmarks/cost_curves.py                        the whole set of curves, on a CPU
    python benchmarks/cost_curves.py --hidden 1024 --layers 12 --vocabulary 32000 --matrix 8192 \
        --base 1500,150,8,8 --prompt 500 --prompt 1500 --prompt 4000    on a GPU

Not run on a GPU yet.

One GRPO update on given answers, ``RLLearner.update``, in the three ways of laying out tokens:
plain (a padded row per answer), packed, and shared (each prompt once). Around one point one size
varies at a time: P tokens of a prompt, T of an answer, G answers per prompt, or prompts per step.
The three ways alternate, after a warm-up of each; ratios are those of neighbours in time.

*Limit.* Sharing computes P + G T tokens where the others compute G (P + T); ``reached`` is plain's
time over shared's, divided by this ratio of tokens (of those that are read: the last token of an
answer is not). Attention does not shrink by that ratio, so ``reached`` may lie on either side of 1.

*Arithmetic*, in FLOPs, with N weights in the matrices of the layers, D hidden size, V vocabulary, L
layers, S tokens computed, A answer tokens, and C pairs of a token and one that it sees::

    6 N S          matrices of all layers, forward 2, backward 4 per weight and token
    6 V D A        the head, at answer tokens only
    12 L D C       scores and weighted values, forward 4 D, backward 8 D per pair and layer

Embeddings, norms, softmax and what is computed twice are left out. C is P(P+1)/2 for a prompt and
T P + T(T+1)/2 for an answer behind it; unshared rows count the first once per answer. The share of
the machine is FLOPs per second over those of a large matrix product, measured in the same run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from bench_learner import TOKEN_BUDGET, given_group, make_learner, make_policy
from bench_model import ModelSize, save_model, words
from matplotlib import rc_context
from matplotlib.figure import Figure
from measure import (
    Clock,
    about_this_run,
    markdown_table,
    matrix_rate,
    ratios,
    shown,
    write_results,
)
from transformers.utils.logging import disable_progress_bar

from medrl.learning.batching import micro_batches
from medrl.learning.groups import Group
from medrl.learning.layout import Mode, lay_out, members_of
from medrl.learning.policy import Policy

MODES: tuple[Mode, ...] = ("plain", "packed", "shared")
MOST_REPEATS = 15


@dataclass(frozen=True)
class Point:
    """Tokens of a prompt and of an answer, answers per prompt, prompts per step."""

    prompt: int
    answer: int
    group: int
    batch: int

    @property
    def name(self) -> str:
        return f"P={self.prompt}, T={self.answer}, G={self.group}, batch {self.batch}"


def given_groups(point: Point, size: ModelSize, index: int) -> list[Group]:
    """Random answers to random prompts; no reward is its group's mean, so every answer teaches."""
    draw = torch.Generator().manual_seed(index)

    def ids(tokens: int) -> list[int]:
        return torch.randint(words(size), (tokens,), generator=draw).tolist()

    rewards = [(g + 1.0) ** 2 for g in range(point.group)]
    return [
        given_group(n, ids(point.prompt), [ids(point.answer) for _ in rewards], rewards)
        for n in range(point.batch)
    ]


def computed_tokens(groups: Sequence[Group], mode: Mode, policy: Policy, budget: int) -> int:
    """Tokens the model computes in an update."""
    members = members_of(groups)
    return sum(
        lay_out([members[b] for b in rows], mode, policy.pad_id, "cpu").tokens
        for rows in micro_batches(members, mode, budget)
    )


def flops(point: Point, size: ModelSize, mode: Mode, tokens: int) -> float:
    """FLOPs of an update by the formula above."""
    read = point.answer - 1  # nothing is predicted from the last token
    of_prompt = point.prompt * (point.prompt + 1) / 2
    of_answer = read * point.prompt + read * (read + 1) / 2
    answers = point.batch * point.group
    pairs = (point.batch if mode == "shared" else answers) * of_prompt + answers * of_answer
    head = 6 * size.vocabulary * size.hidden * answers * point.answer
    matrices = 6 * size.layers * size.linear_per_layer * tokens
    return matrices + head + 12 * size.layers * size.hidden * pairs


@dataclass(frozen=True)
class Settings:
    """How a point is measured.

    Attributes:
        repeat, seconds: updates that count are at least so many, and go on for at least so long,
            but are no more than ``MOST_REPEATS``: quick ones need more of them.
        matrix: size of the matrix product measured beside.
    """

    repeat: int
    seconds: float
    token_budget: int
    matrix: int


def measure(point: Point, size: ModelSize, policy: Policy, settings: Settings) -> dict[str, Any]:
    """One point of the curves, as JSON values."""
    rate = matrix_rate(policy.device, settings.matrix, 0.3)
    budget = settings.token_budget
    clock = Clock(policy.device)
    learners = {
        mode: make_learner(
            policy, point.batch, point.group, point.answer, token_budget=budget, layout=mode
        )
        for mode in MODES
    }
    done, spent = 0, 0.0
    while done <= settings.repeat or (spent < settings.seconds and done <= MOST_REPEATS):
        groups = given_groups(point, size, done)
        for mode in MODES:
            with clock.part(mode):
                learners[mode].update(groups, done)
        done += 1
        spent = sum(map(sum, clock.seconds.values()))
    seconds = {mode: clock.seconds[mode][1:] for mode in MODES}
    tokens = {mode: computed_tokens(groups, mode, policy, budget) for mode in MODES}
    limit = tokens["packed"] / tokens["shared"]
    gain = ratios(seconds["plain"], seconds["shared"])
    return asdict(point) | {
        "name": point.name,
        "prompts": point.batch,
        "answers": point.batch * point.group,
        "seconds": seconds,
        "computed_tokens": tokens,
        "flops": {m: flops(point, size, m, tokens[m]) for m in MODES},
        "matrix_flops_per_second": rate,
        "limit": limit,
        "ratios": {
            "packed_over_plain": ratios(seconds["packed"], seconds["plain"]),
            "plain_over_shared": gain,
            "reached": {name: value / limit for name, value in gain.items()},
        },
    }


def share_of_machine(row: dict[str, Any], mode: Mode, rate: float) -> float:
    """FLOPs per second of a way, over those of a matrix product."""
    return float(row["flops"][mode] / median(row["seconds"][mode]) / rate)


def table(rows: Sequence[dict[str, Any]], rate: float) -> str:
    """The points in Markdown."""
    head = ["", *(f"{mode} s" for mode in MODES), "plain over shared", "limit", "reached"]
    head += ["packed over plain", *(f"{mode} share of machine" for mode in MODES)]
    cells = [
        [
            row["name"],
            *(f"{median(row['seconds'][mode]):.3f}" for mode in MODES),
            shown(row["ratios"]["plain_over_shared"]),
            f"{row['limit']:.2f}",
            f"{row['ratios']['reached']['median']:.2f}",
            shown(row["ratios"]["packed_over_plain"]),
            *(f"{share_of_machine(row, mode, rate):.0%}" for mode in MODES),
        ]
        for row in rows
    ]
    return markdown_table(head, cells)


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Seconds over each size that was varied, one panel each."""
    labels = {
        "prompt": "P, tokens of a prompt",
        "answer": "T, tokens of an answer",
        "group": "G, answers per prompt",
        "batch": "prompts per step",
    }
    figure = Figure(figsize=(3 * len(curves), 2.8), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for panel, (name, rows) in zip(panels, curves.items(), strict=True):
        xs = [row[name] for row in rows]
        for mode in MODES:
            panel.plot(xs, [median(r["seconds"][mode]) for r in rows], marker=".", label=mode)
        limits = [median(r["seconds"]["plain"]) / r["limit"] for r in rows]
        panel.plot(xs, limits, linestyle=":", color="grey", label="plain over limit")
        panel.set(xlabel=labels[name], xlim=(0, None), ylim=(0, None))
    panels[0].set_ylabel("seconds of an update")
    panels[0].legend(frameon=False, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": path.stem}):  # small, always the same
        figure.savefig(path, metadata={"Date": None})


NOTES = """Medians over at least {repeat} repetitions, in brackets lowest and highest. The model has
{parameters} parameters. P: tokens of a prompt, T: of an answer, G: answers per prompt; batch:
prompts per step. Limit: computed tokens without sharing over those with it; reached: plain over
shared, divided by the limit. A matrix product of {matrix} x {matrix} runs at {rate:.1f} GFLOP/s.
With G = 1, packed takes {alone} times as long as plain."""


def main(
    out: Path = Path("results/benchmarks/cost_curves"),
    base: Annotated[str, typer.Option(help="P,T,G,prompts per step")] = "400,64,8,2",
    prompt: Annotated[list[int] | None, typer.Option(help="values of P")] = None,
    answer: Annotated[list[int] | None, typer.Option(help="values of T")] = None,
    group: Annotated[list[int] | None, typer.Option(help="values of G")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="values of prompts per step")] = None,
    repeat: Annotated[int, typer.Option(help="updates that count, at least")] = 3,
    seconds: Annotated[float, typer.Option(help="quick updates go on for so long")] = 4.0,
    hidden: int = 256,
    layers: int = 4,
    vocabulary: int = 384,
    token_budget: int = TOKEN_BUDGET,
    matrix: Annotated[int, typer.Option(help="size of the matrix product measured")] = 2048,
) -> None:
    """Measure and write OUT.json, OUT.md and OUT.svg."""
    disable_progress_bar()
    size = ModelSize.of(hidden, layers, vocabulary)
    middle = Point(*map(int, base.split(",")))
    sizes = {
        "prompt": prompt or [100, 250, 400, 800, 1400],
        "answer": answer or [16, 64, 150, 300],
        "group": group or [1, 2, 4, 8, 16],
        "batch": batch or [1, 2, 4, 8],
    }
    points = {n: [replace(middle, **{n: v}) for v in values] for n, values in sizes.items()}
    settings = Settings(repeat, seconds, token_budget, matrix)
    found: dict[Point, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        policy = make_policy(save_model(Path(folder), size, None))
        for point in dict.fromkeys(p for curve in points.values() for p in curve):
            found[point] = measure(point, size, policy, settings)
            gain = shown(found[point]["ratios"]["plain_over_shared"])
            print(f"{point.name}: plain over shared {gain}", flush=True)
    rate = median(row["matrix_flops_per_second"] for row in found.values())
    rows = list(found.values())
    for row in rows:
        row["share_of_machine"] = {mode: share_of_machine(row, mode, rate) for mode in MODES}
    result = {
        "about": about_this_run("cost_curves.py"),
        "model": size.describe(),
        "token_budget": token_budget,
        "matrix_flops_per_second": rate,
        "rows": rows,
    }
    alone = [row["ratios"]["packed_over_plain"] for row in rows if row["group"] == 1]
    notes = NOTES.format(
        repeat=repeat,
        parameters=f"{size.parameters:,}",
        matrix=matrix,
        rate=rate / 1e9,
        alone=" and ".join(map(shown, alone)) or "(not measured)",
    )
    draw({n: [found[p] for p in curve] for n, curve in points.items()}, out.with_suffix(".svg"))
    picture = f"![seconds of an update over its sizes]({out.name}.svg)"
    write_results(out, result, "Cost of a learning step", picture, table(rows, rate), notes)


if __name__ == "__main__":
    typer.run(main)
