"""Log-probabilities of the tokens the policy wrote, and nothing else.

The hidden states of the wanted positions are picked out *before* the output head, so logits exist
only for policy tokens; with many of them the head runs in chunks that the backward pass computes
again, and peak memory does not grow with vocabulary times length.
"""

from __future__ import annotations

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from medrl.attention import forward
from medrl.learning.layout import Layout
from medrl.model import causal_lm, head_logits

CHUNK_LOGITS = 2**24
"""Logits that exist at the same time: 64 MiB in fp32."""


def hidden_states(model: PreTrainedModel | PeftModel, layout: Layout) -> torch.Tensor:
    """Hidden states [N, D] that predict the policy tokens: normed, before the head."""
    trunk = causal_lm(model).base_model
    positions = layout.positions_XRS
    if layout.structure is None:
        several = {"position_ids": positions} if len(positions) > 1 else {}
        hidden_RSD = trunk(
            input_ids=layout.tokens_RS,
            attention_mask=layout.attention_RS,
            use_cache=False,
            **several,
            **layout.media,
        ).last_hidden_state
    else:
        hidden_RSD = forward(
            trunk, layout.tokens_RS, positions[:, 0], layout.structure, **layout.media
        )
    hidden_ND: torch.Tensor = hidden_RSD.flatten(0, 1)[layout.predicting_N]
    return hidden_ND


def token_log_probs(
    model: PreTrainedModel | PeftModel,
    hidden_ND: torch.Tensor,
    targets_N: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Log-probs [N] of each target token given what came before.

    The temperature must be the one used for sampling, so that the probability ratio compares like
    with like.
    """
    size = max(1, CHUNK_LOGITS // causal_lm(model).get_output_embeddings().weight.shape[0])
    if len(hidden_ND) <= size:
        return _chunk_log_probs(model, hidden_ND, targets_N, temperature)
    pieces = []
    for hidden, targets in zip(hidden_ND.split(size), targets_N.split(size), strict=True):
        if torch.is_grad_enabled():
            piece = checkpoint(
                _chunk_log_probs, model, hidden, targets, temperature, use_reentrant=False
            )
        else:
            piece = _chunk_log_probs(model, hidden, targets, temperature)
        pieces.append(piece)
    return torch.cat(pieces)


def _chunk_log_probs(
    model: PreTrainedModel | PeftModel,
    hidden_ND: torch.Tensor,
    targets_N: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    logits_NV = head_logits(model, hidden_ND)
    if temperature != 1:
        logits_NV = logits_NV / temperature
    return -cross_entropy(logits_NV, targets_N, reduction="none")


def answer_log_probs(
    model: PreTrainedModel | PeftModel, layout: Layout, temperature: float
) -> torch.Tensor:
    """Log-probs [B, A] of the policy tokens of each episode, 0 behind the end of an answer."""
    hidden_ND = hidden_states(model, layout)
    return layout.grid(token_log_probs(model, hidden_ND, layout.targets_N, temperature))
