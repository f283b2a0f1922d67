"""A whole run: load, evaluate, train the stages, evaluate again, save, summarise, report.

Every part leaves a trace in the run folder, so that a run killed anywhere goes on from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from medrl.cases.auditing import AuditSpec, audit
from medrl.cases.case import Case
from medrl.errors import DataError, RunError
from medrl.evaluation.dynamics import phases_of
from medrl.evaluation.evaluate import Examiner, flat
from medrl.learning.auxiliary import (
    QUALITY,
    Auxiliary,
    model_folder,
    read_traces,
    stage_folder,
)
from medrl.learning.conversing import setting_of, written_conversations
from medrl.learning.evaluations import Evaluations, Stopped, unless
from medrl.learning.gathering import Gatherer
from medrl.learning.groups import Group
from medrl.learning.inputs import INPUTS, check_recorded
from medrl.learning.learner import Learner, restore_learner
from medrl.learning.loop import run_stage
from medrl.learning.plateau import Plateau
from medrl.learning.policy import load_policy, load_trained, save_model, trained
from medrl.learning.preparation import Parts, prepare
from medrl.learning.progress import Display
from medrl.learning.reinforcement import RLLearner
from medrl.learning.rollout import target_groups
from medrl.learning.supervised import SFTLearner
from medrl.learning.traces import with_traces
from medrl.rewards.reward import Reward
from medrl.rewards.term import RewardContext
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
from medrl.schema import Recipe
from medrl.stages import (
    STAGES,
    GroupStage,
    MergeStage,
    NamedStage,
    PPOStage,
    RLStage,
    ScoreStage,
    SFTStage,
    Stage,
    TraceStage,
)

Resumed = tuple[Mapping[str, dict[str, torch.Tensor]], Mapping[str, Any]]
"""Tensors and state of the checkpoint that a stage goes on from."""


def build_learner(recipe: Recipe, index: int, examiner: Examiner, run: Path) -> Learner:
    """The learner of a stage that trains the policy, freshly initialised from seed and stage alone.

    It samples and grades with the examiner's own sampler and grader: reward and metric are one.

    Args:
        run: where earlier stages left the models that a reward term may name.
    """
    stage, policy, grader = recipe.stages[index], examiner.policy, examiner.grader
    folder, setting = partial(model_folder, run, recipe.stages), examiner.setting
    if recipe.environment != recipe.evaluation_environment:
        setting = setting_of(recipe.environment, policy, grader, folder)
    seed = derive_seed(recipe.seed, "learner", index)
    torch.manual_seed(derive_seed(recipe.seed, "initialisation", index))
    if isinstance(stage, SFTStage):
        full = stage.targets == "full"

        def write(cases: Sequence[Case], step: int) -> list[Group]:
            if setting is not None:
                drawn = derive_seed(seed, "step", step)
                return written_conversations(policy, cases, setting, grader, drawn)
            return target_groups(policy, cases, recipe.prompt, grader, full, step)

        return SFTLearner(stage, policy, write)
    assert isinstance(stage, PPOStage | GroupStage)
    reward = Reward(stage.reward or recipe.reward, RewardContext(policy, grader, folder))
    sampler = examiner.sampler
    gatherer = Gatherer(stage, policy, sampler, recipe.prompt, grader, reward, seed, setting)
    return RLLearner(stage, policy, gatherer, seed)


class Session:
    """One run of one recipe in one folder."""

    def __init__(self, recipe: Recipe, parts: Parts, run: RunFolder, display: Display) -> None:
        self.recipe, self.run, self.display = recipe, run, display
        self.examiner, self.policy = parts.examiner, parts.examiner.policy
        self.parts, self.train_cases, self.sets = parts, parts.train_cases, parts.sets
        self.evaluations = Evaluations(recipe, self.examiner, parts.sets, run, display)
        self.machine = describe_machine()  # now: the code may be another commit when the run ends

    def train(self, checkpoint: Checkpoint | None) -> dict[str, Any]:
        """Run to the end, from ``checkpoint`` on; returns the summary.

        Raises:
            Stopped: a signal asked for a stop; the run folder can be resumed.
        """
        started = time.monotonic()
        self.display.banner(self.recipe, self.policy, self.parts)
        with StopRequest() as stop:
            self.evaluations.record("before", stop)
            self.train_cases = self.evaluations.keep_by_difficulty(self.train_cases, stop)
            tensors, state = checkpoint.load() if checkpoint else ({}, {"stage": 0, "step": 0})
            steps_before = 0
            for index, stage in enumerate(self.recipe.stages):
                if index >= state["stage"]:
                    self._start_of_stage(index)
                    first = state["step"] if tensors and index == state["stage"] else 0
                    resumed = (tensors, state) if first else None
                    self._run_stage(index, stage, stop, resumed, steps_before)
                steps_before += stage.steps if isinstance(stage, Stage) else 0
            self.evaluations.record("after", stop)
        with self.run.new_folder("model") as folder:
            save_model(self.policy, folder)
        return self._summarise(time.monotonic() - started)

    def _start_of_stage(self, index: int) -> None:
        """Bring the policy to where the stage starts: the base model, or the end of the last stage
        that changed it."""
        stages = self.recipe.stages[:index]
        done = [i for i, stage in enumerate(stages) if not stage.auxiliary]
        if done:
            load_trained(self.policy.model, self._weights_after(done[-1]))

    def _weights_after(self, index: int) -> dict[str, torch.Tensor]:
        return load_file(self.run.path / stage_folder(index) / "policy.safetensors")

    def _run_stage(
        self,
        index: int,
        stage: NamedStage,
        stop: StopRequest,
        resumed: Resumed | None,
        steps_before: int,
    ) -> None:
        if isinstance(stage, MergeStage):
            self._merge(stage)
        elif isinstance(stage, TraceStage | ScoreStage):
            self._train_auxiliary(index, stage, stop, resumed, steps_before)
            return
        else:
            assert isinstance(stage, Stage)
            learner = build_learner(self.recipe, index, self.examiner, self.run.path)
            self._learn(index, stage, learner, stop, resumed, steps_before)
        if index + 1 < len(self.recipe.stages):
            with self.run.new_folder(stage_folder(index)) as folder:
                save_file(trained(self.policy.model), folder / "policy.safetensors")
            if self.recipe.evaluation.each_stage:
                self.evaluations.record(stage.label, stop)

    def _cases(self, index: int) -> list[Case]:
        """The training cases of a stage.

        Raises:
            DataError: a trace stage has written no reasoning for any of them, or auditors have let
                none of them pass.
        """
        stage, own = self.recipe.stages[index], self.parts.stages[index].cases
        cases = self.train_cases if own is None else own
        if isinstance(stage, RLStage) and stage.audit is not None:
            return self._audited(index, stage.audit, cases)
        if not (isinstance(stage, SFTStage) and stage.traces):
            return cases
        explained = with_traces(cases, read_traces(self.run.path, self.recipe.stages, stage.traces))
        if not explained:
            raise DataError(
                f"stage {index} ({stage.label}): the trace stage {stage.traces!r} has kept no "
                "trace for any of its cases",
                "give this stage the cases of its fill, or train the trace stage longer",
            )
        return explained

    def _audited(self, index: int, spec: AuditSpec, cases: Sequence[Case]) -> list[Case]:
        label, log = self.recipe.stages[index].label, StringIO()
        passed = audit(cases, spec.auditors(self.examiner.grader), log)
        self.run.write_text(f"audit-{label}.jsonl", log.getvalue())
        if not passed:
            raise DataError(
                f"stage {index} ({label}): the audit has dropped all of its cases",
                f"see audit-{label}.jsonl in {self.run.path}; leave audit out, or mend the cases",
            )
        self.display.note(f"{label}: the audit kept {len(passed)} of {len(cases)} cases")
        return passed

    def _learn(
        self,
        index: int,
        stage: Stage,
        learner: Learner,
        stop: StopRequest,
        resumed: Resumed | None,
        steps_before: int,
    ) -> None:
        """Train one stage to its end.

        Raises:
            Stopped: a stop was asked for.
        """
        first_step, plateau = 0, self._plateau(index, stage)
        if resumed:
            restore_learner(learner, *resumed)
            first_step = resumed[1]["step"]
            if plateau:
                plateau.accuracies = [*resumed[1]["validation"]]
        with self.display.stage(stage, first_step) as on_step:
            finished = run_stage(
                self.recipe,
                stage,
                index,
                learner,
                self._cases(index),
                self.run,
                stop,
                first_step,
                steps_before,
                on_step,
                plateau,
            )
        if not finished:
            raise Stopped(self.run.path)
        if plateau and plateau.reached:
            best = max(plateau.accuracies)
            self.display.note(f"{stage.label}: ended, validation accuracy stays at {best:.3f}")

    def _plateau(self, index: int, stage: Stage) -> Plateau | None:
        """What may end a stage early."""
        if not isinstance(stage, RLStage) or stage.plateau is None:
            return None
        cases = self.parts.stages[index].other

        def evaluate() -> float:
            params = SamplingParams(self.recipe.evaluation.max_new_tokens, 0.0)
            seeded = generator(self.recipe.seed, "plateau", index, device=self.policy.device)
            return fmean(row.correct for row in flat(self.examiner.ask(cases, params, seeded)))

        return Plateau(stage.plateau, evaluate)

    def _train_auxiliary(
        self,
        index: int,
        stage: TraceStage | ScoreStage,
        stop: StopRequest,
        resumed: Resumed | None,
        steps_before: int,
    ) -> None:
        """Train a model beside the policy, save and measure it."""
        torch.manual_seed(derive_seed(self.recipe.seed, "initialisation", index))
        other = self.parts.stages[index].other
        auxiliary = Auxiliary(self.recipe, stage, self.examiner, other)
        self._learn(index, stage, auxiliary.learner, stop, resumed, steps_before)
        seeded = generator(self.recipe.seed, "auxiliary", index, device=self.policy.device)
        with (
            self.display.counting(f"{stage.label}: held out", len(other)) as advance,
            self.run.new_folder(stage_folder(index)) as folder,
        ):
            measured = auxiliary.finish(folder, seeded, unless(stop, self.run, advance))
        self.display.note(
            f"{stage.label}: {measured['measure']} {measured['value']:.3f} of {measured['n']}"
        )

    def _merge(self, stage: MergeStage) -> None:
        """Bring the policy to the weighted mean of what earlier stages ended with."""
        labels = [s.label for s in self.recipe.stages]
        total = sum(stage.weights) or len(stage.of)
        shares = [w / total for w in stage.weights or (1.0,) * len(stage.of)]
        mean: dict[str, torch.Tensor] = {}
        for name, share in zip(stage.of, shares, strict=True):
            weights = (
                trained(load_policy(self.recipe.model, self.policy.device).model)
                if name == "base"
                else self._weights_after(labels.index(name))
            )
            for key, value in weights.items():
                mean[key] = mean.get(key, 0.0) + share * value
        load_trained(self.policy.model, mean)

    def _stage_results(self, known: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One entry per stage: what it trained, and how good policy or auxiliary model then was."""
        results = []
        taken = Counter(row.get("name", row["stage"]) for row in self.run.read_lines("metrics"))
        last = len(self.recipe.stages) - 1
        for index, stage in enumerate(self.recipe.stages):
            entry: dict[str, Any] = {"name": stage.label, "objective": stage.objective}
            if isinstance(stage, Stage):
                entry["steps"] = taken[stage.label]
            if stage.auxiliary:
                entry["quality"] = self.run.read_json(f"{stage_folder(index)}/{QUALITY}")
            elif (moment := "after" if index == last else stage.label) in known:
                entry["evaluations"] = known[moment]
            results.append(entry)
        return results

    def _summarise(self, seconds: float) -> dict[str, Any]:
        """Write and return ``summary.json``: time, memory, throughput, accuracies, phases."""
        timings = self.run.read_lines("timings")
        metrics = [r for r in self.run.read_lines("metrics") if _samples(str(r["stage"]))]

        def rate(tokens: str, clock: str) -> float:
            return float(
                sum(t[tokens] for t in timings) / max(1e-9, sum(t[clock] for t in timings))
            )

        known = self.evaluations.known()
        changed, parameters = self.policy.sizes()
        summary = {
            "recipe": self.recipe.name,
            "scale": self.recipe.scale,
            "seed": self.recipe.seed,
            "model": self.recipe.model.path,
            "parameters": parameters,
            "trained_parameters": changed,
            "wall_seconds": round(seconds, 1),
            "training_seconds": round(sum(t["seconds"] for t in timings), 1),
            "peak_memory_bytes": peak_memory_bytes(),
            "sampling_tokens_per_second": round(rate("sampled_tokens", "sampling_seconds")),
            "learning_tokens_per_second": round(rate("learned_tokens", "learning_seconds")),
            "evaluations": {
                name: {moment: known[moment][name] for moment in ("before", "after", "comparison")}
                for name in self.sets
            },
            "stages": self._stage_results(known),
            "phases": phases_of(metrics),
            "machine": self.machine,
        }
        self.run.write_json("summary.json", summary)
        return summary


def _samples(objective: str) -> bool:
    """Whether the answers of a stage are sampled, not written."""
    return issubclass(STAGES[objective], RLStage)


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
        if run.checkpoint_paths() or (path / INPUTS).exists():
            check_recorded(path, parts.fingerprint())
        else:  # killed in its very first moment, before anything came of the inputs
            run.write_json(INPUTS, parts.fingerprint())
        return Session(recipe, parts, run, display).train(resume(run))
