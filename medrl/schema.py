"""What may stand in a recipe: every field, its unit, its range and what it means.

Values that cannot work together are refused here, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import yaml
from pydantic import Field, model_validator

from medrl.cases.auditing import AuditSpec
from medrl.cases.spec import (
    ClueSpec,
    DataSpec,
    DifficultySpec,
    LengthSpec,
    TrainSpec,
    refuse_noise,
    sets_of,
)
from medrl.environments.kinds import ENVIRONMENTS, AnyEnvironment
from medrl.grading.grader import ALL_FORMS, Form
from medrl.judges import JudgeSpec
from medrl.learning.plateau import PlateauSpec
from medrl.learning.std_filter import StdFilterSpec
from medrl.part import Part, Positive, Rate
from medrl.patients import PatientSpec
from medrl.retrieval.tampering import TamperSpec
from medrl.rewards.reward import RewardSpec
from medrl.sampling.address import host_of, is_this_machine
from medrl.stages import AnyStage, MergeStage, NamedStage, RLStage, SFTStage, TraceStage


class ModelSpec(Part):
    """Which policy is trained and how it is loaded."""

    path: str
    """Folder, hub id, or ``clinic:text-base`` for the embedded base model."""
    chat: bool = False
    """Each prompt is a user's message in the model's own chat template (instruct models)."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; ``auto``: fp32 on CPU, bf16 on GPU. Weights stay fp32."""
    lora_rank: Annotated[int, Field(ge=0)] = 0
    """Rank of LoRA adapters, scaled by twice of it; 0 trains every weight."""
    lora_on: Literal["all", "attention"] = "all"
    """Linear layers that get adapters: all, or the attention of the part that reads text (RARL)."""
    gradient_checkpointing: bool = False
    """Compute layers again in the backward pass: a third more arithmetic, far less memory."""


class SamplerSpec(Part):
    """What draws the answers: medrl itself, vLLM beside it, or a vLLM server."""

    engine: Literal["torch", "vllm", "vllm-server"] = "torch"
    max_rows: Positive = 256
    """Of engine ``torch``: most answers written at the same time."""
    gpu_memory_utilization: Rate = 0.4
    """Of engine ``vllm``: its share of the GPU's memory; the learner needs the rest."""
    url: str | None = None
    """Of engine ``vllm-server``: where it listens. Its key, if it has one, is taken from the
    environment (MEDRL_VLLM_API_KEY): recipes are kept with every run."""
    weights_folder: str | None = None
    """Of engine ``vllm-server``: a folder that it sees under the same path, for new weights."""
    allow_remote: bool = False
    """Of engine ``vllm-server``: prompts may leave this machine."""

    @model_validator(mode="after")
    def _belongs_together(self) -> SamplerSpec:
        for name, engine in _ENGINE_OF.items():
            given = getattr(self, name) != SamplerSpec.model_fields[name].default
            if given and self.engine != engine:
                raise ValueError(
                    f"{name} is of engine {engine}, not {self.engine}; "
                    f"leave {name} out, or set engine: {engine}"
                )
        if self.engine == "vllm-server":
            self._check_server()
        return self

    def _check_server(self) -> None:
        if self.url is None or self.weights_folder is None:
            raise ValueError(
                "engine vllm-server needs url and weights_folder; "
                "as in url: http://127.0.0.1:8000, weights_folder: runs/weights"
            )
        if not host_of(self.url):
            raise ValueError(f"url {self.url!r} is no address; write http://127.0.0.1:8000")
        if not (self.allow_remote or is_this_machine(self.url)):
            raise ValueError(
                f"url {self.url} is not this machine, so prompts would leave it; "
                "serve on http://127.0.0.1:8000, or set allow_remote: true"
            )


_ENGINE_OF = {
    "max_rows": "torch",
    "gpu_memory_utilization": "vllm",
    "url": "vllm-server",
    "weights_folder": "vllm-server",
    "allow_remote": "vllm-server",
}
"""Which engine of a sampler has a setting."""


class GraderSpec(Part):
    """The one grader of the run, for reward and metric alike."""

    format: Literal["think_answer", "boxed", "free"] = "think_answer"
    strict_start: bool = False
    """True: text before the think tag breaks the format (then phase 5 cannot pay)."""
    forms: tuple[Form, ...] = ALL_FORMS
    """Places an answer is read from, in order of precedence; ``[boxed]`` reads the box alone."""


class EvaluationSpec(Part):
    """How the model is evaluated before and after training."""

    sets: dict[str, DataSpec] = Field(default_factory=dict)
    prompt: str = ""
    """Template or pool to evaluate with, and to find out how hard cases are; empty: that of
    training."""
    environment: AnyEnvironment | None = None
    """Whom the policy talks to in tests; none: whom it talks to in training."""
    max_new_tokens: Positive = 128
    """Of an answer, or of each turn."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy."""
    each_stage: bool = False
    """Also after every stage that changes the policy: what was learned, what was forgotten."""

    @model_validator(mode="after")
    def _as_they_are(self) -> EvaluationSpec:
        refuse_noise(self.sets)
        return self


