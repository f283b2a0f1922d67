"""Attention while rows of a decode cache read tokens that somebody else wrote, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medrl.attention.decoding import DecodeCache
from medrl.attention.interface import Rule


class Extension:
    """The structure of a pass in which each of R rows of a cache reads tokens of its own.

    The S tokens stand row by row, E of the longest. What a row sees is its prompt, all it has
    written or read so far, and the new tokens up to each one.

    Args:
        cache: is told their keys and values; call :meth:`finish` when all layers have been.
        lengths: new tokens of each row, at least one.
    """

    def __init__(self, cache: DecodeCache, lengths: Sequence[int]) -> None:
        self.cache, device = cache, cache.device
        self.length_R = torch.tensor(lengths, device=device)
        self.row_S = cache.row_R.repeat_interleave(self.length_R)
        first_R = self.length_R.cumsum(0) - self.length_R
        self.offset_S = torch.arange(len(self.row_S), device=device) - first_R[self.row_S]
        self.place_S = cache.written_R[self.row_S] + self.offset_S
        self.last_R = first_R + self.length_R - 1
        self.used = int((cache.written_R + self.length_R).max())
        self._sight: dict[int | None, torch.Tensor] = {}
        cache.make_room(self.used)

    @property
    def positions_S(self) -> torch.Tensor:
        """Position of each new token."""
        return self.cache.positions_R[self.row_S] + self.offset_S

    def finish(self) -> None:
        """Count the new tokens as read."""
        self.cache.count(self.length_R)

    def attend(
        self,
        layer: int,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        """See :class:`medrl.attention.interface.Structure`."""
        cache = self.cache
        own = cache.own[layer]
        for kept, new in ((own.keys, key_1KSD), (own.values, value_1KSD)):
            kept[self.row_S, :, self.place_S] = new[0].transpose(0, 1).to(kept.dtype)
        heads, rows, longest = own.keys.shape[1], len(cache.row_R), int(self.length_R.max())
        query_SKQD = query_1HSD[0].transpose(0, 1).unflatten(1, (heads, -1)).to(own.keys.dtype)
        query_REKQD = query_SKQD.new_zeros((rows, longest, *query_SKQD.shape[1:]))
        query_REKQD[self.row_S, self.offset_S] = query_SKQD
        queries = query_SKQD.shape[2]
        # Each row's queries as one axis: the heads of a key side by side, E tokens of each.
        query_RKND = query_REKQD.permute(0, 2, 3, 1, 4).flatten(2, 3)
        seen_RNM = self._seen(rule.window).repeat(1, queries, 1)
        out_RKND = cache.weigh(layer, query_RKND, self.used, seen_RNM, rule)
        out_REKQD = out_RKND.unflatten(2, (queries, longest)).permute(0, 3, 1, 2, 4)
        out_SHD: torch.Tensor = out_REKQD[self.row_S, self.offset_S].flatten(1, 2)
        return out_SHD[None]

    def _seen(self, window: int | None) -> torch.Tensor:
        """True [R, E, longest prompt + used] where a new token sees; the same in all layers."""
        if window not in self._sight:
            self._sight[window] = self._look(window)
        return self._sight[window]

    def _look(self, window: int | None) -> torch.Tensor:
        cache = self.cache
        steps_E = torch.arange(int(self.length_R.max()), device=cache.device)
        steps_L = torch.arange(cache.longest, device=cache.device)
        steps_T = torch.arange(self.used, device=cache.device)
        length_R1 = cache.length_P[cache.prompt_R][:, None]
        place_RM = torch.cat([steps_L.expand(len(length_R1), -1), length_R1 + steps_T], 1)
        own_RE = length_R1 + cache.written_R[:, None] + steps_E
        distance_REM = own_RE[:, :, None] - place_RM[:, None, :]
        seen_REM = distance_REM >= 0
        seen_REM[:, :, : cache.longest] &= (steps_L < length_R1)[:, None]
        return seen_REM if window is None else seen_REM & (distance_REM < window)
