"""The training loop. There is one, and this is it.

cases -> groups -> verdicts -> advantages -> loss -> update -> metrics -> checkpoint

A *learner* holds what one objective needs (``PPOLearner``, ``SFTLearner``); the loop itself does
not know which it drives. Everything random is derived from (seed, stage, step), so a step can be
repeated bit for bit after a resume without any stored generator state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from medrl.cases.case import Case
from medrl.errors import TrainingDiverged
from medrl.grading import Grader
from medrl.learning.advantages import gae, token_rewards, whiten
from medrl.learning.batching import micro_batches
from medrl.learning.critic import Critic
from medrl.learning.groups import Episode, Group, flatten
from medrl.learning.logprobs import (
    Batch,
    hidden_states,
    pad_episodes,
    policy_log_probs,
    predicting_positions,
)
from medrl.learning.metrics import episode_record, group_metrics
from medrl.learning.objectives.ppo import policy_loss, value_loss
from medrl.learning.objectives.sft import sft_loss
from medrl.learning.objectives.weights import token_weights
from medrl.learning.optimiser import adamw, set_learning_rate, step_optimizer
from medrl.learning.order import cases_for_step
from medrl.learning.policy import Policy, ReferenceModel, load_trained, trainable, trained
from medrl.learning.rollout import sample_groups, target_groups
from medrl.recipe import PPOStage, Recipe, SFTStage
from medrl.run import (
    RunFolder,
    StopRequest,
    derive_seed,
    generator,
    optimizer_to_tensors,
    peak_memory_bytes,
    restore_optimizer,
    save_checkpoint,
)
from medrl.sampling.sampler import Sampler, SamplingParams

Metrics = dict[str, float]
Tensors = Mapping[str, torch.Tensor]


class Learner(Protocol):
    """What one objective needs to take a step."""

    optimizer: torch.optim.Optimizer

    def rollout(self, cases: Sequence[Case], step: int) -> list[Group]:
        """Groups for these cases: sampled and graded, or written."""
        ...

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """Advantages, losses, optimiser steps; returns what to log."""
        ...

    def tensors(self) -> dict[str, Tensors]:
        """Everything trained, for a checkpoint."""
        ...

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Put back what ``tensors`` returned."""
        ...


def run_stage(
    recipe: Recipe,
    stage: PPOStage | SFTStage,
    stage_index: int,
    learner: Learner,
    policy: Policy,
    cases: Sequence[Case],
    run: RunFolder,
    stop: StopRequest,
    first_step: int,
    steps_before: int,
    on_step: Callable[[Metrics], None],
) -> bool:
    """Train one stage from ``first_step`` on; True when it finished, False when asked to stop.

    Args:
        steps_before: steps of earlier stages; checkpoints count steps over the whole run.
        on_step: shown the metrics of each step (the progress display).

    Raises:
        TrainingDiverged: a loss or gradient is not finite. The last checkpoint stays good.
    """
    seed = derive_seed(recipe.seed, "stage", stage_index)

    def checkpoint(done: int) -> None:
        optimizer, groups = optimizer_to_tensors(learner.optimizer)
        save_checkpoint(
            run,
            steps_before + done,
            {**learner.tensors(), "optimizer": optimizer},
            {"stage": stage_index, "step": done, "optimizer": groups},
            recipe.keep_checkpoints,
        )

    if first_step == 0:
        checkpoint(0)
    for step in range(first_step, stage.steps):
        started = time.perf_counter()
        batch_cases = cases_for_step(cases, step, stage.prompts_per_step, seed)
        groups = learner.rollout(batch_cases, step)
        sampled = time.perf_counter()
        set_learning_rate(learner.optimizer, stage, step)
        try:
            metrics = group_metrics(policy, groups) | learner.update(groups, step)
        except TrainingDiverged as error:
            raise TrainingDiverged(
                f"stage {stage_index} ({stage.objective}), step {step + 1}: {error.message}; the "
                f"last good checkpoint is {_newest(run)}",
                "lower learning_rate or max_grad_norm and use --resume",
            ) from error
        ended = time.perf_counter()

        place = {"stage": stage.objective, "step": step + 1}
        run.log("metrics", place | metrics)
        run.log(
            "timings",
            place
            | {
                "seconds": ended - started,
                "sampling_seconds": sampled - started,
                "learning_seconds": ended - sampled,
                "sampled_tokens": sum(e.policy_tokens for e in flatten(groups)),
                "learned_tokens": sum(len(e.token_ids) for e in flatten(groups)),
                "peak_memory_bytes": peak_memory_bytes(),
            },
        )
        for group in groups[: recipe.episodes_kept]:
            run.log("episodes", place | episode_record(group))
        on_step(metrics)
        last = step + 1 == stage.steps
        if last or stop.requested or (step + 1) % stage.checkpoint_every == 0:
            checkpoint(step + 1)
        if stop.requested and not last:
            return False
    return True


