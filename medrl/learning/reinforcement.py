"""Learning from rewards: PPO with a critic, and the group objectives without one.

One update is: freeze what the policy was at its start, turn rewards into advantages, then take
optimiser steps on micro-batches laid out so that nothing is computed twice.

Shapes: B episodes of the step, A policy tokens of the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from medrl.learning.advantages import (
    gae,
    group_advantages,
    leave_one_out_advantages,
    live_groups,
    token_rewards,
    whiten,
)
from medrl.learning.batching import micro_batches
from medrl.learning.critic import Critic, explained_variance
from medrl.learning.forms import Form, GradientParts, form_of, rows_by_form
from medrl.learning.gathering import Gatherer
from medrl.learning.groups import Group, flatten
from medrl.learning.layout import (
    Layout,
    Member,
    Mode,
    answer_grid,
    choose_mode,
    lay_out,
    members_of,
    token_ratio,
)
from medrl.learning.learner import DrawCases, Metrics, Tensors
from medrl.learning.logprobs import hidden_states, token_log_probs
from medrl.learning.metrics import group_metrics
from medrl.learning.objectives.importance import truncated_importance
from medrl.learning.objectives.kl import kl_loss
from medrl.learning.objectives.overlong import overlong_penalty
from medrl.learning.objectives.ppo import policy_loss, value_loss
from medrl.learning.objectives.weights import token_weights
from medrl.learning.optimiser import adamw, step_optimizer
from medrl.learning.policy import Policy, ReferenceModel, load_trained, trainable, trained
from medrl.run import generator
from medrl.stages import GroupStage, PPOStage


@dataclass(frozen=True, slots=True)
class _Pass:
    """What the policy (and a critic) say of the answers of a micro-batch, [B, A] each."""

    log_probs: torch.Tensor
    values: torch.Tensor | None


@dataclass
class _Frozen:
    """What an update holds fixed while the policy moves. Tensors are [B, A].

    Attributes:
        old, ref: log-probs under the policy as it was, and under the reference.
        correction: factors for a foreign sampler, or ``None``.
        forms: of the question of each episode.
        old_values, returns: of the critic; zero without one.
        first: the forward pass of the only micro-batch of the only optimiser step, if this is all
            there is: what it found is both what was and what is learned from.
    """

    members: list[Member]
    forms: list[Form]
    mode: Mode
    mask: torch.Tensor
    old: torch.Tensor
    ref: torch.Tensor
    correction: torch.Tensor | None
    old_values: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    first: _Pass | None = None


class RLLearner:
    """PPO (Med-RLVR), GRPO, Dr.GRPO, RLOO, DAPO, GSPO: they differ in advantage and loss only."""

    def __init__(
        self,
        stage: PPOStage | GroupStage,
        policy: Policy,
        gatherer: Gatherer,
        seed: int,
    ) -> None:
        self.stage, self.policy, self.gatherer, self.seed = stage, policy, gatherer, seed
        self.critic: Critic | None = None
        groups = [(policy.trainable(), stage.learning_rate)]
        if isinstance(stage, PPOStage):
            self.critic = Critic(policy.model, stage.critic).to(policy.device)
            groups.append((trainable(self.critic), stage.critic_learning_rate))
        self.reference = ReferenceModel(policy) if stage.kl_coefficient > 0 else None
        self.optimizer: torch.optim.Optimizer = adamw(groups, stage)

    def rollout(self, draw: DrawCases, step: int) -> list[Group]:
        """See :meth:`medrl.learning.gathering.Gatherer.gather`."""
        return self.gatherer.gather(draw, step)

    def update(self, groups: Sequence[Group], step: int) -> Metrics:
        """One step: freeze, then ``epochs_per_step`` x ``minibatches`` optimiser steps."""
        stage = self.stage
        frozen, metrics = self._freeze(groups)
        group_B = torch.tensor([m.group for m in frozen.members])
        shuffle = generator(self.seed, "minibatches", step)
        sums: Metrics = {}
        for _ in range(stage.epochs_per_step):
            order = torch.randperm(len(groups), generator=shuffle)
            for chosen in order.tensor_split(stage.minibatches):
                rows_B = torch.isin(group_B, chosen).nonzero().squeeze(1)
                for name, value in self._minibatch_step(frozen, rows_B).items():
                    sums[name] = sums.get(name, 0.0) + value
        updates = stage.epochs_per_step * stage.minibatches
        metrics |= {name: value / updates for name, value in sums.items()}
        return group_metrics(self.policy, groups) | metrics | self.gatherer.outcome()

    def _minibatch_step(self, frozen: _Frozen, rows_B: torch.Tensor) -> Metrics:
        """One optimiser step on the given episodes, in micro-batches under the token budget."""
        stage = self.stage
        weights_BA = torch.zeros_like(frozen.mask)
        rows_B = rows_B.to(weights_BA.device)
        length = getattr(stage, "max_length", None) or stage.max_new_tokens
        weights_BA[rows_B] = token_weights(frozen.mask[rows_B], stage.aggregation, length)
        sums = {"loss": 0.0, "policy_loss": 0.0, "clipped_share": 0.0}

        def learn_from(part_B: torch.Tensor) -> None:
            for rows, layout in self._layouts(frozen, part_B):
                losses = self._losses(frozen, rows, layout, weights_BA)
                losses["loss"].backward()
                for name, value in losses.items():
                    sums[name] = sums.get(name, 0.0) + value.item()

        teaching_B = rows_B[self._teaches(frozen, rows_B)]
        if isinstance(stage, GroupStage) and stage.gradients_by_form:
            parts = GradientParts(self.policy.trainable())
            for form, part_B in rows_by_form(frozen.forms, teaching_B):
                learn_from(part_B)
                sums[f"grad_norm_{form}"] = parts.norm()
        else:
            learn_from(teaching_B)
        total = sums.pop("loss")
        return sums | {"grad_norm": step_optimizer(self.optimizer, total, stage.max_grad_norm)}

    def _losses(
        self, frozen: _Frozen, rows: torch.Tensor, layout: Layout, weights_BA: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The share of these episodes in the losses of an update; ``loss`` is what is minimised."""
        stage, width = self.stage, layout.shape[1]

        def part(grid_BA: torch.Tensor) -> torch.Tensor:
            return grid_BA[rows, :width]

        weights = part(weights_BA)
        now, frozen.first = frozen.first or self._pass(layout), None
        policy_part, clipped = policy_loss(
            now.log_probs,
            part(frozen.old),
            part(frozen.advantages),
            weights,
            stage.clip_low,
            stage.clip_high,
            ratio=stage.ratio if isinstance(stage, GroupStage) else "token",
            correction_BA=None if frozen.correction is None else part(frozen.correction),
        )
        losses = {"loss": policy_part, "policy_loss": policy_part, "clipped_share": clipped}
        if now.values is not None and isinstance(stage, PPOStage):
            returns, old_values = part(frozen.returns), part(frozen.old_values)
            losses["value_loss"] = value_loss(
                now.values, old_values, returns, weights, stage.value_clip
            )
            losses["loss"] = policy_part + stage.value_coefficient * losses["value_loss"]
        elif isinstance(stage, GroupStage) and self._kl_in_loss:
            losses["kl_loss"] = kl_loss(
                now.log_probs, part(frozen.ref), weights, stage.kl_estimator
            )
            losses["loss"] = policy_part + stage.kl_coefficient * losses["kl_loss"]
        return losses

    @property
    def _kl_in_loss(self) -> bool:
        stage = self.stage
        return isinstance(stage, GroupStage) and stage.kl_coefficient > 0 and stage.kl_in == "loss"

    def _teaches(self, frozen: _Frozen, rows_B: torch.Tensor) -> torch.Tensor:
        """Which episodes can have a gradient: without critic and KL loss, an advantage of 0 has
        none, and need not be computed."""
        if self.critic is not None or self._kl_in_loss:
            return torch.ones_like(rows_B, dtype=torch.bool)
        return (frozen.advantages[rows_B] != 0).any(1)

    def _layouts(
        self, frozen: _Frozen, rows_B: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, Layout]]:
        """Micro-batches of the given episodes: their rows, and their tokens laid out."""
        members = [frozen.members[b] for b in rows_B.tolist()]
        for index in micro_batches(members, frozen.mode, self.stage.token_budget):
            part = [members[i] for i in index]
            layout = lay_out(part, frozen.mode, self.policy.pad_id, self.policy.device)
            yield rows_B[index], layout

    def _pass(self, layout: Layout) -> _Pass:
        policy = self.policy
        with policy.arithmetic():
            hidden_ND = hidden_states(policy.model, layout)
            values = layout.grid(self.critic(layout, hidden_ND)) if self.critic else None
            return _Pass(self._log_probs(policy.model, hidden_ND, layout), values)

    def _log_probs(
        self, model: PreTrainedModel | PeftModel, hidden_ND: torch.Tensor, layout: Layout
    ) -> torch.Tensor:
        found_N = token_log_probs(model, hidden_ND, layout.targets_N, self.stage.temperature)
        return layout.grid(found_N)

    @torch.no_grad()
    def _freeze(self, groups: Sequence[Group]) -> tuple[_Frozen, Metrics]:
        """Old and reference log-probs, values, advantages of a step."""
        members = members_of(groups)
        mask, behaviour = answer_grid(members, self.policy.device)
        frozen = _Frozen(
            members,
            [form_of(groups[member.group].case) for member in members],
            choose_mode(members, self.stage.layout),
            mask,
            old=behaviour,  # the sampler's own: no second pass while on-policy
            ref=behaviour.clone(),
            correction=None,
            old_values=torch.zeros_like(mask),
            advantages=torch.zeros_like(mask),
            returns=torch.zeros_like(mask),
        )
        self._look_back(frozen, behaviour)
        reward_B = torch.tensor([e.reward for e in flatten(groups)], device=mask.device)
        tokens = mask.sum().clamp(min=1)
        metrics = {
            "kl": float(((frozen.old - frozen.ref) * mask).sum() / tokens),
            "token_ratio": token_ratio(members) if frozen.mode == "shared" else 1.0,
        }
        if isinstance(self.stage, PPOStage):
            return frozen, metrics | self._critic_advantages(frozen, reward_B, self.stage)
        return frozen, metrics | self._group_advantages(frozen, reward_B, self.stage)

    def _look_back(self, frozen: _Frozen, behaviour: torch.Tensor) -> None:
        """Everything that needs a pass through a model before it moves."""
        policy = self.policy
        foreign = not self.gatherer.sampler.exact
        if foreign:
            frozen.old = torch.zeros_like(behaviour)
        if self.critic is None and self.reference is None and not foreign:
            return
        every_row = torch.arange(len(frozen.members), device=behaviour.device)
        layouts = list(self._layouts(frozen, every_row))
        # Then the update's own pass would repeat this one: it is made with a graph, and kept.
        updates = self.stage.epochs_per_step * self.stage.minibatches
        only = self.critic is not None and len(layouts) == updates == 1
        for rows, layout in layouts:
            width = layout.shape[1]
            if self.critic is not None or foreign:
                with torch.set_grad_enabled(only):
                    before = self._pass(layout)
                frozen.first = before if only else None
                if before.values is not None:
                    frozen.old_values[rows, :width] = before.values.detach()
                if foreign:
                    frozen.old[rows, :width] = before.log_probs.detach()
            if self.reference is not None:
                with self.reference.active() as model, policy.arithmetic():
                    hidden_ND = hidden_states(model, layout)
                    frozen.ref[rows, :width] = self._log_probs(model, hidden_ND, layout)
        if foreign:
            frozen.correction = truncated_importance(
                frozen.old,
                behaviour,
                frozen.mask,
                self.stage.importance_cap,
                self.stage.importance_level,
            )
            if self.reference is None:
                frozen.ref = frozen.old.clone()

    def _critic_advantages(
        self, frozen: _Frozen, reward_B: torch.Tensor, stage: PPOStage
    ) -> Metrics:
        """PPO: KL in the token reward, GAE over the critic's values, whitened."""
        mask, values = frozen.mask, frozen.old_values
        rewards = token_rewards(reward_B, frozen.old, frozen.ref, mask, stage.kl_coefficient)
        advantages, frozen.returns = gae(rewards, values, mask, stage.gamma, stage.lam)
        frozen.advantages = whiten(advantages, mask)
        return {
            "value": float((values * mask).sum() / mask.sum().clamp(min=1)),
            "explained_variance": explained_variance(values, frozen.returns, mask),
        }

    def _group_advantages(
        self, frozen: _Frozen, reward_B: torch.Tensor, stage: GroupStage
    ) -> Metrics:
        """GRPO and its kin: one advantage per answer, against the other answers to its prompt."""
        group_B = torch.tensor([m.group for m in frozen.members], device=reward_B.device)
        alive = float(live_groups(reward_B, group_B).float().mean())
        if stage.overlong_buffer:
            lengths_B = frozen.mask.sum(1)
            reward_B = reward_B + overlong_penalty(
                lengths_B, stage.max_new_tokens, stage.overlong_buffer
            )
        if stage.kl_coefficient and stage.kl_in == "reward":
            kl_B = ((frozen.old - frozen.ref) * frozen.mask).sum(1)
            reward_B = reward_B - stage.kl_coefficient * kl_B
        if stage.advantage == "leave_one_out":
            advantage_B = leave_one_out_advantages(reward_B, group_B)
        else:
            advantage_B = group_advantages(
                reward_B, group_B, "std" if stage.advantage == "std" else "none"
            )
        frozen.advantages = advantage_B[:, None] * frozen.mask
        return {"live_groups": alive}

    def spending(self) -> Metrics:
        """What the judges of the last rollout cost."""
        return self.gatherer.spending()

    def tensors(self) -> dict[str, Tensors]:
        """Trained policy weights, the critic's own weights, and what the gatherer has seen."""
        found: dict[str, Tensors] = {"policy": trained(self.policy.model)}
        if self.critic is not None:
            found["critic"] = trained(self.critic)
        return found | self.gatherer.tensors()

    def load(self, tensors: Mapping[str, Tensors]) -> None:
        """Restore what ``tensors`` returned."""
        load_trained(self.policy.model, tensors["policy"])
        if self.critic is not None:
            load_trained(self.critic, tensors["critic"])
        self.gatherer.load(tensors)
