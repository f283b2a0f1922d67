"""Advantages: from rewards to one number per policy token or per answer. Pure functions on tensors.

Shapes: B episodes, A answer tokens: the policy tokens of each episode in order, padded at the
right. ``mask_BA`` is 1 on policy tokens and 0 on padding; what stands in padding, garbage included,
has no influence. ``group_B`` numbers the group of each episode: equal numbers, same prompt. Groups
may have different sizes and their episodes need not be neighbours.
"""

from __future__ import annotations

from typing import Literal

import torch

Scale = Literal["std", "none"]


def token_rewards(
    reward_B: torch.Tensor,
    log_probs_BA: torch.Tensor,
    ref_log_probs_BA: torch.Tensor,
    mask_BA: torch.Tensor,
    kl_coefficient: float,
) -> torch.Tensor:
    """Episode reward on the last policy token, KL penalty on each.

    ``r_t = 1[t=T] R - beta (l - l_ref)``. The per-token KL is the k1 estimator,
    log pi_old(o_t) - log pi_ref(o_t), as in PPO for language models (Ziegler et al. 2019) and in
    Med-RLVR.

    Args:
        reward_B: R, one number per episode.
        log_probs_BA: l in nats, at most 0, under the policy that sampled the answers.
        ref_log_probs_BA: l_ref in nats, under the reference.
        kl_coefficient: beta, at least 0.

    Returns:
        rewards [B, A], zero where ``mask_BA`` is 0. A row without policy tokens stays zero.
    """
    drift_BA = torch.where(mask_BA.bool(), log_probs_BA - ref_log_probs_BA, 0.0)
    rewards_BA = -kl_coefficient * drift_BA
    positions_A = torch.arange(mask_BA.shape[1], device=mask_BA.device)
    last_B = (mask_BA * (positions_A + 1)).argmax(dim=1)
    rows_B = torch.arange(len(reward_B), device=reward_B.device)
    has_tokens_B = mask_BA.any(dim=1).to(rewards_BA.dtype)
    rewards_BA[rows_B, last_B] += reward_B * has_tokens_B
    return rewards_BA


