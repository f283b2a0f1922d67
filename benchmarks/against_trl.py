"""medrl against TRL: seconds, memory and tokens per second of the same steps on both sides.

    python benchmarks/against_trl.py                        the whole table, on a CPU
    python benchmarks/against_trl.py --shape 400,64 --group 8 --repeat 5
    python benchmarks/against_trl.py --pictures --hidden 192 --vocabulary 1536
    python benchmarks/against_trl.py --see llava,16 --shape 40,64
    python benchmarks/against_trl.py --hidden 1024 --layers 12 --vocabulary 32000 \
        --shape 500,150 --shape 1500,150 --shape 4000,150 --dpo 1500,150    on a GPU

Not run on a GPU yet.

*Same work.* Both sides start from the same weights (random, 3.4 M parameters by default), get the
same prompts and write equally many tokens. With ``--shape`` the model never ends an answer, so all
have T tokens, with no option set on either side. With ``--ragged`` the model ends answers itself,
their lengths nearly log-normal (see bench_model.py): medrl samples first, and TRL's answers are
given the very lengths medrl's came out with, through the ``logits_processor`` of ``generate``; what
that processor costs is taken off. With ``--see`` each prompt has a picture in front, see
bench_sight.py. Rewards are a hash of the text, so every answer teaches. What belongs to which part
of a step is said in grpo_sides.py, for preference pairs in dpo_sides.py. Before sampled answers are
timed, both sides learn from the same ones, and their gradients must agree (same_work.py).

*Timing.* medrl's step runs inside TRL's training loop, just before each of TRL's own: medrl, TRL,
medrl, TRL, in one process, with the same threads and allocator, seconds apart, so that a machine
that slows down slows both; with ``--computing``, for a machine that others use, seconds are those
that the process computes. The first step of each is a warm-up. Ratios are TRL over medrl of
neighbouring steps; median, lowest and highest are given.

*Memory.* Each side runs two steps in a process of its own: the most it uses above what it holds
once model and trainer are loaded (bytes of resident RAM, on a GPU of its memory). TRL takes all
answers of a step as one micro-batch, medrl as many as its default token budget allows. With
``--at-once N`` both take the answers to N prompts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import quiet
import torch
import typer
from bench_learner import TOKEN_BUDGET
from bench_model import CAP, Lengths, ModelSize, Question, random_text, save_model
from bench_sight import draw_pictures, save_seeing
from dpo_sides import MedrlPairs, Pair, PairJob, TRLPairs
from grpo_sides import Job, MedrlSide, TRLSide
from measure import (
    PeakMemory,
    Spread,
    about_this_run,
    markdown_table,
    ratios,
    shown,
    spread,
    write_results,
)
from same_work import same_work

from medrl.learning.policy import pick_device

MEMORY_STEPS = 2
"""The second step holds the optimiser's moments as well."""
FRAME_TOKENS = 8
"""Most tokens that a family puts around a picture."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        kind: ``fixed`` or ``ragged`` lengths of sampled answers, or ``dpo``.
        prompt: P, tokens of each prompt, without its picture.
        answer: T, tokens of each answer; the mean if ragged.
        group: G, answers per prompt.
        beta: of the KL penalty; a DPO row has its own.
        at_once: prompts of a micro-batch; 0: what either side takes by itself.
        family: of the vision-language model; none for text.
        side: image tokens along a side of the picture.
    """

    kind: str
    prompt: int
    answer: int
    group: int = 2
    beta: float = 0.0
    at_once: int = 0
    family: str = ""
    side: int = 0

    @property
    def name(self) -> str:
        answer = f"~{self.answer}" if self.kind == "ragged" else str(self.answer)
        more = ", DPO" if self.kind == "dpo" else f", G={self.group}"
        more += f", KL {self.beta}" if self.beta else ""
        more += f", {self.at_once} at once" if self.at_once else ""
        seen = f"{self.family}, I={self.side**2}, " if self.family else ""
        return f"{seen}P={self.prompt}, T={answer}{more}"


