"""A row of spans: contexts that begin anew, and continuations that see one context before them.

A token sees what is before it, and in a *block* (an image, in some models) what is behind it too.

With a context per prompt and a continuation per answer, each prompt is computed once and every
gradient is exact. Without continuations the row is an ordinary packed one.

Two ways lead to the same numbers. Both compute spans of like length together, padded. *Merged*:
attention of a token to its own span and to its context are two pieces, joined by their softmax
normalisers; contexts are read where they lie, and nothing grows with context times answers.
*Expanded*: each continuation gets its context's keys in front of its own; this way knows windows,
soft caps and every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from medrl.attention.interface import Rule, causal_mask, masked
from medrl.attention.merged import merged_attention

WASTE = 1.15
"""Spans are padded together as long as this times their own tokens is not exceeded."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens ``start`` to ``end`` of the row; ``context`` is the number of the span before it."""

    start: int
    end: int
    context: int | None = None

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Bucket:
    """Spans computed together.

    Attributes:
        index_RL: place in the row of each token; padding repeats the span's first token.
        real_RL: False on padding.
        context_RC, context_real_RC: the same for the contexts of the spans (C is 0 without).
        seen_RLL: True where a token of a span sees a token of it; ``None``: what is before.
    """

    index_RL: torch.Tensor
    real_RL: torch.Tensor
    context_RC: torch.Tensor
    context_real_RC: torch.Tensor
    seen_RLL: torch.Tensor | None


class GroupedRow:
    """The structure of one row of S tokens, cut into spans without gaps.

    Args:
        spans: in the order of the row; continuations directly behind their context.
        blocks_S: tokens of one span with one number, 0 or more, see each other both ways; -1: no
            block. ``None``: there are none.
    """

    def __init__(
        self,
        spans: Sequence[Span],
        device: torch.device | str,
        blocks_S: torch.Tensor | None = None,
    ) -> None:
        self.spans = spans
        self.device = device
        there_are = blocks_S is not None and bool((blocks_S >= 0).any())
        self.blocks_S = blocks_S.to(device) if blocks_S is not None and there_are else None
        self.longest = max(
            (s.length + (spans[s.context].length if s.context is not None else 0) for s in spans),
            default=0,
        )

    @cached_property
    def buckets(self) -> list[Bucket]:
        """Spans of like length together, so that little is padded."""
        rows: list[list[Span]] = []
        longest = tokens = 0
        contextual = False
        filled = [span for span in self.spans if span.length]
        for span in sorted(filled, key=lambda s: (s.context is not None, -s.length, s.start)):
            tokens += span.length
            fresh = not rows or contextual != (span.context is not None)
            if fresh or longest * (len(rows[-1]) + 1) > WASTE * tokens:
                rows.append([])
                longest, tokens, contextual = span.length, span.length, span.context is not None
            rows[-1].append(span)
        return [self._bucket(row) for row in rows]

    def _bucket(self, spans: list[Span]) -> Bucket:
        contexts = [Span(0, 0) if s.context is None else self.spans[s.context] for s in spans]
        index_RL, real_RL = _places(spans, self.device)
        return Bucket(
            index_RL, real_RL, *_places(contexts, self.device), self._seen(index_RL, real_RL)
        )

    def _seen(self, index_RL: torch.Tensor, real_RL: torch.Tensor) -> torch.Tensor | None:
        if self.blocks_S is None:
            return None
        block_RL = self.blocks_S[index_RL].masked_fill(~real_RL, -1)
        inside_RL = block_RL >= 0
        if not inside_RL.any():
            return None
        same_RLL = (block_RL[:, :, None] == block_RL[:, None, :]) & inside_RL[:, None, :]
        length = index_RL.shape[1]
        return same_RLL | causal_mask(length, length, index_RL.device)

    @cached_property
    def continued(self) -> list[tuple[slice, slice]]:
        """Each context with the stretch of the row that its continuations fill."""
        stretches: dict[int, tuple[int, int]] = {}
        for span in self.spans:
            if span.context is not None and span.length:
                start, _ = stretches.get(span.context, (span.start, span.end))
                stretches[span.context] = (start, span.end)
        found = []
        for number, (start, end) in stretches.items():
            context = self.spans[number]
            if context.length:
                found.append((slice(context.start, context.end), slice(start, end)))
        return found

    def attend(
        self,
        layer: int,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        """See :class:`medrl.attention.interface.Structure`."""
        if rule.window is not None and rule.window >= self.longest:
            rule = Rule(rule.scale, None, rule.softcap)
        # The CPU kernel that also returns normalisers wants keys and values of one width.
        same_width = query_1HSD.shape[-1] == value_1KSD.shape[-1]
        if query_1HSD.device.type == "cpu" and same_width and rule.window is rule.softcap is None:
            return merged_attention(query_1HSD, key_1KSD, value_1KSD, self, rule.scale)
        return self._expanded(query_1HSD, key_1KSD, value_1KSD, rule)

    def _expanded(
        self,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        rows = [x[0].transpose(0, 1) for x in (query_1HSD, key_1KSD, value_1KSD)]
        query_SHD, key_SKD, value_SKD = rows
        out_SHD = query_SHD.new_zeros((*query_SHD.shape[:2], value_SKD.shape[-1]))
        for bucket in self.buckets:
            own_RL = bucket.index_RL
            seen_RM = torch.cat([bucket.context_RC, own_RL], 1)
            out_RHLD = masked(
                query_SHD[own_RL].transpose(1, 2),
                key_SKD[seen_RM].transpose(1, 2),
                value_SKD[seen_RM].transpose(1, 2),
                _bucket_mask(bucket, rule.window)[:, None],
                rule,
            )
            real_N = own_RL[bucket.real_RL]
            out_SHD = out_SHD.index_copy(
                0, real_N, out_RHLD.transpose(1, 2)[bucket.real_RL].to(out_SHD.dtype)
            )
        return out_SHD[None]


def _places(spans: Sequence[Span], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Places in the row [R, L] of the tokens of spans, and which of them are no padding."""
    starts_R1 = torch.tensor([s.start for s in spans], device=device)[:, None]
    lengths_R1 = torch.tensor([s.length for s in spans], device=device)[:, None]
    steps_L = torch.arange(max(s.length for s in spans), device=device)
    real_RL = steps_L < lengths_R1
    return starts_R1 + steps_L * real_RL, real_RL


def _bucket_mask(bucket: Bucket, window: int | None) -> torch.Tensor:
    """True [R, L, C + L] where a token of a span sees a token of its context or of itself."""
    context_R1 = bucket.context_real_RC.sum(1, keepdim=True)
    steps_L = torch.arange(bucket.index_RL.shape[1], device=context_R1.device)
    own_RL = context_R1 + steps_L
    before_RC = torch.arange(bucket.context_RC.shape[1], device=context_R1.device).expand_as(
        bucket.context_RC
    )
    place_RM = torch.cat([before_RC, own_RL], 1)
    real_RM = torch.cat([bucket.context_real_RC, torch.ones_like(bucket.real_RL)], 1)
    distance_RLM = own_RL[:, :, None] - place_RM[:, None, :]
    seen_RLM = (distance_RLM >= 0) & real_RM[:, None, :]
    if bucket.seen_RLL is not None:
        seen_RLM[:, :, bucket.context_RC.shape[1] :] = bucket.seen_RLL
    return seen_RLM if window is None else seen_RLM & (distance_RLM < window)
