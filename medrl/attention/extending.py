"""Attention while rows of a decode cache read tokens that somebody else wrote, many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medrl.attention.decoding import DecodeCache
from medrl.attention.interface import Rule, masked

MOST_SCORES = 2**25
"""Scores of one layer that are held at a time; rows are taken in pieces under it."""


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
        prompt, own = cache.prompts[layer], cache.own[layer]
        for kept, new in ((own.keys, key_1KSD), (own.values, value_1KSD)):
            kept[self.row_S, :, self.place_S] = new[0].transpose(0, 1).to(kept.dtype)
        rows, longest = len(cache.row_R), int(self.length_R.max())
        query_SHD = query_1HSD[0].transpose(0, 1)
        query_REHD = query_SHD.new_zeros((rows, longest, *query_SHD.shape[1:]))
        query_REHD[self.row_S, self.offset_S] = query_SHD
        seen_REM = self._seen(rule.window)
        heads, keys = query_SHD.shape[1], seen_REM.shape[2]
        out = []
        for part in cache.row_R.split(max(1, MOST_SCORES // (heads * longest * keys))):
            whose = cache.prompt_R[part]
            key, value = (
                torch.cat([before[whose], after[part, :, : self.used]], 2)
                for before, after in ((prompt.keys, own.keys), (prompt.values, own.values))
            )
            query = query_REHD[part].transpose(1, 2).to(key.dtype)
            out.append(masked(query, key, value, seen_REM[part][:, None], rule).transpose(1, 2))
        return torch.cat(out)[self.row_S, self.offset_S][None]

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