FULL_TABLE = (
    Row("fixed", 250, 150, 8),
    Row("ragged", 250, 150, 8),
    *(Row("fixed", 400, 64, group) for group in (4, 8, 16)),
    Row("fixed", 400, 64, 8, beta=0.04),
    Row("fixed", 1400, 150, 8),
    Row("dpo", 400, 64),
    Row("dpo", 1400, 150),
)
PICTURE_TABLE = (
    Row("fixed", 40, 64, 8, family="qwen2_vl", side=16),
    Row("fixed", 40, 64, 8, family="qwen2_vl", side=18),
    Row("fixed", 40, 64, 8, family="qwen2_vl", side=18, at_once=1),
    Row("ragged", 40, 64, 8, family="qwen2_vl", side=18),
    Row("fixed", 40, 64, 8, family="idefics3", side=18),
    Row("fixed", 40, 64, 8, family="llava", side=18),
    Row("fixed", 40, 150, 8, family="qwen2_vl", side=18),
)


@dataclass(frozen=True)
class Settings:
    """What all rows have in common.

    Attributes:
        prompts: prompts, or pairs, of one step.
        computing: see :class:`measure.Clock`.
    """

    size: ModelSize
    prompts: int
    computing: bool
    seed: int


def make_job(row: Row, settings: Settings, folder: Path, steps: int) -> Job | PairJob:
    """Model, prompts and settings of a row."""
    ragged, size = row.kind == "ragged", settings.size
    mean = row.answer if ragged else None
    draw = torch.Generator().manual_seed(settings.seed)

    def text(tokens: int) -> str:
        return random_text(size, tokens, draw)

    counts = [range(settings.prompts)] * steps
    if row.kind == "dpo":  # the end of text is a token of the answer, too
        model = save_model(folder / "model", size, mean, settings.seed)
        lengths = (row.prompt, row.answer - 1, row.answer - 1)
        pairs = [[Pair(*map(text, lengths)) for _ in count] for count in counts]
        return PairJob(model, pairs, TOKEN_BUDGET, settings.computing)
    total = settings.prompts * steps
    pictures: Sequence[Path | None] = [None] * total
    if row.family:
        model = save_seeing(folder / "model", row.family, size, row.side, mean, settings.seed)
        pictures = draw_pictures(folder / "pictures", total, row.side, settings.seed)
    else:
        model = save_model(folder / "model", size, mean, settings.seed)
    shown = iter(pictures)
    questions = [[Question(text(row.prompt), next(shown)) for _ in count] for count in counts]
    longest = CAP * row.answer if ragged else row.answer
    prompt = row.prompt + row.side**2 + FRAME_TOKENS
    budget = row.at_once * (prompt + row.group * longest) or TOKEN_BUDGET
    rows = row.at_once * row.group
    common = row.group, longest, row.beta, rows, budget, settings.computing
    return Job(model, questions, *common)


def medrl_side(job: Job | PairJob) -> MedrlSide | MedrlPairs:
    """medrl, ready for a job."""
    return MedrlSide(job) if isinstance(job, Job) else MedrlPairs(job)


def trl_side(job: Job | PairJob, forced: Sequence[Lengths] | None) -> TRLSide | TRLPairs:
    """TRL, ready for a job; ``forced`` are the lengths of its answers in each step."""
    return TRLSide(job, forced) if isinstance(job, Job) else TRLPairs(job)


def measure(
    row: Row, settings: Settings, folder: Path, repeat: int, memory: bool
) -> dict[str, Any]:
    """Times and memory of a row, as JSON values."""
    job = make_job(row, settings, folder, 1 + repeat)
    same = same_work(job) if isinstance(job, Job) else None
    medrl = medrl_side(job)
    forced = medrl.lengths if row.kind == "ragged" else None  # filled as medrl goes on
    trl = trl_side(job, forced)
    trl.run(medrl.step)
    short = job.shortened(MEMORY_STEPS)
    sides = {}
    for name, side in (("medrl", medrl), ("trl", trl)):
        peak = _in_own_process(name, short, forced) if memory else None
        sides[name] = _described(side, len(job.steps[0]), row, peak)
    return {
        "name": row.name,
        "row": asdict(row),
        "parameters": medrl.parameters,
        "same_work": same,
        "sides": sides,
        "ratios": _ratios(*sides.values()),
    }


