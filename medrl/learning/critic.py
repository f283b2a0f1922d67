"""The critic: one value per state, from the policy's own trunk or from a copy of it."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from medrl.learning.layout import Layout
from medrl.learning.logprobs import hidden_states

CriticKind = Literal["shared", "copy"]


class Critic(nn.Module):
    """A linear value head on last hidden states.

    Args:
        model: the policy.
        kind: ``shared`` reads the policy's hidden states (cheap; the value gradient reaches the
            trunk), ``copy`` owns a copy of the policy as it is now (twice the memory, no
            interference).
    """

    def __init__(self, model: PreTrainedModel | PeftModel, kind: CriticKind) -> None:
        super().__init__()
        self.kind = kind
        self.trunk = copy.deepcopy(model) if kind == "copy" else None
        size = model.config.get_text_config().hidden_size
        self.head = nn.Linear(size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, layout: Layout, policy_hidden_ND: torch.Tensor) -> torch.Tensor:
        """Values [N] of the states in which the policy tokens were chosen."""
        hidden_ND = policy_hidden_ND
        if self.trunk is not None:
            hidden_ND = hidden_states(self.trunk, layout)
        values_N: torch.Tensor = self.head(hidden_ND.to(self.head.weight.dtype)).squeeze(-1)
        return values_N


def explained_variance(
    values_BA: torch.Tensor, returns_BA: torch.Tensor, mask_BA: torch.Tensor
) -> float:
    """``1 - Var(returns - values) / Var(returns)`` over masked tokens, at most 1.

    1: the critic foresees everything; 0: no more than a constant would; 0 as well if all returns
    are equal, since there is nothing to explain.
    """
    spread = float(_variance(returns_BA, mask_BA))
    unexplained = float(_variance(returns_BA - values_BA, mask_BA))
    return 1 - unexplained / spread if spread > 1e-8 else 0.0


def _variance(values_BA: torch.Tensor, mask_BA: torch.Tensor) -> torch.Tensor:
    count = mask_BA.sum().clamp(min=1)
    mean = (values_BA * mask_BA).sum() / count
    return (((values_BA - mean) * mask_BA) ** 2).sum() / count
