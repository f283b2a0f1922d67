"""A whole run: load, evaluate, train the stages, evaluate again, save, summarise, report.

Every part leaves a trace in the run folder, so that a run killed anywhere goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from medrl.cases.case import Case
from medrl.cases.loading import load_cases
from medrl.clinic.exams import EXAM_SETS, exam
from medrl.errors import DataError, RecipeError, RunError
from medrl.evaluation.dynamics import StepSeries, label_phases, phase_timeline
from medrl.evaluation.evaluate import Examiner, Row, as_records, compare, flat, summarise
from medrl.grading import Grader
from medrl.grading.proof import prove
from medrl.learning.inputs import check_same, fingerprint
from medrl.learning.loop import Learner, PPOLearner, SFTLearner, restore_learner, run_stage
from medrl.learning.policy import Policy, load_policy, load_trained, save_model
from medrl.learning.progress import Display
from medrl.learning.rollout import encode_prompt, target_groups
from medrl.recipe import DataSpec, PPOStage, Recipe, SFTStage
from medrl.run import (
    Checkpoint,
    RunFolder,
    StopRequest,
    derive_seed,
    describe_machine,
    generator,
    peak_memory_bytes,
    resume,
)
from medrl.sampling.sampler import SamplingParams
from medrl.sampling.torch_sampler import TorchSampler

logger = logging.getLogger("medrl")

INPUTS = "inputs.json"
"""File of a run that holds the fingerprints of its model and data."""

MAX_TOO_LONG = 0.02
"""Share of cases that may be set aside because their prompts do not fit the model."""


class Stopped(Exception):
    """The run was asked to stop and did so cleanly; it can be resumed."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"stopped; resume with --resume {path}")
        self.path = path


def cases_of(spec: DataSpec, grader: Grader, clinic_seed: int = 0) -> list[Case]:
    """The cases a recipe names; each has proved that the grader can tell its right answer.

    Raises:
        DataError: unknown set, unreadable file, too many bad rows.
        RecipeError: a clinic set without a size.
    """
    source, _, exam_set = spec.source.partition(":")
    if source == "clinic":
        if exam_set not in EXAM_SETS:
            raise DataError(f"no clinic set {exam_set!r}", f"known: {', '.join(EXAM_SETS)}")
        if spec.size is None:
            raise RecipeError(f"{spec.source} is endless", "give it a size")
        cases = exam(exam_set, spec.size, spec.seed, clinic_seed)
        for case in cases:
            if fault := prove(case, grader):
                raise DataError(f"clinic case {case.id} cannot be graded: {fault}")
        return cases
    loaded = load_cases(
        spec.source, spec.path, spec.split, spec.size, prove=lambda case: prove(case, grader)
    )
    for row in loaded.rejected[:5]:
        logger.warning("set aside %s: %s", row.provenance, row.reason)
    if len(loaded.rejected) > 5:
        logger.warning("set aside %d rows of %s in all", len(loaded.rejected), spec.source)
    return list(loaded.cases)


def build_learner(
    recipe: Recipe, index: int, policy: Policy, sampler: TorchSampler, grader: Grader
) -> Learner:
    """The learner of one stage, freshly initialised from seed and stage alone."""
    stage = recipe.stages[index]
    torch.manual_seed(derive_seed(recipe.seed, "initialisation", index))
    if isinstance(stage, PPOStage):
        seed = derive_seed(recipe.seed, "learner", index)
        return PPOLearner(recipe, stage, policy, sampler, grader, seed)
    return SFTLearner(recipe, stage, policy, grader)


@dataclass(frozen=True)
class Parts:
    """What a recipe names, loaded and checked: the model, the grader and all cases."""

    policy: Policy
    grader: Grader
    train_cases: list[Case]
    sets: dict[str, list[Case]]

    def fingerprint(self) -> dict[str, str]:
        """See :mod:`medrl.learning.inputs`; only true before training changes the model."""
        return fingerprint(self.policy.model, self.train_cases, self.sets)


def grader_of(recipe: Recipe) -> Grader:
    """The one grader of a run."""
    return Grader(format=recipe.grader.format, strict_start=recipe.grader.strict_start)


def load_examiner(recipe: Recipe, model: str | None = None) -> Examiner:
    """An examiner with the recipe's prompt and grader for its model, or for another one.

    Raises:
        ModelError: see :func:`medrl.learning.policy.load_policy`.
    """
    path = model or recipe.model.path
    policy = load_policy(recipe.model.model_copy(update={"path": path}))
    sampler = TorchSampler(policy.model, policy.stop_ids, policy.pad_id)
    return Examiner(policy, sampler, recipe.prompt, grader_of(recipe))