def _described(
    side: MedrlSide | MedrlPairs | TRLSide | TRLPairs, prompts: int, row: Row, peak: int | None
) -> dict[str, Any]:
    """A side's repetitions, warm-up left out."""
    seconds = {part: values[1:] for part, values in side.clock.seconds.items()}
    seconds["step"] = [sum(parts) for parts in zip(*seconds.values(), strict=True)]
    tokens = [sum(map(sum, lengths)) for lengths in side.lengths[1:]]
    return {
        "prompts_per_step": prompts,
        "answers_per_step": prompts * row.group,
        "answer_tokens": tokens,
        "longest_answers": [max(map(max, lengths)) for lengths in side.lengths[1:]],
        "seconds": seconds,
        "tokens_per_second": {
            part: [n / s for n, s in zip(tokens, values, strict=True)]
            for part, values in seconds.items()
        },
        "peak_memory_bytes": peak,
    }


def _ratios(medrl: dict[str, Any], trl: dict[str, Any]) -> dict[str, Spread]:
    """TRL over medrl: how many times as long, and as much memory."""
    times = medrl["seconds"]
    found = {part: ratios(trl["seconds"][part], times[part]) for part in times}
    peaks = trl["peak_memory_bytes"], medrl["peak_memory_bytes"]
    return found | ({"memory": spread([peaks[0] / peaks[1]])} if all(peaks) else {})


