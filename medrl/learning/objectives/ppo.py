"""Clipped policy and value losses (PPO, Schulman et al. 2017; GRPO, DAPO, GSPO). Pure functions.

Shapes: B episodes, A answer tokens (policy tokens of each episode, padded at the right).
``weights_BA`` comes from :func:`medrl.learning.objectives.weights.token_weights`. It is the mask as
well: a token counts if its weight is not 0, and what stands elsewhere has no influence.
"""

from __future__ import annotations

from typing import Literal

import torch

from medrl.learning.objectives.weights import keep_weighted

Ratio = Literal["token", "sequence"]


def policy_loss(
    log_probs_BA: torch.Tensor,
    old_log_probs_BA: torch.Tensor,
    advantages_BA: torch.Tensor,
    weights_BA: torch.Tensor,
    clip_low: float,
    clip_high: float,
    *,
    dual_clip: float | None = None,
    ratio: Ratio = "token",
    correction_BA: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``- sum w min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A)``, ``rho = exp(l - l_old)``.

    Args:
        log_probs_BA: l in nats, under the policy being trained.
        old_log_probs_BA: l_old, under the policy as it was at the start of the step; constant.
        advantages_BA: [B, A], or [B, 1] where all tokens of an answer share one.
        clip_low, clip_high: in [0, 1] and at least 0; DAPO's "clip higher" makes the second larger.
        dual_clip: c > 1 bounds what a token with A < 0 may cost: ``min(loss, -c A)``, so that one
            that became much likelier cannot dominate an update (Ye et al. 2020, as in verl, where
            c = 3). None: no bound.
        ratio: ``token``: rho of each token. ``sequence``: GSPO (Zheng et al. 2025,
            arXiv 2507.18071), ``(pi / pi_old)^(1/|o|) = exp(mean_t (l_t - l_old_t))``, the same on
            all tokens of an answer and differentiated through all of them; the paper's loss takes
            the weights of aggregation ``response``.
        correction_BA: further factors on the token losses, constant, e.g. from
            :func:`medrl.learning.objectives.importance.truncated_importance`.

    Returns:
        (loss, clipped share): two scalars; the share of weight on tokens that pass no gradient
        because a clip holds them. ``correction_BA`` does not enter the share.

    Raises:
        ValueError: ``dual_clip`` is not above 1.
    """
    if dual_clip is not None and not dual_clip > 1:
        raise ValueError(f"dual_clip must be above 1, not {dual_clip}")
    log_ratio_BA = keep_weighted(log_probs_BA - old_log_probs_BA, weights_BA)
    if ratio == "sequence":
        lengths_B1 = (weights_BA != 0).sum(1, keepdim=True).clamp(min=1)
        log_ratio_BA = log_ratio_BA.sum(1, keepdim=True) / lengths_B1
    ratio_BA = log_ratio_BA.exp()
    advantages_BA = keep_weighted(advantages_BA, weights_BA)

    plain_BA = ratio_BA * advantages_BA
    clipped_BA = ratio_BA.clamp(1 - clip_low, 1 + clip_high) * advantages_BA
    gain_BA = torch.minimum(plain_BA, clipped_BA)
    if dual_clip is not None:
        least_BA = dual_clip * advantages_BA
        gain_BA = torch.where((advantages_BA < 0) & (gain_BA < least_BA), least_BA, gain_BA)
    clipped_share = (weights_BA * (gain_BA != plain_BA)).sum().detach()
    if correction_BA is not None:
        gain_BA = gain_BA * keep_weighted(correction_BA.detach(), weights_BA)
    return -(weights_BA * gain_BA).sum(), clipped_share


def value_loss(
    values_BA: torch.Tensor,
    old_values_BA: torch.Tensor,
    returns_BA: torch.Tensor,
    weights_BA: torch.Tensor,
    clip: float,
) -> torch.Tensor:
    """``1/2 sum w max((V - R)^2, (clip(V, V_old -+ c) - R)^2)``, a scalar.

    Args:
        values_BA: V of the critic being trained, in units of reward, like all but the weights.
        old_values_BA: V_old, of the critic as it was at the start of the step.
        returns_BA: R, what V should have foreseen.
        clip: c, at least 0: how far V may move in one step and still be paid for it.
    """
    old_values_BA = keep_weighted(old_values_BA, weights_BA)
    returns_BA = keep_weighted(returns_BA, weights_BA)
    values_BA = keep_weighted(values_BA, weights_BA)
    clipped_BA = old_values_BA + (values_BA - old_values_BA).clamp(-clip, clip)
    worst_BA = torch.maximum((values_BA - returns_BA) ** 2, (clipped_BA - returns_BA) ** 2)
    return 0.5 * (weights_BA * worst_BA).sum()