def prepare(recipe: Recipe) -> Parts:
    """Load and check everything a run needs; writes nothing.

    Raises:
        ModelError, DataError, RecipeError: what is missing or does not fit, prompts that are too
            long for the model included.
    """
    torch.manual_seed(derive_seed(recipe.seed, "model"))  # LoRA's random half
    policy = load_policy(recipe.model)
    grader = grader_of(recipe)
    train_cases = cases_of(recipe.train, grader, recipe.clinic_seed)
    sets = {
        name: cases_of(spec, grader, recipe.clinic_seed)
        for name, spec in recipe.evaluation.sets.items()
    }
    rooms = [stage.max_new_tokens for stage in recipe.stages if isinstance(stage, PPOStage)]
    train_cases = fitting(policy, train_cases, recipe.prompt, max(rooms, default=0))
    for stage in recipe.stages:
        if isinstance(stage, SFTStage):
            target_groups(policy, train_cases, recipe.prompt, grader, stage.targets == "full")
    sets = {
        name: fitting(policy, cases, recipe.prompt, recipe.evaluation.max_new_tokens)
        for name, cases in sets.items()
    }
    return Parts(policy, grader, train_cases, sets)


def fitting(policy: Policy, cases: Sequence[Case], template: str, room: int) -> list[Case]:
    """The cases whose prompts leave ``room`` tokens for an answer; the others are named.

    Raises:
        DataError: more than ``MAX_TOO_LONG`` of the cases do not fit.
    """
    kept: list[Case] = []
    faults: list[DataError] = []
    for case in cases:
        try:
            encode_prompt(policy, case, template, room)
            kept.append(case)
        except DataError as error:
            faults.append(error)
    if len(faults) > MAX_TOO_LONG * len(cases):
        raise faults[0]
    for fault in faults:
        logger.warning("set aside %s", fault.message)
    return kept


class Session:
    """One run of one recipe in one folder."""

    def __init__(self, recipe: Recipe, parts: Parts, run: RunFolder, display: Display) -> None:
        self.recipe, self.run, self.display = recipe, run, display
        self.policy, self.grader = parts.policy, parts.grader
        self.train_cases, self.sets = parts.train_cases, parts.sets
        self.sampler = TorchSampler(self.policy.model, self.policy.stop_ids, self.policy.pad_id)
        self.examiner = Examiner(self.policy, self.sampler, recipe.prompt, self.grader)

    def train(self, checkpoint: Checkpoint | None) -> dict[str, Any]:
        """Run to the end, from ``checkpoint`` on; returns the summary.

        Raises:
            Stopped: a signal asked for a stop; the run folder can be resumed.
        """
        started = time.monotonic()
        self.display.banner(self.recipe, self.policy, len(self.train_cases))
        with StopRequest() as stop:
            self._evaluate("before", stop)
            tensors, state = checkpoint.load() if checkpoint else ({}, {"stage": 0, "step": 0})
            steps_before = 0
            for index, stage in enumerate(self.recipe.stages):
                if index >= state["stage"]:
                    resumed = bool(tensors) and index == state["stage"]
                    self._start_of_stage(index)
                    learner = build_learner(
                        self.recipe, index, self.policy, self.sampler, self.grader
                    )
                    if resumed:
                        restore_learner(learner, tensors, state)
                    self._run_stage(
                        index, stage, learner, stop, state["step"] if resumed else 0, steps_before
                    )
                steps_before += stage.steps
            self._evaluate("after", stop)
        with self.run.new_folder("model") as folder:
            save_model(self.policy, folder)
        return self._summarise(time.monotonic() - started)

    def _start_of_stage(self, index: int) -> None:
        """Bring the policy to where the stage starts: the base model or the end of the last one."""
        if index == 0:
            return
        weights = load_file(self.run.path / f"stage-{index - 1}" / "policy.safetensors")
        load_trained(self.policy.model, weights)

    def _run_stage(
        self,
        index: int,
        stage: PPOStage | SFTStage,
        learner: Learner,
        stop: StopRequest,
        first_step: int,
        steps_before: int,
    ) -> None:
        with self.display.stage(stage, first_step) as on_step:
            finished = run_stage(
                self.recipe,
                stage,
                index,
                learner,
                self.policy,
                self.train_cases,
                self.run,
                stop,
                first_step,
                steps_before,
                on_step,
            )
        if not finished:
            raise Stopped(self.run.path)
        if index + 1 < len(self.recipe.stages):
            with self.run.new_folder(f"stage-{index}") as folder:
                save_file(dict(learner.tensors()["policy"]), folder / "policy.safetensors")

    def _evaluate(self, moment: str, stop: StopRequest) -> None:
        """Evaluate every set unless this run already did so at this moment.

        Raises:
            Stopped: a stop was asked for; a resumed run evaluates all of it again.
        """
        known = self._evaluations()
        if moment in known or not self.sets:
            return
        spec = self.recipe.evaluation
        result = {}
        total = sum(map(len, self.sets.values()))
        with self.display.counting(f"evaluating {moment} training", total) as advance:

            def progress(done: int) -> None:
                if stop.requested:
                    raise Stopped(self.run.path)
                advance(done)

            for name, cases in self.sets.items():
                seeded = generator(
                    self.recipe.seed, "evaluation", moment, name, device=self.policy.device
                )
                params = SamplingParams(spec.max_new_tokens, spec.temperature)
                rows = flat(self.examiner.ask(cases, params, seeded, on_progress=progress))
                self.run.write_json(answers_file(moment, name), as_records(rows))
                result[name] = summarise(rows)
        if moment == "after":
            # First, because a moment that is recorded is never looked at again.
            self.run.record_evaluation(
                "comparison", {name: self._comparison(name) for name in self.sets}
            )
        self.run.record_evaluation(moment, result)

    def _comparison(self, name: str) -> dict[str, float]:
        before, after = (
            [Row(**record) for record in self.run.read_json(answers_file(moment, name))]
            for moment in ("before", "after")
        )
        return compare(after, before)

    def _evaluations(self) -> dict[str, Any]:
        if not (self.run.path / "evaluations.json").exists():
            return {}
        known: dict[str, Any] = self.run.read_json("evaluations.json")
        return known

    def _summarise(self, seconds: float) -> dict[str, Any]:
        """Write and return ``summary.json``: time, memory, throughput, accuracies, phases."""
        timings = self.run.read_lines("timings")
        metrics = [row for row in self.run.read_lines("metrics") if row["stage"] == "ppo"]

        def rate(tokens: str, clock: str) -> float:
            return float(
                sum(t[tokens] for t in timings) / max(1e-9, sum(t[clock] for t in timings))
            )

        known = self._evaluations()
        summary = {
            "recipe": self.recipe.name,
            "scale": self.recipe.scale,
            "seed": self.recipe.seed,
            "model": self.recipe.model.path,
            "wall_seconds": round(seconds, 1),
            "training_seconds": round(sum(t["seconds"] for t in timings), 1),
            "peak_memory_bytes": peak_memory_bytes(),
            "sampling_tokens_per_second": round(rate("sampled_tokens", "sampling_seconds")),
            "learning_tokens_per_second": round(rate("learned_tokens", "learning_seconds")),
            "evaluations": {
                name: {moment: known[moment][name] for moment in ("before", "after", "comparison")}
                for name in self.sets
            },
            "phases": phases_of(metrics),
            "machine": describe_machine(),
        }
        self.run.write_json("summary.json", summary)
        return summary


