"""Learning from labels on whole answers: preferred over another, or right and wrong.

Shapes: P pairs, B answers. Losses come one per pair or answer; a mean over an update is the
caller's, so that micro-batches of it add up.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def dpo_loss(
    chosen_P: torch.Tensor,
    rejected_P: torch.Tensor,
    ref_chosen_P: torch.Tensor,
    ref_rejected_P: torch.Tensor,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``- log sigma(beta [(l_w - l_w_ref) - (l_l - l_l_ref)])`` (Rafailov et al. 2023).

    Args:
        chosen_P, rejected_P: log-probability in nats of the whole answer, the *sum* over its
            tokens, under the policy being trained.
        ref_chosen_P, ref_rejected_P: the same under the reference; constant.
        beta: above 0; the larger, the closer the policy stays to the reference.

    Returns:
        (losses [P] in nats, reward margins [P]): the margin is the term in brackets times beta, by
        how much the implied reward prefers the chosen answer; without gradient, for logging. Where
        policy and reference agree the loss is log 2 and the margin 0.

    Raises:
        ValueError: ``beta`` is not above 0.
    """
    if not beta > 0:
        raise ValueError(f"beta must be above 0, not {beta}")
    margins_P = beta * ((chosen_P - ref_chosen_P) - (rejected_P - ref_rejected_P))
    return -functional.logsigmoid(margins_P), margins_P.detach()


def bradley_terry_loss(chosen_P: torch.Tensor, rejected_P: torch.Tensor) -> torch.Tensor:
    """``- log sigma(r_w - r_l)``: a reward model from preferences (Bradley and Terry 1952).

    Args:
        chosen_P, rejected_P: scores of the two answers, any real numbers.

    Returns:
        losses [P] in nats.
    """
    return -functional.logsigmoid(chosen_P - rejected_P)


def verifier_loss(logits_B: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
    """``- y log sigma(z) - (1 - y) log sigma(-z)``: is this answer right?

    Args:
        logits_B: z, the verifier's log-odds that the answer is right.
        labels_B: y, 1 right and 0 wrong; bool, whole numbers, or shares in [0, 1].

    Returns:
        losses [B] in nats.
    """
    return functional.binary_cross_entropy_with_logits(
        logits_B, labels_B.to(logits_B.dtype), reduction="none"
    )