def _in_own_process(side: str, job: Job | PairJob, forced: Sequence[Lengths] | None) -> int:
    """Peak memory of a side above what it holds when loaded, in bytes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_memory, side, job, forced).result()


def peak_memory(side: str, job: Job | PairJob, forced: Sequence[Lengths] | None) -> int:
    """The same for this process, which must not have run anything else."""
    quiet.be_quiet()
    if side == "medrl":
        medrl = medrl_side(job)
        peak = PeakMemory(pick_device())
        for index in range(len(job.steps)):
            medrl.step(index)
    else:
        trl = trl_side(job, forced)
        peak = PeakMemory(pick_device())
        trl.run(lambda index: None)
    return peak.above()


def ratio_table(rows: Sequence[dict[str, Any]]) -> str:
    """How many times what medrl takes TRL takes."""
    head = ["TRL over medrl", "whole step", "sampling", "learning", "peak memory"]
    return markdown_table(head, [[row["name"], *_ratio_cells(row["ratios"])] for row in rows])


def _ratio_cells(found: dict[str, Spread]) -> list[str]:
    times = [shown(found[p]) if p in found else "" for p in ("step", "sampling", "learning")]
    return [*times, f"{found['memory']['median']:.2f}" if "memory" in found else ""]


def side_table(rows: Sequence[dict[str, Any]]) -> str:
    """What either side takes; medians."""
    head = ["medrl / TRL", "step s", "sampling s", "learning s", "peak MiB"]
    head += ["sampled tokens/s", "learned tokens/s", "answer tokens"]
    return markdown_table(head, [[row["name"], *_side_cells(row)] for row in rows])


def _side_cells(row: dict[str, Any]) -> list[str]:
    sides = [row["sides"][name] for name in ("medrl", "trl")]
    peaks = [side["peak_memory_bytes"] for side in sides]

    def both(values: Sequence[float], digits: int = 0) -> str:
        return " / ".join(f"{value:.{digits}f}" for value in values)

    def middle(kind: str, part: str, digits: int) -> str:
        values = [side[kind].get(part) for side in sides]
        return both([median(v) for v in values], digits) if all(values) else ""

    return [
        *(middle("seconds", part, 2) for part in ("step", "sampling", "learning")),
        both([peak / 2**20 for peak in peaks]) if all(peaks) else "",
        *(middle("tokens_per_second", part, 0) for part in ("sampling", "learning")),
        both([median(side["answer_tokens"]) for side in sides]),
    ]


NOTES = """Medians over {repeat} repetitions, in brackets lowest and highest. {parameters}
parameters; {prompts} prompts (or pairs) per step. P: tokens of a prompt, I: of the picture in front
of it, T: of an answer (~: mean of nearly log-normal lengths, the same on both sides), G: answers
per prompt, KL: with a reference model. Micro-batches: TRL all answers of the step, medrl {budget}
tokens; or, on both sides, the answers to so many prompts at once. Memory is what a step needs above
the loaded model.{more}"""
COMPUTING = " Seconds are those computed, without waiting for others on the machine."

APART = " On the same answers the gradients of both sides differ by at most {:.0e} of their length."


def notes(rows: Sequence[dict[str, Any]], repeat: int, settings: Settings) -> str:
    """What the tables mean."""
    counts = sorted({row["parameters"] for row in rows})
    parameters = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    apart = [max(row["same_work"]["gradient"].values()) for row in rows if row["same_work"]]
    more = (COMPUTING if settings.computing else "") + (APART.format(max(apart)) if apart else "")
    return NOTES.format(
        repeat=repeat,
        parameters=parameters,
        prompts=settings.prompts,
        budget=f"{TOKEN_BUDGET:,}",
        more=more,
    )


def main(
    out: Path = Path("results/benchmarks/against_trl"),
    shape: Annotated[list[str] | None, typer.Option(help="P,T: answers all of T tokens")] = None,
    ragged: Annotated[list[str] | None, typer.Option(help="P,T: answers of T on average")] = None,
    dpo: Annotated[list[str] | None, typer.Option(help="P,T: preference pairs")] = None,
    see: Annotated[list[str] | None, typer.Option(help="FAMILY,SIDE: with pictures")] = None,
    group: Annotated[list[int] | None, typer.Option(help="G, answers per prompt; 8")] = None,
    beta: Annotated[list[float] | None, typer.Option(help="of the KL penalty; 0")] = None,
    prompts: Annotated[int, typer.Option(help="prompts or pairs per step")] = 8,
    at_once: Annotated[int, typer.Option(help="prompts of a micro-batch; 0: by default")] = 0,
    repeat: Annotated[int, typer.Option(help="steps that count, on each side")] = 3,
    hidden: int = 256,
    layers: int = 4,
    vocabulary: int = 384,
    computing: Annotated[bool, typer.Option(help="leave out waiting for others")] = False,
    memory: Annotated[bool, typer.Option(help="measure peak memory as well")] = True,
    pictures: Annotated[bool, typer.Option(help="the whole table is that with pictures")] = False,
    seed: int = 0,
) -> None:
    """Measure the given rows, or the whole table, and write OUT.json and OUT.md."""
    quiet.be_quiet()
    asked = [
        *_rows("fixed", shape, group or [8], beta or [0.0], see or [",0"], at_once),
        *_rows("ragged", ragged, group or [8], beta or [0.0], see or [",0"], at_once),
        *_rows("dpo", dpo, [2], [0.0], [",0"], 0),
    ]
    size = ModelSize.of(hidden, layers, vocabulary)
    settings = Settings(size, prompts, computing, seed)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {
        "about": about_this_run("against_trl.py", "trl", "accelerate"),
        "model": size.describe(),
        "repeat": repeat,
        "computing": computing,
        "rows": rows,
    }
    for row in asked or (PICTURE_TABLE if pictures else FULL_TABLE):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(row, settings, Path(folder), repeat, memory))
        print(ratio_table(rows[-1:]).splitlines()[-1], flush=True)
        parts = ratio_table(rows), side_table(rows), notes(rows, repeat, settings)
        write_results(out, result, "medrl against TRL", *parts)


def _rows(
    kind: str,
    shapes: list[str] | None,
    groups: list[int],
    betas: list[float],
    eyes: list[str],
    at_once: int,
) -> list[Row]:
    found = []
    for shape, eye in product(shapes or [], eyes):
        prompt, answer = map(int, shape.split(","))
        family, side = eye.split(",")
        found += [
            Row(kind, prompt, answer, g, b, at_once, family, int(side))
            for g, b in product(groups, betas)
        ]
    return found


if __name__ == "__main__":
    typer.run(main)
