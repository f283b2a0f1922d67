"""The stages of a recipe: what each kind may be told, its units and ranges.

Values that cannot work together are refused here, before anything is loaded.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medrl.cases.auditing import AuditSpec
from medrl.cases.perturbation import PerturbationSpec
from medrl.cases.spec import DataSpec, TrainSpec
from medrl.learning.critic import CriticKind
from medrl.learning.layout import ModeChoice
from medrl.learning.objectives.importance import Level
from medrl.learning.objectives.kl import Estimator
from medrl.learning.objectives.ppo import Ratio
from medrl.learning.objectives.weights import Aggregation
from medrl.learning.plateau import PlateauSpec
from medrl.learning.std_filter import StdFilterSpec
from medrl.part import Part, Positive, Rate, Share
from medrl.rewards.reward import RewardSpec


class NamedStage(Part):
    """What every part of a recipe's course has."""

    objective: str
    name: str = ""
    """What other stages and reward terms call it; empty: its objective."""

    @property
    def label(self) -> str:
        """Its name, or its objective."""
        return self.name or self.objective

    @property
    def auxiliary(self) -> bool:
        """Whether it trains a model of its own, from the base model, and not the policy."""
        return False


class Stage(NamedStage):
    """What every stage that trains has."""

    train: TrainSpec | None = None
    """Its own training cases, one set or a list to be mixed; none: the recipe's."""
    steps: Positive
    prompts_per_step: Positive
    """Cases per step."""
    learning_rate: Rate
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Linear warm-up; constant afterwards."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    token_budget: Positive = 8192
    """Most tokens, padding included, in one micro-batch; a hard cap. Sets the peak memory."""
    checkpoint_every: Positive = 10
    """Steps between checkpoints."""


class RLStage(Stage):
    """What stages that learn from rewards have in common."""

    reward: RewardSpec | None = None
    """Its own reward; none: the recipe's."""
    perturb: PerturbationSpec | None = None
    """Every case is also answered with its pictures perturbed (CAPO), for the term ``perception``
    and for measuring what the pictures are worth; nothing is learned from these answers."""
    audit: AuditSpec | None = None
    """Open questions that do not fit their answers are left out or mended first (MedCCO); what was
    decided is written to ``audit-<stage>.jsonl``. ``{}``: by rules."""
    plateau: PlateauSpec | None = None
    """End before ``steps`` are done, when accuracy on held-out cases has stopped rising."""
    answers_per_prompt: Positive = 1
    max_new_tokens: Positive
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sample from the k likeliest tokens only; 0: from all."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Sample from the likeliest tokens that make up this probability; 1: from all."""
    allow_truncated_sampling: bool = False
    """Permit top_k and top_p, which bias the probability ratio of what is learned."""
    epochs_per_step: Positive = 1
    """Passes over the episodes of a step."""
    minibatches: Positive = 1
    """Optimiser updates per pass; the answers to a prompt stay together."""
    clip_low: Share = 0.2
    clip_high: Annotated[float, Field(ge=0)] = 0.2
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.001
    """beta of the KL penalty to the model at the start of the stage."""
    aggregation: Aggregation = "response"
    """Mean over tokens of each response, over all tokens, or a constant length."""
    importance_cap: Annotated[float, Field(gt=0)] = 2.0
    """Cap of the correction for a sampler whose log-probs are not the learner's (vLLM)."""
    importance_level: Level = "token"
    layout: ModeChoice = "auto"
    """How tokens are computed: ``shared`` (each prompt once), ``packed``, ``plain``, or by gain."""

    @model_validator(mode="after")
    def _fits_together(self) -> RLStage:
        if self.minibatches > self.prompts_per_step:
            raise ValueError(
                f"minibatches is {self.minibatches} but a step has only {self.prompts_per_step} "
                "prompts; lower minibatches or raise prompts_per_step"
            )
        if (self.top_k or self.top_p < 1) and not self.allow_truncated_sampling:
            raise ValueError(
                "top_k and top_p make sampled tokens likelier than their log-probs say, which "
                "biases what is learned; leave them out, or set allow_truncated_sampling: true"
            )
        if self.token_budget < self.max_new_tokens:
            raise ValueError(
                f"token_budget is {self.token_budget} but one answer may have "
                f"{self.max_new_tokens} tokens; raise token_budget"
            )
        if self.plateau and self.plateau.every * (1 + self.plateau.patience) > self.steps:
            raise ValueError(
                f"plateau looks every {self.plateau.every} steps and waits for "
                f"{self.plateau.patience} more, but the stage has only {self.steps} steps; "
                "lower every or patience, or leave plateau out"
            )
        return self


