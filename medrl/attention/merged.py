"""Exact attention of grouped rows in pieces, for CPUs.

A token that continues a context attends to two sets of keys. Softmax over their union is the mean
of the two softmaxes weighted by their normalisers, so each piece can be computed where its keys
lie. Backwards the same kernel, given the *joint* output and normaliser, returns the exact share of
each piece, which is how ring attention (Liu et al. 2023) splits sequences over devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from medrl.attention.grouped import Bucket, GroupedRow

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def merged_attention(
    query_1HSD: torch.Tensor,
    key_1KSD: torch.Tensor,
    value_1KSD: torch.Tensor,
    row: GroupedRow,
    scale: float,
) -> torch.Tensor:
    """Attention output [1, S, H, D] of a row, differentiable once."""
    apply: Callable[..., torch.Tensor] = _Merged.apply
    return apply(query_1HSD, key_1KSD, value_1KSD, row, scale)


class _Merged(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        row: GroupedRow,
        scale: float,
    ) -> torch.Tensor:
        query_SHD, key_SKD, value_SKD = (
            x[0].transpose(0, 1) for x in (query_1HSD, key_1KSD, value_1KSD)
        )
        out_SHD = query_SHD.new_empty(query_SHD.shape)
        lse_SH = query_SHD.new_empty(query_SHD.shape[:2], dtype=_wide(query_SHD.dtype))
        for bucket, query, key, value, mask in _own(row, query_SHD, key_SKD, value_SKD):
            index_RL, real_RL = bucket.index_RL, bucket.real_RL
            out, lse = _flash(query, key, value, 0.0, mask is None, attn_mask=mask, scale=scale)
            real_N = index_RL[real_RL]
            out_SHD[real_N] = out.transpose(1, 2)[real_RL]
            lse_SH[real_N] = lse.transpose(1, 2)[real_RL].to(lse_SH.dtype)
        for context, answers in row.continued:
            query, key, value = _across(query_SHD, key_SKD, value_SKD, context, answers)
            out, lse = _flash(query, key, value, 0.0, False, scale=scale)
            out_AHD, lse_AH = _to_rows(out), _to_rows(lse[..., None]).squeeze(-1)
            share_AH1 = torch.sigmoid(lse_AH - lse_SH[answers])[..., None].to(out_SHD.dtype)
            out_SHD[answers] = torch.lerp(out_SHD[answers], out_AHD, share_AH1)
            lse_SH[answers] = torch.logaddexp(lse_SH[answers], lse_AH.to(lse_SH.dtype))
        ctx.save_for_backward(query_1HSD, key_1KSD, value_1KSD, out_SHD, lse_SH)
        ctx.row, ctx.scale = row, scale
        return out_SHD[None]

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_1SHD: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None, None]:
        *inputs, out_SHD, lse_SH = ctx.saved_tensors
        query_SHD, key_SKD, value_SKD = (x[0].transpose(0, 1) for x in inputs)
        grad_SHD, row, scale = grad_1SHD[0], ctx.row, ctx.scale
        d_query, d_key, d_value = (torch.empty_like(x) for x in (query_SHD, key_SKD, value_SKD))
        for bucket, query, key, value, mask in _own(row, query_SHD, key_SKD, value_SKD):
            index_RL, real_RL = bucket.index_RL, bucket.real_RL
            grad = (grad_SHD[index_RL] * real_RL[..., None, None]).transpose(1, 2)
            out, lse = out_SHD[index_RL].transpose(1, 2), lse_SH[index_RL].transpose(1, 2)
            parts = _flash_backward(
                grad, query, key, value, out, lse, 0.0, mask is None, attn_mask=mask, scale=scale
            )
            real_N = index_RL[real_RL]
            for whole, part in zip((d_query, d_key, d_value), parts, strict=True):
                part_RLHD = _fold(part, whole.shape[1]).transpose(1, 2)
                whole[real_N] = part_RLHD[real_RL]
        for context, answers in row.continued:
            query, key, value = _across(query_SHD, key_SKD, value_SKD, context, answers)
            heads = key.shape[0]
            grad, out, lse = (
                _to_heads(x[answers], heads) for x in (grad_SHD, out_SHD, lse_SH[..., None])
            )
            lse = lse.squeeze(-1)
            parts = _flash_backward(grad, query, key, value, out, lse, 0.0, False, scale=scale)
            d_query[answers] += _to_rows(parts[0])
            for whole, part in zip((d_key, d_value), parts[1:], strict=True):
                whole[context] += part.sum(1).transpose(0, 1)
        d_q, d_k, d_v = (x.transpose(0, 1)[None] for x in (d_query, d_key, d_value))
        return d_q, d_k, d_v, None, None


def _own(
    row: GroupedRow, query_SHD: torch.Tensor, key_SKD: torch.Tensor, value_SKD: torch.Tensor
) -> Iterator[tuple[Bucket, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    """Each bucket with its queries, keys and values [R, H, L, D] and its mask, if causal is not
    all there is to it: [R, 1, L, L], what is added to scores.

    Padding stands behind a span, where a causal query never looks.
    """
    repeats = query_SHD.shape[1] // key_SKD.shape[1]
    for bucket in row.buckets:
        query, key, value = (
            x[bucket.index_RL].transpose(1, 2) for x in (query_SHD, key_SKD, value_SKD)
        )
        if repeats > 1:
            key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
        mask = None
        if bucket.seen_RLL is not None:
            mask = query.new_zeros(bucket.seen_RLL.shape).masked_fill(~bucket.seen_RLL, -torch.inf)
            mask = mask[:, None]
        yield bucket, query, key, value, mask


def _across(
    query_SHD: torch.Tensor,
    key_SKD: torch.Tensor,
    value_SKD: torch.Tensor,
    context: slice,
    answers: slice,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries of a context's answers [K, H/K, A, D], keys and values of the context, repeated
    over query heads without a copy."""
    heads = key_SKD.shape[1]
    query = _to_heads(query_SHD[answers], heads)
    key, value = (
        x[context].transpose(0, 1)[:, None].expand(-1, query.shape[1], -1, -1)
        for x in (key_SKD, value_SKD)
    )
    return query, key, value


def _to_heads(x_AHD: torch.Tensor, heads: int) -> torch.Tensor:
    """[A, H, D] as [K, H/K, A, D]: query heads sorted under the key heads they read."""
    return x_AHD.transpose(0, 1).reshape(heads, -1, len(x_AHD), x_AHD.shape[-1])


def _to_rows(x_KRAD: torch.Tensor) -> torch.Tensor:
    """[K, H/K, A, D] back as [A, H, D]."""
    return x_KRAD.flatten(0, 1).transpose(0, 1)


def _fold(x_RHLD: torch.Tensor, heads: int) -> torch.Tensor:
    """Gradients of repeated key heads, summed: [R, H, L, D] as [R, K, L, D]."""
    if x_RHLD.shape[1] == heads:
        return x_RHLD
    return x_RHLD.reshape(len(x_RHLD), heads, -1, *x_RHLD.shape[2:]).sum(2)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """Normalisers are kept in at least fp32."""
    return torch.promote_types(dtype, torch.float32)
