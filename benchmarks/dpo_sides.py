"""One DPO step on either side: a preferred and a rejected answer to each of a few prompts.

TRL computes both answers behind their prompt each, padded to one batch. medrl lays out a pair like
a group of two, the prompt once. Both compute the reference's log-probs in every step, as is TRL's
default, take the mean loss over all pairs and one AdamW step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from bench_learner import LEARNING_RATE, given_group, make_policy
from bench_model import END, Lengths
from datasets import Dataset
from grpo_sides import Between, quiet, run_trainer
from measure import Clock, wait
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from medrl.learning.batching import micro_batches
from medrl.learning.groups import Group
from medrl.learning.layout import Layout, choose_mode, lay_out, members_of
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.objectives.preferences import dpo_loss
from medrl.learning.optimiser import adamw, step_optimizer
from medrl.learning.policy import Policy, ReferenceModel, pick_device
from medrl.stages import SFTStage

BETA = 0.1


@dataclass(frozen=True)
class Pair:
    """A prompt, the answer that was preferred and the other one; texts."""

    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True)
class PairJob:
    """What both sides do.

    Attributes:
        model: folder of the model.
        steps: pairs of each step.
        token_budget: tokens of one of medrl's micro-batches.
        computing: see :class:`measure.Clock`.
    """

    model: Path
    steps: list[list[Pair]]
    token_budget: int
    computing: bool = False

    def shortened(self, steps: int) -> PairJob:
        """The first steps of it."""
        return replace(self, steps=self.steps[:steps])


class MedrlPairs:
    """medrl's parts put together to a DPO step.

    Attributes:
        parameters: of the model.
        clock: part ``learning``.
        lengths: tokens of both answers to each prompt, of each step so far.
    """

    def __init__(self, job: PairJob) -> None:
        self.job, self.policy = job, make_policy(job.model)
        self.parameters = sum(p.numel() for p in self.policy.model.parameters())
        self.reference = ReferenceModel(self.policy)
        self.stage = SFTStage(  # for its optimiser settings
            objective="sft", steps=1, prompts_per_step=1, learning_rate=LEARNING_RATE
        )
        self.optimizer = adamw([(self.policy.trainable(), LEARNING_RATE)], self.stage)
        self.clock = Clock(self.policy.device, job.computing)
        self.lengths: list[Lengths] = []

    def step(self, index: int) -> None:
        """One step on the pairs of that number."""
        with self.clock.part("learning"):
            groups = [pair_group(self.policy, n, p) for n, p in enumerate(self.job.steps[index])]
            self._update(groups)
        self.lengths.append([[e.policy_tokens for e in g.episodes] for g in groups])

    def _update(self, groups: list[Group]) -> None:
        members, total = members_of(groups), 0.0
        mode = choose_mode(members, "auto")
        for rows in micro_batches(members, mode, self.job.token_budget):
            part = [members[b] for b in sorted(rows)]
            groups_of_rows = [m.group for m in part]
            if groups_of_rows[::2] != groups_of_rows[1::2]:
                raise ValueError("token_budget cuts a pair in two; raise it")
            layout = lay_out(part, mode, self.policy.pad_id, self.policy.device)
            loss = self._losses(layout).sum() / len(groups)
            loss.backward()
            total += loss.item()
        step_optimizer(self.optimizer, total, self.stage.max_grad_norm)

    def _losses(self, layout: Layout) -> torch.Tensor:
        """Losses of the pairs of a micro-batch, whose rows are chosen, rejected, chosen, ..."""
        with self.policy.arithmetic():
            policy_B = answer_log_probs(self.policy.model, layout, 1.0).sum(1)
            with torch.no_grad(), self.reference.active() as model:
                ref_B = answer_log_probs(model, layout, 1.0).sum(1)
        return dpo_loss(policy_B[::2], policy_B[1::2], ref_B[::2], ref_B[1::2], BETA)[0]


def pair_group(policy: Policy, number: int, pair: Pair) -> Group:
    """Both answers as the episodes of a group; each ends with the end-of-text token."""
    prompt = policy.encode_prompt(pair.prompt)
    answers = [[*policy.encode(a), policy.stop_ids[0]] for a in (pair.chosen, pair.rejected)]
    return given_group(number, prompt, answers, (1.0, 0.0))


class TRLPairs:
    """TRL's DPO trainer, interrupted before each step.

    Attributes:
        clock: part ``learning``.
        lengths: tokens of both answers to each prompt, of each step so far.
    """

    def __init__(self, job: PairJob) -> None:
        self.device = pick_device()
        self.clock = Clock(self.device, job.computing)
        self.lengths: list[Lengths] = []
        self.trainer = _Trainer(
            model=AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32),
            args=DPOConfig(
                **quiet(job.model, self.device),
                max_steps=len(job.steps),
                per_device_train_batch_size=len(job.steps[0]),
                beta=BETA,
                max_length=None,
            ),
            train_dataset=Dataset.from_list([_row(p) for step in job.steps for p in step]),
            processing_class=PreTrainedTokenizerFast.from_pretrained(job.model),
        )

    def run(self, before: Callable[[int], None]) -> None:
        """All steps of the job; ``before`` is called before each, outside of its time."""
        run_trainer(self.trainer, Between(self, before))

    def finish_step(self, started: float) -> None:
        """Book a step that began then."""
        wait(self.device)
        self.clock.book("learning", self.clock.now() - started)
        self.lengths.append(self.trainer.answer_tokens)


class _Trainer(DPOTrainer):
    """TRL's trainer; it also says how many tokens the answers it was given have."""

    answer_tokens: Lengths

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> Any:
        chosen, rejected = inputs["completion_mask"].sum(1).chunk(2)
        self.answer_tokens = torch.stack([chosen, rejected], 1).tolist()
        compute: Any = super().compute_loss  # TRL does not say what it takes
        return compute(model, inputs, *args, **more)


def _row(pair: Pair) -> dict[str, str]:
    """As TRL reads it: the answers carry the space before them, and their end."""
    return {
        "prompt": pair.prompt,
        "chosen": f" {pair.chosen} {END}",
        "rejected": f" {pair.rejected} {END}",
    }