class PPOStage(RLStage):
    """PPO with a critic."""

    objective: Literal["ppo"]
    critic: CriticKind = "shared"
    critic_learning_rate: Rate = 1e-5
    value_clip: Annotated[float, Field(gt=0)] = 0.5
    value_coefficient: Annotated[float, Field(ge=0)] = 0.5
    """Weight of the value loss; matters to the policy only with a shared critic."""
    gamma: Share = 1.0
    lam: Share = 1.0
    aggregation: Literal["response", "token"] = "response"
    """Mean over tokens of each response (Med-RLVR's 1/|o|) or over all tokens."""


class GroupStage(RLStage):
    """The other answers to a prompt are the baseline; there is no critic."""

    answers_per_prompt: Annotated[int, Field(ge=2)] = 8
    advantage: Literal["std", "centred", "leave_one_out"] = "std"
    """Reward minus the group's mean, over its deviation or not; or minus the mean of the others."""
    ratio: Ratio = "token"
    """Probability ratio of each token, or of the whole answer (GSPO)."""
    kl_in: Literal["loss", "reward"] = "loss"
    kl_estimator: Estimator = "k3"
    max_length: Positive | None = None
    """L of aggregation ``constant``; none: max_new_tokens."""
    extra_batches: Annotated[int, Field(ge=0)] = 0
    """Dynamic sampling: at most so many further batches of prompts to replace groups whose
    answers all got the same reward."""
    std_filter: StdFilterSpec | None = None
    """Drop groups whose rewards hardly differ (RLPR); ``{}`` with RLPR's own numbers. With
    extra_batches they are replaced."""
    one_scale: bool = False
    """Bring the rewards of open questions to mean and deviation of those of closed ones (MedCCO's
    re-weighting); moving averages. An advantage that is divided by its group's deviation (``std``)
    is the same with and without."""
    gradients_by_form: bool = False
    """Measure the gradients of closed and of open questions apart (``grad_norm_closed``,
    ``grad_norm_open``); holds a second copy of the gradient."""
    overlong_buffer: Annotated[int, Field(ge=0)] = 0
    """Answers are punished up to -1 over the last so many tokens before max_new_tokens."""

    @model_validator(mode="after")
    def _takes_effect(self) -> GroupStage:
        # In expectation the gradient of k1 in the loss is 0, and what k2 and k3 in the reward
        # change is of second order in the distance to the reference.
        if self.kl_coefficient and (self.kl_in == "reward") != (self.kl_estimator == "k1"):
            raise ValueError(
                f"kl_estimator {self.kl_estimator} with kl_in {self.kl_in} does not hold the "
                "policy near its reference; use k2 or k3 with kl_in: loss, or k1 with kl_in: reward"
            )
        if self.max_length is not None and self.aggregation != "constant":
            raise ValueError(
                f"max_length has no effect with aggregation {self.aggregation}; "
                "leave max_length out, or set aggregation: constant"
            )
        if self.overlong_buffer > self.max_new_tokens:
            raise ValueError(
                f"overlong_buffer is {self.overlong_buffer} but max_new_tokens only "
                f"{self.max_new_tokens}; lower overlong_buffer"
            )
        return self


class GRPOStage(GroupStage):
    """Group-relative policy optimisation (Shao et al. 2024)."""

    objective: Literal["grpo"]


class DrGRPOStage(GroupStage):
    """GRPO without its two biases (Liu et al. 2025): no deviation, no length."""

    objective: Literal["dr_grpo"]
    advantage: Literal["std", "centred", "leave_one_out"] = "centred"
    aggregation: Aggregation = "constant"
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.0


class RLOOStage(GroupStage):
    """REINFORCE, leave-one-out (Ahmadian et al. 2024)."""

    objective: Literal["rloo"]
    advantage: Literal["std", "centred", "leave_one_out"] = "leave_one_out"
    kl_in: Literal["loss", "reward"] = "reward"
    kl_estimator: Estimator = "k1"


