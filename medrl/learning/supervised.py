"""Learning from written answers: supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from medrl.cases.case import Case
from medrl.learning.batching import micro_batches
from medrl.learning.groups import Group
from medrl.learning.layout import answer_grid, choose_mode, lay_out, members_of
from medrl.learning.learner import DrawCases, Metrics, Tensors
from medrl.learning.logprobs import answer_log_probs
from medrl.learning.metrics import group_metrics
from medrl.learning.objectives.sft import sft_loss
from medrl.learning.objectives.weights import token_weights
from medrl.learning.optimiser import adamw, step_optimizer
from medrl.learning.policy import Policy, load_trained, trained
from medrl.stages import SFTStage, TraceStage


class SFTLearner:
    """Supervised fine-tuning on written answers: the papers' baseline, and cold starts.

    Args:
        write: the written answers of some cases at a step, as groups of one.
    """

    def __init__(
        self,
        stage: SFTStage | TraceStage,
        policy: Policy,
        write: Callable[[Sequence[Case], int], list[Group]],
    ) -> None:
        self.stage, self.policy, self.write = stage, policy, write
        self.optimizer: torch.optim.Optimizer = adamw(
            [(policy.trainable(), stage.learning_rate)], stage
        )

    def rollout(self, draw: DrawCases, step: int) -> list[Group]:
        """Write the target answer of each case."""
        return self.write(draw(0), step)

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """One optimiser step on the targets."""
        stage, policy, members = self.stage, self.policy, members_of(groups)
        mask_BA, _ = answer_grid(members, policy.device)
        weights_BA = token_weights(mask_BA, stage.aggregation)
        mode = choose_mode(members, stage.layout)
        total = 0.0
        for rows in micro_batches(members, mode, stage.token_budget):
            layout = lay_out([members[b] for b in rows], mode, policy.pad_id, policy.device)
            with policy.arithmetic():
                log_probs_BA = answer_log_probs(policy.model, layout, 1.0)
            loss = sft_loss(log_probs_BA, weights_BA[rows, : layout.shape[1]])
            loss.backward()
            total += loss.item()
        norm = step_optimizer(self.optimizer, total, stage.max_grad_norm)
        return group_metrics(policy, groups) | {"loss": total, "grad_norm": norm}

    def spending(self) -> Metrics:
        """Nothing: nobody is asked."""
        return {}

    def tensors(self) -> dict[str, Tensors]:
        """Trained policy weights."""
        return {"policy": trained(self.policy.model)}

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Restore what ``tensors`` returned."""
        load_trained(self.policy.model, tensors["policy"])
