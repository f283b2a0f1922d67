"""Correction for answers sampled by other arithmetic than the learner's.

A fast sampler rounds differently, so it draws from a policy that is slightly not the learner's,
even with the same weights. Shapes: B episodes, A answer tokens (policy tokens of each episode,
padded at the right).
"""

from __future__ import annotations

from typing import Literal

import torch

Level = Literal["token", "sequence"]


@torch.no_grad()
def truncated_importance(
    log_probs_BA: torch.Tensor,
    behaviour_log_probs_BA: torch.Tensor,
    mask_BA: torch.Tensor,
    cap: float,
    level: Level,
) -> torch.Tensor:
    """``min(exp(l - l_sampler), cap)``: constant factors for the token losses.

    Truncated importance sampling (Ionides 2008; Yao et al. 2025 for foreign samplers): the cap
    bounds the variance and biases towards what the sampler prefers.

    Args:
        log_probs_BA: l in nats, of the learner *before* the update, not of the policy in training.
        behaviour_log_probs_BA: l_sampler in nats, as the sampler reported them.
        mask_BA: 1 on policy tokens.
        cap: above 0; 2 is usual.
        level: ``token``: each token its own ratio. ``sequence``: the ratio of the whole answer,
            the product over its tokens, on each of them: unbiased below the cap, but its variance
            grows with the length.

    Returns:
        factors [B, A] in [0, cap], 0 where ``mask_BA`` is 0; no gradient.

    Raises:
        ValueError: ``cap`` is not above 0, or the sampler left policy tokens without a finite
            number. Counting those as 1 would hide that they are not corrected at all.
    """
    if not cap > 0:
        raise ValueError(f"cap must be above 0, not {cap}")
    on_BA = mask_BA.bool()
    missing = int((~behaviour_log_probs_BA.isfinite() & on_BA).sum())
    if missing:
        raise ValueError(
            f"the sampler's log-probability is NaN or infinite on {missing} of "
            f"{int(on_BA.sum())} policy tokens"
        )
    log_ratio_BA = torch.where(on_BA, log_probs_BA - behaviour_log_probs_BA, 0.0)
    if level == "sequence":
        log_ratio_BA = log_ratio_BA.sum(1, keepdim=True)
    return torch.where(on_BA, log_ratio_BA.exp().clamp(max=cap), 0.0)