class DAPOStage(GroupStage):
    """Clip higher, token-level loss, dynamic sampling, overlong shaping (Yu et al. 2025)."""

    objective: Literal["dapo"]
    clip_high: Annotated[float, Field(ge=0)] = 0.28
    aggregation: Aggregation = "token"
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.0
    extra_batches: Annotated[int, Field(ge=0)] = 3


class GSPOStage(GroupStage):
    """Group sequence policy optimisation (Zheng et al. 2025)."""

    objective: Literal["gspo"]
    ratio: Ratio = "sequence"
    clip_low: Share = 3e-4
    clip_high: Annotated[float, Field(ge=0)] = 4e-4
    kl_coefficient: Annotated[float, Field(ge=0)] = 0.0


class SFTStage(Stage):
    """Supervised fine-tuning on targets written from the cases."""

    objective: Literal["sft"]
    layout: ModeChoice = "auto"
    targets: Literal["answer", "full"] = "answer"
    """``answer``: the answer block alone. ``full``: reasoning from the case, then the answer."""
    traces: str = ""
    """With targets ``full``: the trace stage that has written reasoning for cases without any."""
    aggregation: Literal["response", "token"] = "token"

    @model_validator(mode="after")
    def _has_a_use_for_traces(self) -> SFTStage:
        if self.traces and self.targets != "full":
            raise ValueError(
                "traces are reasoning, which targets answer leaves out; set targets: full"
            )
        return self


class TraceStage(Stage):
    """The thinking-trace model (WiNGPT): taught to explain a given answer, it then writes
    reasoning for cases that have none. Kept is what leads a reader to the answer.

    Training cases with a ``rationale`` teach; ``fill`` are the cases without one.
    """

    objective: Literal["trace"]
    layout: ModeChoice = "auto"
    aggregation: Literal["response", "token"] = "token"
    fill: DataSpec
    attempts: Positive = 4
    """Traces written for each case, at most; the first that passes the check is kept."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    max_new_tokens: Positive = 128

    @property
    def auxiliary(self) -> bool:
        """See :class:`NamedStage`."""
        return True


class ScoreStage(Stage):
    """A model that gives whole answers one number each."""

    layout: ModeChoice = "auto"
    test: DataSpec
    """Held-out cases that say how good it is."""
    head_learning_rate: Rate = 1e-3
    """Of the new linear head; the trunk has ``learning_rate``."""

    @property
    def auxiliary(self) -> bool:
        """See :class:`NamedStage`."""
        return True


class PreferenceStage(ScoreStage):
    """The preference reward model: pairs of answers, one preferred (Bradley and Terry)."""

    objective: Literal["bradley_terry"]


class VerifierStage(ScoreStage):
    """The verifier reward model: is this answer the same as the reference?"""

    objective: Literal["verifier"]


class MergeStage(NamedStage):
    """Average the weights that earlier stages ended with (WiNGPT's merged variant)."""

    objective: Literal["merge"]
    of: tuple[str, ...] = Field(min_length=2)
    """Stages by name; ``base`` is the model before all of them."""
    weights: tuple[Annotated[float, Field(ge=0)], ...] = ()
    """One number per stage, made to add up to 1; none: all alike."""

    @model_validator(mode="after")
    def _weighs_each(self) -> MergeStage:
        if self.weights and (len(self.weights) != len(self.of) or not sum(self.weights)):
            raise ValueError(
                f"weights are {len(self.weights)} for {len(self.of)} stages; "
                "give one per stage, not all 0, or leave weights out"
            )
        return self


AnyStage = Annotated[
    PPOStage
    | GRPOStage
    | DrGRPOStage
    | RLOOStage
    | DAPOStage
    | GSPOStage
    | SFTStage
    | TraceStage
    | PreferenceStage
    | VerifierStage
    | MergeStage,
    Field(discriminator="objective"),
]

STAGES: dict[str, type[NamedStage]] = {
    "ppo": PPOStage,
    "grpo": GRPOStage,
    "dr_grpo": DrGRPOStage,
    "rloo": RLOOStage,
    "dapo": DAPOStage,
    "gspo": GSPOStage,
    "sft": SFTStage,
    "trace": TraceStage,
    "bradley_terry": PreferenceStage,
    "verifier": VerifierStage,
    "merge": MergeStage,
}
"""Kinds of stage by objective."""