@dataclass
class _Frozen:
    """What one PPO step holds fixed while the policy moves. All [B, T-1], see ``Batch``."""

    batch: Batch
    mask_BT: torch.Tensor
    old_log_probs_BT: torch.Tensor
    old_values_BT: torch.Tensor
    advantages_BT: torch.Tensor
    returns_BT: torch.Tensor


class PPOLearner:
    """PPO with a critic, GAE and a KL penalty in the token reward (Med-RLVR)."""

    def __init__(
        self,
        recipe: Recipe,
        stage: PPOStage,
        policy: Policy,
        sampler: Sampler,
        grader: Grader,
        seed: int,
    ) -> None:
        self.recipe, self.stage, self.policy = recipe, stage, policy
        self.sampler, self.grader, self.seed = sampler, grader, seed
        self.critic = Critic(policy.model, stage.critic).to(policy.device)
        self.reference = ReferenceModel(policy) if stage.kl_coefficient > 0 else None
        self.optimizer: torch.optim.Optimizer = adamw(
            [
                (policy.trainable(), stage.learning_rate),
                (trainable(self.critic), stage.critic_learning_rate),
            ],
            stage,
        )

    def rollout(self, cases: Sequence[Case], step: int) -> list[Group]:
        """Sample, grade and reward ``answers_per_prompt`` answers to each case."""
        return sample_groups(
            self.policy,
            self.sampler,
            cases,
            self.recipe.prompt,
            self.grader,
            self.recipe.reward,
            self.stage.answers_per_prompt,
            SamplingParams(self.stage.max_new_tokens, self.stage.temperature),
            generator(self.seed, "sampling", step, device=self.policy.device),
        )

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """One PPO step: freeze, then ``epochs_per_step`` x ``minibatches`` optimiser steps."""
        stage, episodes = self.stage, flatten(groups)
        frozen, metrics = self._freeze(episodes)
        shuffle = generator(self.seed, "minibatches", step)
        sums = {"policy_loss": 0.0, "value_loss": 0.0, "clipped_share": 0.0, "grad_norm": 0.0}
        for _ in range(stage.epochs_per_step):
            order = torch.randperm(len(episodes), generator=shuffle)
            for minibatch in order.tensor_split(stage.minibatches):
                for name, value in self._minibatch_step(frozen, minibatch).items():
                    sums[name] += value
        updates = stage.epochs_per_step * stage.minibatches
        return metrics | {name: value / updates for name, value in sums.items()}

    def _minibatch_step(self, frozen: _Frozen, rows_B: torch.Tensor) -> Metrics:
        """One optimiser step on the given episodes, in micro-batches under the token budget."""
        stage = self.stage
        weights_BT = torch.zeros_like(frozen.advantages_BT)
        weights_BT[rows_B] = token_weights(frozen.mask_BT[rows_B], stage.aggregation)
        lengths = frozen.batch.attention_BT[rows_B].sum(1).tolist()
        totals = {"policy_loss": 0.0, "value_loss": 0.0, "clipped_share": 0.0}
        for micro in micro_batches(lengths, stage.token_budget):
            rows = rows_B[micro]
            batch = frozen.batch.rows(rows)
            cut = batch.tokens_BT.shape[1] - 1
            weights = weights_BT[rows, :cut]
            with self.policy.arithmetic():
                hidden_BTD = hidden_states(self.policy.model, batch)
                log_probs_BT = policy_log_probs(
                    self.policy.model, hidden_BTD, batch, stage.temperature
                )
                values_BT = self.critic(batch, hidden_BTD)
            pg_loss, clipped = policy_loss(
                log_probs_BT,
                frozen.old_log_probs_BT[rows, :cut],
                frozen.advantages_BT[rows, :cut],
                weights,
                stage.clip_low,
                stage.clip_high,
            )
            v_loss = value_loss(
                values_BT,
                frozen.old_values_BT[rows, :cut],
                frozen.returns_BT[rows, :cut],
                weights,
                stage.value_clip,
            )
            (pg_loss + stage.value_coefficient * v_loss).backward()
            totals["policy_loss"] += pg_loss.item()
            totals["value_loss"] += v_loss.item()
            totals["clipped_share"] += clipped.item()
        loss = totals["policy_loss"] + stage.value_coefficient * totals["value_loss"]
        norm = step_optimizer(self.optimizer, loss, stage.max_grad_norm)
        return totals | {"grad_norm": norm}

    @torch.no_grad()
    def _freeze(self, episodes: Sequence[Episode]) -> tuple[_Frozen, Metrics]:
        """Old log-probs, reference log-probs, values, rewards and advantages of a step."""
        stage, policy = self.stage, self.policy
        batch = pad_episodes(episodes, policy.pad_id, policy.device)
        mask_BT = predicting_positions(batch).float()
        old_BT = batch.behaviour_BT[:, 1:]  # the sampler's own: no second pass while on-policy
        ref_BT, values_BT = old_BT.clone(), torch.zeros_like(old_BT)
        for rows in micro_batches([len(e.token_ids) for e in episodes], stage.token_budget):
            part = batch.rows(rows)
            cut = part.tokens_BT.shape[1] - 1
            with policy.arithmetic():
                hidden_BTD = hidden_states(policy.model, part)
                values_BT[rows, :cut] = self.critic(part, hidden_BTD)
                if self.reference is not None:
                    with self.reference.active() as model:
                        ref_BT[rows, :cut] = policy_log_probs(
                            model, hidden_states(model, part), part, stage.temperature
                        )
        reward_B = torch.tensor([e.reward for e in episodes], device=policy.device)
        rewards_BT = token_rewards(reward_B, old_BT, ref_BT, mask_BT, stage.kl_coefficient)
        advantages_BT, returns_BT = gae(rewards_BT, values_BT, mask_BT, stage.gamma, stage.lam)
        tokens = mask_BT.sum().clamp(min=1)
        metrics = {
            "kl": float(((old_BT - ref_BT) * mask_BT).sum() / tokens),
            "value": float((values_BT * mask_BT).sum() / tokens),
            "explained_variance": explained_variance(values_BT, returns_BT, mask_BT),
        }
        whitened_BT = whiten(advantages_BT, mask_BT)
        return _Frozen(batch, mask_BT, old_BT, values_BT, whitened_BT, returns_BT), metrics

    def tensors(self) -> dict[str, Tensors]:
        """Trained policy weights and the critic's own weights."""
        return {"policy": trained(self.policy.model), "critic": trained(self.critic)}

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Restore what ``tensors`` returned."""
        load_trained(self.policy.model, tensors["policy"])
        load_trained(self.critic, tensors["critic"])


class SFTLearner:
    """Supervised fine-tuning on written answers: the paper's baseline, and cold starts."""

    def __init__(self, recipe: Recipe, stage: SFTStage, policy: Policy, grader: Grader) -> None:
        self.recipe, self.stage, self.policy, self.grader = recipe, stage, policy, grader
        self.optimizer: torch.optim.Optimizer = adamw(
            [(policy.trainable(), stage.learning_rate)], stage
        )

    def rollout(self, cases: Sequence[Case], step: int) -> list[Group]:
        """Write the target answer of each case."""
        return target_groups(
            self.policy, cases, self.recipe.prompt, self.grader, self.stage.targets == "full"
        )

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """One optimiser step on the targets."""
        stage, policy, episodes = self.stage, self.policy, flatten(groups)
        batch = pad_episodes(episodes, policy.pad_id, policy.device)
        weights_BT = token_weights(predicting_positions(batch), stage.aggregation)
        total = 0.0
        for rows in micro_batches([len(e.token_ids) for e in episodes], stage.token_budget):
            part = batch.rows(rows)
            with policy.arithmetic():
                log_probs_BT = policy_log_probs(
                    policy.model, hidden_states(policy.model, part), part, 1.0
                )
            loss = sft_loss(log_probs_BT, weights_BT[rows, : part.tokens_BT.shape[1] - 1])
            loss.backward()
            total += loss.item()
        norm = step_optimizer(self.optimizer, total, stage.max_grad_norm)
        return {"loss": total, "grad_norm": norm}

    def tensors(self) -> dict[str, Tensors]:
        """Trained policy weights."""
        return {"policy": trained(self.policy.model)}

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Restore what ``tensors`` returned."""
        load_trained(self.policy.model, tensors["policy"])


def restore_learner(
    learner: Learner, tensors: Mapping[str, dict[str, torch.Tensor]], state: Mapping[str, Any]
) -> None:
    """Put a checkpoint's weights and optimiser back into a freshly built learner."""
    learner.load(tensors)
    restore_optimizer(learner.optimizer, tensors["optimizer"], state["optimizer"])


def explained_variance(
    values_BT: torch.Tensor, returns_BT: torch.Tensor, mask_BT: torch.Tensor
) -> float:
    """``1 - Var(returns - values) / Var(returns)`` over masked tokens, at most 1.

    1: the critic foresees everything; 0: no more than a constant would; 0 as well if all returns
    are equal, since there is nothing to explain.
    """
    spread = float(_variance(returns_BT, mask_BT))
    unexplained = float(_variance(returns_BT - values_BT, mask_BT))
    return 1 - unexplained / spread if spread > 1e-8 else 0.0


def _variance(values_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    count = mask_BT.sum().clamp(min=1)
    mean = (values_BT * mask_BT).sum() / count
    return (((values_BT - mean) * mask_BT) ** 2).sum() / count


def _newest(run: RunFolder) -> str:
    paths = run.checkpoint_paths()
    return str(paths[max(paths)]) if paths else "none"
