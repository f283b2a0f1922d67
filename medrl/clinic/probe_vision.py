"""What a base vision-language model can do before any reinforcement learning.

``python -m medrl.clinic.probe_vision MODEL`` prints the table and writes it beside the model: what
it sees by task, then exam answers with three ways to start, with the picture and without.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from medrl.cases.perturbation import PerturbationSpec
from medrl.clinic.phantoms.cases import phantom_cases
from medrl.clinic.phantoms.modality import LEVELS
from medrl.clinic.probe import exam_rows, examiner_of, report
from medrl.evaluation.evaluate import FORCED_THINKING, flat, summarise
from medrl.run import generator
from medrl.sampling.sampler import SamplingParams

EXAMS = ("phantoms-closed-test", "phantoms-open-test", "phantoms-closed-ood-test")


def probe(model: str, n: int = 200) -> dict[str, Any]:
    """The whole table; ``n`` questions a row."""
    examiner = examiner_of(model)
    skills: dict[str, Any] = {}
    for task in LEVELS:
        cases = phantom_cases(f"phantoms-{task}-test", n)
        rows = examiner.ask(cases, SamplingParams(96, 0.0), generator(0), prefill=FORCED_THINKING)
        skills[f"{task}, made to think"] = summarise(flat(rows))
    sets = {name: phantom_cases(name, n) for name in EXAMS}
    sets[f"{EXAMS[0]}, all grey"] = PerturbationSpec(kind="grey").twins(sets[EXAMS[0]], 0)
    return {"skills": skills, "exams": exam_rows(examiner, sets)}


def main(
    model: str,
    n: Annotated[int, typer.Option(help="questions per row")] = 200,
) -> None:
    """Probe MODEL and write probe.json into its folder if it is one."""
    report(probe(model, n), model)


if __name__ == "__main__":
    typer.run(main)
