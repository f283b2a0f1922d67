"""What a base model can do before any reinforcement learning: each hop, binding, habits.

``python -m medrl.clinic.probe MODEL`` prints the table and writes it beside the model.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from medrl.cases.case import LETTERS, Case
from medrl.clinic.exams import LINKS, exam, fact, options_for
from medrl.clinic.knowledge import clinic
from medrl.clinic.patients import Ward
from medrl.clinic.styles import EXAM_STYLES, KINDS, describe
from medrl.environments.prompts import option_lines
from medrl.evaluation.evaluate import (
    END_OF_ANSWER,
    FORCED_ANSWER,
    FORCED_THINKING,
    Examiner,
    flat,
    summarise,
)
from medrl.evaluation.statistics import pass_at_k, wilson
from medrl.grading import Grader
from medrl.learning.policy import Policy, load_policy
from medrl.run import generator
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler
from medrl.schema import ModelSpec

SAMPLES = 8


def hop_questions(n: int, seed: int) -> dict[str, list[tuple[str, str]]]:
    """For each single skill, ``n`` pairs of a text to go on from and how it must go on."""
    knowledge, rng = clinic(), random.Random(f"probe:{seed}")
    ward = Ward(knowledge, rng, "test")
    conditions = list(knowledge.conditions.values())
    questions: dict[str, list[tuple[str, str]]] = {}
    patients = [ward.admit(rng.choice(conditions)) for _ in range(n)]
    questions["findings to condition"] = [
        (f"{describe(p, rng.choice(EXAM_STYLES), rng)} This is", f" {p.condition.name}.")
        for p in patients
    ]
    for kind in KINDS[1:]:
        questions[f"condition to {kind}"] = [
            (LINKS[kind][0].format(c.name, "").strip().capitalize(), f" {fact(c, kind, knowledge)}")
            for c in (rng.choice(conditions) for _ in range(n))
        ]
    bindings = []
    for _ in range(n):
        kind = rng.choice(KINDS)
        options = options_for(rng.choice(conditions), kind, rng.choice((4, 5, 10)), knowledge, rng)
        i = rng.randrange(len(options))
        bindings.append((f"{option_lines(tuple(options))}\n {options[i]} (", LETTERS[i]))
    questions["text to option letter"] = bindings
    return questions


def skill(policy: Policy, sampler: TorchSampler, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Share of texts that the model, greedy, continues as it should, with Wilson's interval."""
    sampled = sampler.sample(
        [policy.encode(text) for text, _ in pairs], 1, SamplingParams(24, 0.0), generator(0)
    )
    hits = sum(
        policy.decode(answers[0].token_ids).startswith(wanted)
        for answers, (_, wanted) in zip(sampled, pairs, strict=True)
    )
    interval = wilson(hits, len(pairs))
    return {
        "n": len(pairs),
        "accuracy": hits / len(pairs),
        "low": interval.low,
        "high": interval.high,
    }


def exam_rows(examiner: Examiner, sets: Mapping[str, Sequence[Case]]) -> dict[str, Any]:
    """Answers to each set with three ways to start, then pass@k of half of it."""
    exams: dict[str, Any] = {}
    for name, cases in sets.items():
        for start, prefill, until in (
            ("free", "", ""),
            ("forced answer", FORCED_ANSWER, END_OF_ANSWER),
            ("forced think", FORCED_THINKING, ""),
        ):
            rows = examiner.ask(
                cases, SamplingParams(96, 0.0), generator(0), prefill=prefill, until=until
            )
            exams[f"{name}, {start}, greedy"] = summarise(flat(rows))
        half = cases[: len(cases) // 2]
        rows = examiner.ask(half, SamplingParams(96, 1.0), generator(0), answers_per_prompt=SAMPLES)
        sampled = summarise(flat(rows))
        for k in (1, 2, 4, 8):
            solved = [pass_at_k(SAMPLES, sum(r.correct for r in answers), k) for answers in rows]
            sampled[f"pass@{k}"] = fmean(solved)
        exams[f"{name}, free, sampled"] = sampled
    return exams


def examiner_of(model: str) -> Examiner:
    """The model as the rehearsals ask it."""
    policy = load_policy(ModelSpec(path=model))
    sampler = TorchSampler(policy.model, policy.stop_ids, policy.decode)
    return Examiner(policy, sampler, "think-answer", Grader())


def probe(model: str, n: int = 200) -> dict[str, Any]:
    """The whole table: single skills, then exam answers with three ways to start, then pass@k."""
    examiner = examiner_of(model)
    sampler = TorchSampler(examiner.policy.model, examiner.policy.stop_ids)
    skills = {
        name: skill(examiner.policy, sampler, pairs)
        for name, pairs in hop_questions(n, seed=0).items()
    }
    exams = exam_rows(examiner, {name: exam(name, n) for name in ("test-id", "test-ood")})
    return {"skills": skills, "exams": exams}


def report(table: Mapping[str, Any], model: str) -> None:
    """Print the table, and write probe.json into the model's folder if it is one."""
    shown = Table("what", "n", "accuracy", "format", "thinks", "pass@8")
    for name, row in {**table["skills"], **table["exams"]}.items():
        shown.add_row(
            name,
            str(row["n"]),
            f"{100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]",
            *(
                f"{row[key]:.2f}" if key in row else ""
                for key in ("format_rate", "think_rate", "pass@8")
            ),
        )
    Console().print(shown)
    if Path(model).is_dir():
        (Path(model) / "probe.json").write_text(json.dumps(table, indent=2) + "\n")


def main(
    model: str,
    n: Annotated[int, typer.Option(help="questions per row")] = 200,
) -> None:
    """Probe MODEL and write probe.json into its folder if it is one."""
    report(probe(model, n), model)


if __name__ == "__main__":
    typer.run(main)