def answers_file(moment: str, name: str) -> str:
    """File of a run that holds every answer of one evaluation."""
    return f"answers-{moment}-{name}.json"


def phases_of(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Med-RLVR's phases in a run's metrics; ``start`` and ``end`` count from 1, both inclusive."""
    columns = (
        "format_rate",
        "response_tokens",
        "think_tokens",
        "pre_think_tokens",
        "early_answer_rate",
        "accuracy",
    )
    if not metrics:
        return []
    series = StepSeries(**{name: [row[name] for row in metrics] for name in columns})
    return [
        {"phase": str(span.phase), "start": span.start + 1, "end": span.end}
        for span in phase_timeline(label_phases(series))
    ]


def run_recipe(
    recipe: Recipe, path: Path, display: Display, overwrite: bool = False
) -> dict[str, Any]:
    """Start a run in a new folder and take it to its end.

    Args:
        overwrite: delete an older run in ``path``, once everything the new one needs is there.

    Raises:
        Stopped: see ``Session.train``.
        MedrlError: see ``prepare``; nothing has been written or deleted then.
    """
    parts = prepare(recipe)
    if overwrite:
        RunFolder.delete(path)
    with RunFolder.create(path, recipe.to_yaml()) as run:
        run.write_json(INPUTS, parts.fingerprint())
        return Session(recipe, parts, run, display).train(None)


def resume_run(recipe: Recipe, path: Path, display: Display) -> dict[str, Any]:
    """Go on with the newest valid checkpoint of a run.

    Raises:
        RunError: the run has already finished, all its checkpoints are damaged, or its model or
            data are not what they were.
    """
    with RunFolder.open(path) as run:
        if (path / "summary.json").exists():
            raise RunError(f"{path} has already finished", f"see {path}/report.html")
        parts = prepare(recipe)
        if (path / INPUTS).exists():
            check_same(run.read_json(INPUTS), parts.fingerprint(), str(path))
        else:  # killed in its very first moment
            run.write_json(INPUTS, parts.fingerprint())
        return Session(recipe, parts, run, display).train(resume(run))