@torch.no_grad()
def gae(
    rewards_BA: torch.Tensor,
    values_BA: torch.Tensor,
    mask_BA: torch.Tensor,
    gamma: float,
    lam: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016) over policy tokens.

    ``delta_t = r_t + gamma V_{t+1} - V_t`` and ``A_t = delta_t + gamma lam A_{t+1}``. The value
    after the last policy token is 0. Neither result carries a gradient.

    Args:
        rewards_BA: reward of each token, e.g. from :func:`token_rewards`.
        values_BA: V of the state in which token t was chosen, in units of reward.
        mask_BA: the ones of a row are one unbroken run, as in compact answers. A hole inside a row
            would count as a state of value 0.
        gamma, lam: in [0, 1].

    Returns:
        (advantages [B, A], returns [B, A]), both zero where ``mask_BA`` is 0.
    """
    on_BA = mask_BA.bool()
    values_BA = torch.where(on_BA, values_BA, 0.0)
    next_values_BA = torch.nn.functional.pad(values_BA[:, 1:], (0, 1))
    deltas_BA = torch.where(on_BA, rewards_BA + gamma * next_values_BA - values_BA, 0.0)
    # Token by token down contiguous rows: padding holds zeros, so it hands on nothing.
    sums_AB = deltas_BA.T.contiguous()
    for t in range(len(sums_AB) - 2, -1, -1):
        sums_AB[t].add_(sums_AB[t + 1], alpha=gamma * lam)
    advantages_BA = torch.where(on_BA, sums_AB.T, 0.0)
    return advantages_BA, advantages_BA + values_BA


def whiten(values_BA: torch.Tensor, mask_BA: torch.Tensor) -> torch.Tensor:
    """Zero mean and unit variance over the masked tokens: ``(A - mean) / sqrt(var + 1e-8)``.

    The variance is the unbiased one, as in verl; a single token gives zero.

    Returns:
        whitened values [B, A], without unit, zero where ``mask_BA`` is 0.
    """
    on_BA = mask_BA.bool()
    count = on_BA.sum().clamp(min=1)
    mean = torch.where(on_BA, values_BA, 0.0).sum() / count
    centred_BA = torch.where(on_BA, values_BA - mean, 0.0)
    variance = centred_BA.pow(2).sum() / (count - 1).clamp(min=1)
    return centred_BA * torch.rsqrt(variance + 1e-8)


def group_advantages(rewards_B: torch.Tensor, group_B: torch.Tensor, scale: Scale) -> torch.Tensor:
    """How much better than its group each answer is.

    ``std``: ``(R - mean) / (std + 1e-6)`` with the unbiased standard deviation of the group (GRPO,
    Shao et al. 2024). ``none``: ``R - mean`` (Dr.GRPO, Liu et al. 2025), which does not weigh up
    questions that are nearly always or nearly never solved.

    A group of one has nothing to be compared with: mean 0 and standard deviation 1. Answers of a
    larger group whose rewards are all equal get exactly 0, not a rounding error divided by 1e-6.

    Args:
        rewards_B: floating, finite.
        group_B: whole numbers, any, in any order.

    Returns:
        advantages [B]; one number for all tokens of an answer.
    """
    index_B = _index(group_B)
    size_B = _group_sum(torch.ones_like(rewards_B), index_B)
    above_B = rewards_B - _group_extreme(rewards_B, index_B, "amin")
    centred_B = above_B - _group_sum(above_B, index_B) / size_B
    centred_B = torch.where(size_B > 1, centred_B, rewards_B)
    if scale == "none":
        return centred_B
    variance_B = _group_sum(centred_B**2, index_B) / (size_B - 1).clamp(min=1)
    std_B = torch.where(size_B > 1, variance_B.sqrt(), 1.0)
    return centred_B / (std_B + 1e-6)


def leave_one_out_advantages(rewards_B: torch.Tensor, group_B: torch.Tensor) -> torch.Tensor:
    """``R`` less the mean reward of the *other* answers of the group (RLOO, Kool et al. 2019).

    The baseline does not depend on the answer itself, so the policy gradient stays unbiased. It is
    ``G / (G - 1)`` times ``R - mean``. The baseline of a group of one is 0; equal rewards give
    exactly 0.

    Args:
        rewards_B: floating, finite.
        group_B: whole numbers, any, in any order.

    Returns:
        advantages [B] in units of reward.
    """
    index_B = _index(group_B)
    size_B = _group_sum(torch.ones_like(rewards_B), index_B)
    above_B = rewards_B - _group_extreme(rewards_B, index_B, "amin")
    others_B = (_group_sum(above_B, index_B) - above_B) / (size_B - 1).clamp(min=1)
    return torch.where(size_B > 1, above_B - others_B, rewards_B)


def live_groups(rewards_B: torch.Tensor, group_B: torch.Tensor) -> torch.Tensor:
    """Which episodes belong to a group whose rewards differ.

    The others teach nothing: their :func:`group_advantages` are 0. DAPO (Yu et al. 2025) draws
    further prompts in their place (dynamic sampling). A group of one never differs.

    Returns:
        bool [B], the same for all episodes of a group.
    """
    index_B = _index(group_B)
    highest_B = _group_extreme(rewards_B, index_B, "amax")
    return highest_B > _group_extreme(rewards_B, index_B, "amin")


def _index(group_B: torch.Tensor) -> torch.Tensor:
    """Group numbers made 0, 1, 2, ...: there are at most B of them, so B slots hold any sum."""
    index_B: torch.Tensor = torch.unique(group_B, return_inverse=True)[1]
    return index_B


def _group_sum(values_B: torch.Tensor, index_B: torch.Tensor) -> torch.Tensor:
    """Each episode's group sum, [B]."""
    return torch.zeros_like(values_B).index_add(0, index_B, values_B)[index_B]


def _group_extreme(
    values_B: torch.Tensor, index_B: torch.Tensor, which: Literal["amin", "amax"]
) -> torch.Tensor:
    """Each episode's group minimum or maximum, [B].

    Rewards are taken from their minimum before they are averaged: the mean of equal numbers need
    not be that number in floating point, the mean of zeros is 0.
    """
    slots_B = torch.zeros_like(values_B)
    return slots_B.scatter_reduce(0, index_B, values_B, which, include_self=False)[index_B]
