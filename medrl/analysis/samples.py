"""Several samples of a model to each case: drawn once, kept in the run folder, gone on with.

Samples are kept block by block under ``analysis/samples-KEY/``, where KEY is a fingerprint of all
they depend on: weights, cases, prompt, grader and how they were drawn. A block has a generator of
its own, so a stopped analysis goes on with the next one and ends with the same samples.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from medrl.analysis.passk import Tally
from medrl.cases.case import Case
from medrl.errors import RunError
from medrl.evaluation.evaluate import Examiner, Row
from medrl.grading import Outcome, normalise
from medrl.learning.inputs import fingerprint_cases, fingerprint_model
from medrl.learning.progress import Display
from medrl.part import Part, Positive
from medrl.prompt import Media
from medrl.report.episodes import split_answer
from medrl.run import generator
from medrl.run.disk import encode_json, replace_file, write_error
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, TokenIds

FOLDER = "analysis"
"""Folder of a run that holds samples, pages and numbers of its analyses."""
ANSWERS_PER_BLOCK = 1024
"""Answers drawn before they are written down: what a stopped analysis loses at most."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled answer.

    Attributes:
        answer: as the grader read it; ``""`` unless exactly one was given.
        tokens: tokens the policy wrote, the end-of-text token included.
        entropy: mean over them of the entropy (nats) of the distribution each was drawn from;
            ``None`` where the sampler does not tell.
    """

    text: str
    answer: str
    outcome: str
    format_ok: bool
    cut: bool
    tokens: int
    entropy: float | None

    @property
    def correct(self) -> bool:
        """True when the grader said so; the format is not part of it."""
        return self.outcome == Outcome.CORRECT

    @property
    def think(self) -> str:
        """The text inside the think block, without its tags; empty if there is none."""
        return think_block(self.text)


@dataclass(frozen=True)
class Samples:
    """n samples of one model to each of C cases; ``answers`` is [C][n]."""

    name: str
    cases: Sequence[Case]
    answers: Sequence[Sequence[Sample]]

    @property
    def n(self) -> int:
        """Samples per case."""
        return len(self.answers[0])

    def tally(self, counts: Callable[[Case, Sample], bool] | None = None) -> Tally:
        """How many samples of each case count; by default the correct ones."""
        right = counts or (lambda case, sample: sample.correct)
        return Tally(
            np.array(
                [
                    sum(right(case, sample) for sample in samples)
                    for case, samples in zip(self.cases, self.answers, strict=True)
                ]
            ),
            self.n,
            np.array([len(case.reference.options) for case in self.cases]),
        )


Required = Callable[[Case], str | None]
"""What the reasoning about a case must name; ``None`` where nothing is known of it."""


def validated(required: Required) -> Callable[[Case, Sample], bool]:
    """Counts a sample that is correct and whose think block names what the case requires.

    Names are compared as whole words in the grader's normal form (case, punctuation and articles do
    not matter). Naming is a necessary sign of the right way, not a proof: a think block that lists
    everything names it too. A case of which nothing is known has no validated sample.
    """

    def counts(case: Case, sample: Sample) -> bool:
        name = required(case)
        return sample.correct and bool(name) and names(sample.think, str(name))

    return counts


def names(text: str, name: str) -> bool:
    """Whether ``text`` holds the words of ``name`` one after the other."""
    return f" {normalise(name)} " in f" {normalise(text)} "


def think_block(text: str) -> str:
    """The text inside the first think block of a reply, opened there or by its prompt."""
    block = next((piece.text for piece in split_answer(text) if piece.kind == "think"), "")
    return re.sub("</?think>", "", block, flags=re.IGNORECASE).strip()


class Plan(Part):
    """How samples are drawn; part of what they are kept by."""

    samples: Positive
    temperature: float
    max_new_tokens: Positive
    seed: int


@dataclass
class _Listener:
    """A sampler that remembers what it drew: the rows of an examiner hold no entropies."""

    sampler: Sampler
    exact: bool
    drawn: list[Completion]

    def refresh(self) -> None:
        self.sampler.refresh()

    def sample(
        self,
        prompts: Sequence[TokenIds],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
        media: Sequence[Media | None] = (),
    ) -> list[list[Completion]]:
        found = self.sampler.sample(prompts, answers_per_prompt, params, generator, media)
        self.drawn = [completion for answers in found for completion in answers]
        return found


def draw_samples(
    examiner: Examiner,
    cases: Sequence[Case],
    plan: Plan,
    home: Path,
    name: str,
    display: Display,
) -> Samples:
    """Sample ``plan.samples`` answers to each case, or read those that ``home`` already keeps.

    Args:
        home: a run folder.
        name: what the model is called in tables.

    Raises:
        RunError: kept samples cannot be read, or the disk refuses.
        DataError: a prompt with its answer would not fit the model's context.
    """
    asked: dict[str, Any] = {
        "model": fingerprint_model(examiner.policy.model),
        "dtype": str(examiner.policy.dtype),
        "cases": fingerprint_cases(cases),
        "prompt": examiner.template,
        "grader": repr(examiner.grader),
        "sampler": type(examiner.sampler).__name__,
        "cases per block": max(1, ANSWERS_PER_BLOCK // plan.samples),
        **plan.model_dump(),
    }
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
    folder = home / FOLDER / f"samples-{key}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / "asked.json", encode_json(asked, "asked.json", indent=2) + b"\n")
    except OSError as error:
        raise write_error(error, folder) from error
    size = asked["cases per block"]
    answers: list[list[Sample]] = []
    with display.counting(f"sampling {name}", len(cases)) as advance:
        for start in range(0, len(cases), size):
            part = cases[start : start + size]
            path = folder / f"block-{start:06d}.json"
            if not path.exists():
                _keep(path, _draw(examiner, part, plan, start))
            answers += _read(path, len(part), plan.samples)
            advance(len(part))
    return Samples(name, cases, answers)


def _draw(examiner: Examiner, cases: Sequence[Case], plan: Plan, start: int) -> list[list[Sample]]:
    listener = _Listener(examiner.sampler, examiner.sampler.exact, [])
    rows = replace(examiner, sampler=listener).ask(
        cases,
        SamplingParams(plan.max_new_tokens, plan.temperature),
        generator(plan.seed, "analysis", start, device=examiner.policy.device),
        answers_per_prompt=plan.samples,
        block=len(cases),
    )
    drawn = iter(listener.drawn)
    return [[_sample(row, next(drawn)) for row in answers] for answers in rows]


def _sample(row: Row, completion: Completion) -> Sample:
    entropy = fmean(completion.entropies) if completion.entropies else None
    return Sample(
        row.text,
        row.answer,
        row.outcome,
        row.format_ok,
        row.cut,
        len(completion.token_ids),
        entropy,
    )


def _keep(path: Path, answers: Sequence[Sequence[Sample]]) -> None:
    records = [[asdict(sample) for sample in samples] for samples in answers]
    try:
        replace_file(path, encode_json(records, path.name) + b"\n")
    except OSError as error:
        raise write_error(error, path) from error


def _read(path: Path, cases: int, samples: int) -> list[list[Sample]]:
    try:
        records = json.loads(path.read_bytes())
        answers = [[Sample(**record) for record in row] for row in records]
        if [len(row) for row in answers] != [samples] * cases:
            raise ValueError(f"not {samples} samples of {cases} cases")
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"cannot read {path}: {error}", "delete it: it is sampled again") from error
    return answers
