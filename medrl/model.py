"""A causal language model in two parts: the trunk that makes hidden states, the head that reads
them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedModel


def causal_lm(model: PreTrainedModel | PeftModel) -> Any:
    """The causal language model itself, adapters in place, without PEFT's outer shell."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def head_logits(model: PreTrainedModel | PeftModel, hidden_ND: torch.Tensor) -> torch.Tensor:
    """Logits [N, V] in fp32 as the model itself computes them, soft cap and scale included."""
    lm = causal_lm(model)
    logits_NV = lm.get_output_embeddings()(hidden_ND)
    scale = getattr(lm.config, "logit_scale", None)
    if scale is not None:
        logits_NV = logits_NV * scale
    divisor = getattr(lm.config, "logits_scaling", None)
    if divisor is not None:
        logits_NV = logits_NV / divisor
    cap = getattr(lm.config.get_text_config(), "final_logit_softcapping", None)
    if cap is not None:
        logits_NV = cap * torch.tanh(logits_NV / cap)
    result: torch.Tensor = logits_NV.float() if logits_NV.dtype != torch.float64 else logits_NV
    return without_marks(lm.config, result)


def without_marks(config: PreTrainedConfig, logits_NV: torch.Tensor) -> torch.Tensor:
    """Logits under which the mark of a picture is never written: where it stands, the model looks
    for a picture. Not infinite, so that entropies stay numbers."""
    mark = getattr(config, "image_token_id", None)
    if mark is None:
        return logits_NV
    column = torch.tensor([mark], device=logits_NV.device)
    return logits_NV.index_fill(-1, column, torch.finfo(logits_NV.dtype).min)


def weights_fingerprint(model: torch.nn.Module) -> str:
    """Short hash of every parameter and buffer, names and bits: any change to a model shows."""
    content = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        content.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        plain = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        content.update(plain.numpy().data)
    return content.hexdigest()[:16]
