"""Supervised fine-tuning: weighted negative log-likelihood of the target tokens."""

from __future__ import annotations

import torch


def sft_loss(log_probs_BA: torch.Tensor, weights_BA: torch.Tensor) -> torch.Tensor:
    """``- sum w log pi(o_t | q, o_<t)``, a scalar; prompt tokens have weight 0."""
    return -(weights_BA * log_probs_BA).sum()