class Recipe(Part):
    """A resolved recipe: everything a run depends on."""

    name: str
    summary: str
    scale: str
    seed: int = 0
    clinic_seed: int = 0
    """Which pairings of condition and question the clinic keeps for the out-of-distribution set."""
    model: ModelSpec
    prompt: str = "think-answer"
    """Template name, a text with {question} and {options}, or a pool of them (``pool:diverse``)."""
    environment: AnyEnvironment | None = None
    """Whom the policy talks to, turn by turn, and who pays then; none: it answers ``prompt``."""
    train: TrainSpec
    """One data set, or a list of several to be mixed."""
    difficulty: DifficultySpec | None = None
    """Which training cases are kept, by how hard they are; none: all are used."""
    sampler: SamplerSpec = SamplerSpec()
    grader: GraderSpec = GraderSpec()
    reward: RewardSpec = RewardSpec()
    stages: tuple[AnyStage, ...] = Field(min_length=1)
    evaluation: EvaluationSpec = EvaluationSpec()
    keep_checkpoints: Positive = 2
    episodes_kept: Annotated[int, Field(ge=0)] = 2
    """Episodes of each step written to the run folder for browsing."""

    @property
    def evaluation_prompt(self) -> str:
        """The template or pool that test questions are asked with."""
        return self.evaluation.prompt or self.prompt

    @property
    def evaluation_environment(self) -> AnyEnvironment | None:
        """Whom the policy talks to in tests."""
        return self.evaluation.environment or self.environment

    @property
    def train_sets(self) -> tuple[DataSpec, ...]:
        """The sets that ``train`` names."""
        return sets_of(self.train)

    @model_validator(mode="after")
    def _sources_are_there(self) -> Recipe:
        known = [spec.source for spec in self.train_sets]
        asked = self.difficulty.sources if self.difficulty else ()
        if unknown := [name for name in asked if name not in known]:
            raise ValueError(
                f"difficulty.sources has {unknown[0]!r}, which is not trained on; "
                f"use {', '.join(known)}"
            )
        return self

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Recipe:
        before: dict[str, NamedStage] = {}
        for stage in self.stages:
            if stage.label in before:
                raise ValueError(
                    f"stages has {stage.label!r} twice; give one of them a name of its own"
                )
            if stage.name in ("base", "before", "after", "comparison"):
                raise ValueError(f"name {stage.name!r} means something else; choose another")
            if isinstance(stage, MergeStage):
                self._check_merge(stage, before)
            traces = stage.traces if isinstance(stage, SFTStage) else ""
            if traces and not isinstance(before.get(traces), TraceStage):
                raise ValueError(
                    f"traces {traces!r} is no trace stage before this one; "
                    "name an earlier stage of objective trace"
                )
            self._check_terms(stage, before)
            before[stage.label] = stage
        if all(stage.auxiliary for stage in self.stages):
            raise ValueError("no stage trains the policy; add one of objective sft, ppo, grpo ...")
        return self

    def _check_merge(self, merge: MergeStage, before: Mapping[str, NamedStage]) -> None:
        if self.model.lora_rank:
            raise ValueError(
                "merge averages weights, and the average of adapters is not that; "
                "set model.lora_rank: 0"
            )
        there = [name for name, stage in before.items() if not stage.auxiliary]
        for name in merge.of:
            if name != "base" and name not in there:
                raise ValueError(
                    f"merge of {name!r}: no earlier stage of that name changes the policy; "
                    f"use {', '.join(['base', *there])}"
                )

    def _check_terms(self, stage: NamedStage, before: Mapping[str, NamedStage]) -> None:
        if not isinstance(stage, RLStage):
            return
        for term in (stage.reward or self.reward).terms:
            if term.term == "perception" and stage.perturb is None:
                raise ValueError(
                    "term perception compares with answers to perturbed pictures; "
                    "give the stage perturb: {kind: mask}"
                )
            model = getattr(term, "model", None)
            if isinstance(model, str) and model.startswith("stage:"):
                name = model.removeprefix("stage:")
                if name not in before or not before[name].auxiliary:
                    raise ValueError(
                        f"term {term.term}: {model} is no model that an earlier stage trains; "
                        "name a stage of objective bradley_terry or verifier before this one"
                    )

    def to_yaml(self) -> str:
        """The resolved recipe as YAML, readable and loadable."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, width=100)


PARTS: tuple[type[Part], ...] = (
    Recipe,
    ModelSpec,
    DataSpec,
    ClueSpec,
    LengthSpec,
    DifficultySpec,
    SamplerSpec,
    GraderSpec,
    RewardSpec,
    StdFilterSpec,
    PlateauSpec,
    AuditSpec,
    JudgeSpec,
    EvaluationSpec,
    *ENVIRONMENTS.values(),
    PatientSpec,
    TamperSpec,
)
"""All mappings of a recipe but its stages."""
