"""Auxiliary models: trained from the base model beside the policy, for rewards and for data.

What such a stage leaves in the run folder: the model, as ``transformers`` loads it, and in
``quality.json`` how good it is on cases it was not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from medrl.cases.case import Case
from medrl.evaluation.evaluate import Examiner
from medrl.learning.groups import Group
from medrl.learning.learner import Learner
from medrl.learning.policy import Policy, load_policy, save_model
from medrl.learning.scoring import ScoreLearner, quality, score
from medrl.learning.supervised import SFTLearner
from medrl.learning.traces import fill, trace_groups
from medrl.schema import Recipe
from medrl.stages import NamedStage, PreferenceStage, ScoreStage, TraceStage

QUALITY = "quality.json"
TRACES = "traces.json"


class Auxiliary:
    """An auxiliary stage: its own model, who trains it, and what comes of it.

    Args:
        other: the held-out cases of a score stage, or those that a trace stage is to explain.
    """

    def __init__(
        self, recipe: Recipe, stage: TraceStage | ScoreStage, examiner: Examiner, other: list[Case]
    ) -> None:
        self.stage, self.examiner, self.other = stage, examiner, other
        scores = isinstance(stage, ScoreStage)
        self.policy: Policy = load_policy(recipe.model, examiner.policy.device, scores)
        self.learner: Learner
        if isinstance(stage, ScoreStage):
            self.learner = ScoreLearner(stage, self.policy, recipe.prompt)
        else:

            def write(cases: Sequence[Case], step: int) -> list[Group]:
                return trace_groups(self.policy, cases, examiner.grader)

            self.learner = SFTLearner(stage, self.policy, write)

    def finish(
        self, folder: Path, generator: torch.Generator, on_progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """Save the model, measure it, and write what it is for; returns what was measured."""
        save_model(self.policy, folder)
        measured = (
            self._measure_scores(self.stage, on_progress)
            if isinstance(self.stage, ScoreStage)
            else self._write_traces(self.stage, folder, generator, on_progress)
        )
        (folder / QUALITY).write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
        return measured

    def _measure_scores(
        self, stage: ScoreStage, on_progress: Callable[[int], None]
    ) -> dict[str, Any]:
        assert isinstance(self.learner, ScoreLearner)
        groups = self.learner.groups(self.other)
        scores = score(self.policy, groups, stage.token_budget)
        on_progress(len(groups))
        return asdict(quality(groups, scores, isinstance(stage, PreferenceStage)))

    def _write_traces(
        self,
        stage: TraceStage,
        folder: Path,
        generator: torch.Generator,
        on_progress: Callable[[int], None],
    ) -> dict[str, Any]:
        filled = fill(stage, self.policy, self.examiner, self.other, generator, on_progress)
        (folder / TRACES).write_text(json.dumps(filled.traces, indent=1), encoding="utf-8")
        return {
            "measure": "traces kept",
            "value": filled.kept,
            "n": filled.asked,
            "kept_at": list(filled.kept_at),
            "control": filled.control,
        }


def model_folder(run: Path, stages: Sequence[NamedStage], name: str) -> str:
    """Where the model is that a reward term names: ``stage:NAME`` is in the run folder."""
    if not name.startswith("stage:"):
        return name
    labels = [stage.label for stage in stages]
    return str(run / stage_folder(labels.index(name.removeprefix("stage:"))))


def stage_folder(index: int) -> str:
    """Folder of a run that holds what a stage ended with."""
    return f"stage-{index}"


def read_traces(run: Path, stages: Sequence[NamedStage], name: str) -> dict[str, str]:
    """What a trace stage of the run has written, by case id."""
    path = Path(model_folder(run, stages, f"stage:{name}")) / TRACES
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found
