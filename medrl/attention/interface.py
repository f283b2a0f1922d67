"""How our attention gets into a ``transformers`` model: its documented attention interface.

Every architecture built on that interface passes unknown keyword arguments of its forward down to
the attention function, so a structure reaches each layer, in a checkpointed recomputation too, and
no global state is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from medrl.errors import ModelError

NAME = "medrl"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a layer scores keys.

    Attributes:
        scale: what scores are multiplied by.
        window: a token sees this many tokens, itself included; ``None``: all before it.
        softcap: scores become ``softcap * tanh(score / softcap)``; ``None``: they stay.
    """

    scale: float
    window: int | None = None
    softcap: float | None = None


class Structure(Protocol):
    """Which tokens of a row see which."""

    def attend(
        self,
        layer: int,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        """Attention output [1, S, H, D] of a row of S tokens.

        Args:
            layer: number of the layer, for structures that keep keys and values.
            query_1HSD: [1, H, S, D]; keys and values have K heads, H a multiple of K.
        """
        ...


def install(model: PreTrainedModel) -> None:
    """Let a model take structures.

    Raises:
        ModelError: its attention is not built on the interface.
    """
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    # Asked for part by part, so that an image encoder keeps the attention it came with.
    text = model.config.get_text_config()
    model.set_attn_implementation(NAME if text is model.config else {"text_config": NAME})
    if text._attn_implementation != NAME:
        raise ModelError(
            f"{type(model).__name__} does not use transformers' attention interface",
            "this architecture is not supported yet; please open an issue naming it",
        )


def forward(
    trunk: nn.Module,
    tokens_1S: torch.Tensor,
    positions_XS: torch.Tensor,
    structure: Structure,
    **media: torch.Tensor,
) -> torch.Tensor:
    """Last hidden states [1, S, hidden] of one row of tokens under a structure.

    Args:
        trunk: the model without its head.
        positions_XS: position ids on X axes; one is enough where all would be alike.
        media: what the model's processor made of images, passed on unread.
    """
    # A mask of four dimensions counts as finished and is handed on; ours is never looked at.
    ready = tokens_1S.new_empty((1, 1, 1, 1), dtype=torch.bool)
    hidden: torch.Tensor = trunk(
        input_ids=tokens_1S,
        attention_mask=ready,
        # A model of text knows no axes.
        position_ids=positions_XS if len(positions_XS) == 1 else positions_XS[:, None],
        use_cache=False,
        structure=structure,
        **media,
    ).last_hidden_state
    return hidden


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    structure: Structure | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    **ignored: Any,
) -> tuple[torch.Tensor, None]:
    """What each layer calls. Dropout is ignored: a policy has none."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if structure is not None:
        layer = module.layer_idx
        assert isinstance(layer, int)
        if torch.is_autocast_enabled(query.device.type):  # rotary positions may have left fp32
            dtype = torch.get_autocast_dtype(query.device.type)
            query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        rule = Rule(scale, sliding_window, softcap)
        return structure.attend(layer, query, key, value, rule), None
    if attention_mask is None:  # transformers leaves out a mask that says "causal" only
        causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if causal and query.shape[2] > 1:
            attention_mask = causal_mask(query.shape[2], key.shape[2], query.device)
    rule = Rule(scale, softcap=softcap)
    return masked(query, key, value, attention_mask, rule).transpose(1, 2), None


def causal_mask(queries: int, keys: int, device: torch.device) -> torch.Tensor:
    """True [queries, keys] where a key is no later than the query; the last ones are aligned."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def masked(
    query_BHTD: torch.Tensor,
    key_BKSD: torch.Tensor,
    value_BKSD: torch.Tensor,
    mask: torch.Tensor | None,
    rule: Rule,
) -> torch.Tensor:
    """Attention [B, H, T, D] under a mask that says True where a key is seen, windows included."""
    repeats = query_BHTD.shape[1] // key_BKSD.shape[1]
    key, value = (x.repeat_interleave(repeats, 1) for x in (key_BKSD, value_BKSD))
    if rule.softcap is None:
        return scaled_dot_product_attention(query_BHTD, key, value, mask, scale=rule.scale)
    scores = query_BHTD @ key.transpose(-1, -2) * (rule.scale / rule.softcap)
    scores = rule.softcap * torch.tanh(scores)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if mask is not None:  # not infinity: padding may see nothing at all, and must not become NaN
        scores = scores.masked_fill(~mask, torch.finfo(torch.float32).min)
    return torch.softmax(scores, -1).to(value.dtype) @ value
