"""How far the policy has moved from its reference, estimated on the tokens that were sampled.

Shapes: B episodes, A answer tokens (policy tokens of each episode, padded at the right).
"""

from __future__ import annotations

from typing import Literal

import torch

from medrl.learning.objectives.weights import keep_weighted

Estimator = Literal["k1", "k2", "k3"]

_BOUND = 10.0  # nats; exp(10) is a penalty of 22,000 on one token


def kl_estimate(
    log_probs_BA: torch.Tensor, ref_log_probs_BA: torch.Tensor, estimator: Estimator
) -> torch.Tensor:
    """One estimate per token of KL(pi || pi_ref) at the state of that token, in nats.

    With l = log pi and l_ref = log pi_ref of a token sampled from pi (Schulman, "Approximating KL
    divergence", 2020):

    ====== ============================ ========================= ==========================
    name   value                        expected value            expected gradient, as a loss
    ====== ============================ ========================= ==========================
    ``k1`` l - l_ref                    KL(pi || pi_ref)          0
    ``k2`` (l - l_ref)^2 / 2            near it for small steps   that of KL(pi || pi_ref)
    ``k3`` e^(l_ref-l) - (l_ref-l) - 1  KL(pi || pi_ref)          that of KL(pi_ref || pi)
    ====== ============================ ========================= ==========================

    k1 is unbiased but may be negative; k2 is biased, k3 unbiased (where pi covers all that pi_ref
    can say), and neither is ever negative. Value and gradient are different matters, because
    differentiating the loss goes through l but not through the sampling. So k1 belongs into the
    reward, where the policy gradient accounts for the sampling, and k2 or k3 into the loss. With
    tokens from an older policy all six statements are approximate. Over an answer, gradients are
    those at the states visited; how an early token changes which states those are is not in them.

    k3 holds its difference within +-10 nats (verl's "low_var_kl" has bounds too): a token further
    out keeps a finite penalty, passes no gradient and makes the estimate biased.

    Args:
        log_probs_BA: l, of the policy being trained.
        ref_log_probs_BA: l_ref, constant.

    Returns:
        estimates [B, A] in nats. Entries in padding mean nothing: weigh them with 0.
    """
    difference_BA = log_probs_BA - ref_log_probs_BA
    if estimator == "k1":
        return difference_BA
    if estimator == "k2":
        return 0.5 * difference_BA**2
    up_BA = (-difference_BA).clamp(-_BOUND, _BOUND)
    return torch.expm1(up_BA) - up_BA  # expm1: exp(x) - 1 would round small steps away


def kl_loss(
    log_probs_BA: torch.Tensor,
    ref_log_probs_BA: torch.Tensor,
    weights_BA: torch.Tensor,
    estimator: Estimator,
) -> torch.Tensor:
    """``sum w k``, a scalar in nats, to be multiplied by beta and added to the policy loss.

    Args:
        weights_BA: from :func:`medrl.learning.objectives.weights.token_weights`; tokens of weight 0
            have no influence, whatever stands there.
        estimator: ``k2`` or ``k3``; see :func:`kl_estimate` for why not ``k1``.
    """
    estimates_BA = kl_estimate(
        keep_weighted(log_probs_BA, weights_BA),
        keep_weighted(ref_log_probs_BA, weights_BA),
        estimator,
    )
    return (weights_BA * estimates_BA).sum()
