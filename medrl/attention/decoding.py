"""Attention while answers are written: each prompt's keys once, and every row's own behind them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from medrl.attention.grouped import GroupedRow, Span
from medrl.attention.interface import Rule, forward
from medrl.prompt import Media, blocks, join_media, positions

FIRST_ROOM = 32
"""Tokens a row has room for at first; the room doubles when it is full."""


@dataclass(frozen=True, slots=True)
class KeyValues:
    """Keys and values of one layer, shapes alike: [rows, heads, tokens, width]."""

    keys: torch.Tensor
    values: torch.Tensor

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> KeyValues:
        """The same done to both."""
        return KeyValues(change(self.keys), change(self.values))


class Prefill(GroupedRow):
    """The structure of one row of prompts; remembers the keys and values of every layer.

    Args:
        lengths: tokens of each prompt.
        next_positions: position of what follows each prompt, if it is not its length (images).
        blocks_S: see :class:`medrl.attention.grouped.GroupedRow`.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        device: torch.device | str,
        next_positions: Sequence[int] | None = None,
        blocks_S: torch.Tensor | None = None,
    ) -> None:
        spans, start = [], 0
        for length in lengths:
            spans.append(Span(start, start + length))
            start += length
        super().__init__(spans, device, blocks_S)
        self.lengths = list(lengths)
        self.next_positions = list(lengths if next_positions is None else next_positions)
        self.layers: dict[int, KeyValues] = {}

    def attend(
        self,
        layer: int,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        """See :class:`medrl.attention.interface.Structure`."""
        longest = max(self.lengths)

        def per_prompt(x_1KSD: torch.Tensor) -> torch.Tensor:
            out = x_1KSD.new_zeros((len(self.spans), x_1KSD.shape[1], longest, x_1KSD.shape[3]))
            for number, span in enumerate(self.spans):
                out[number, :, : span.length] = x_1KSD[0, :, span.start : span.end]
            return out

        self.layers[layer] = KeyValues(per_prompt(key_1KSD), per_prompt(value_1KSD))
        return super().attend(layer, query_1HSD, key_1KSD, value_1KSD, rule)


def read_prompts(
    trunk: nn.Module,
    prompts: Sequence[Sequence[int]],
    media: Sequence[Media | None],
    device: torch.device | str,
) -> tuple[Prefill, torch.Tensor]:
    """Read P prompts in one row: (their keys and values, last hidden state of each [P, hidden]).

    Args:
        trunk: the model without its head.
        prompts: token ids of each.
    """
    pairs = list(zip(prompts, media, strict=True))
    where = [positions(one, 0, len(ids)) for ids, one in pairs]
    blocks_S = torch.cat([blocks(one, 0, len(ids)) for ids, one in pairs])
    next_positions = [int(w.max()) + 1 for w in where]
    prefill = Prefill([len(ids) for ids in prompts], device, next_positions, blocks_S)
    tokens_1S = torch.tensor([[i for ids in prompts for i in ids]], device=device)
    positions_XS = torch.cat(where, 1).to(device)
    hidden_1SD = forward(trunk, tokens_1S, positions_XS, prefill, **join_media(media, device))
    last_P = torch.tensor([span.end - 1 for span in prefill.spans], device=device)
    return prefill, hidden_1SD[0, last_P]


class DecodeCache:
    """The structure of a step in which each of R rows writes one token.

    Args:
        prefill: has read the P prompts.
        rows_per_prompt: G rows answer each prompt: G of the first, G of the second, ...
    """

    def __init__(self, prefill: Prefill, rows_per_prompt: int) -> None:
        self.device = next(iter(prefill.layers.values())).keys.device
        prompts = len(prefill.lengths)
        self.prompt_R = torch.arange(prompts, device=self.device).repeat_interleave(rows_per_prompt)
        self.length_P = torch.tensor(prefill.lengths, device=self.device)
        self.next_position_P = torch.tensor(prefill.next_positions, device=self.device)
        self.written_R = torch.zeros_like(self.prompt_R)
        self.prompts = prefill.layers
        self.own = {
            layer: pair.map(lambda x: _room(x, prompts * rows_per_prompt, FIRST_ROOM))
            for layer, pair in self.prompts.items()
        }
        self._sight: tuple[torch.Tensor, torch.Tensor] | None = None
        self._arrange()

    def _arrange(self) -> None:
        """Look at which rows there are: their places in the grid [P, G] of prompts and rows."""
        self.row_R = torch.arange(len(self.prompt_R), device=self.device)
        order_R = torch.argsort(self.prompt_R, stable=True)
        counts_P = torch.bincount(self.prompt_R, minlength=len(self.length_P))
        first_P = counts_P.cumsum(0) - counts_P
        rank_R = torch.empty_like(order_R)
        rank_R[order_R] = self.row_R - first_P[self.prompt_R[order_R]]
        self.widest, self.longest = int(counts_P.max()), int(self.length_P.max())
        self.place_R = self.prompt_R * self.widest + rank_R
        self.full = torch.equal(
            self.place_R, torch.arange(len(counts_P) * self.widest, device=self.device)
        )
        self.most_written = int(self.written_R.max())
        self.even = bool((self.written_R == self.most_written).all()) and bool(
            (self.length_P == self.longest).all()
        )

    @property
    def positions_R(self) -> torch.Tensor:
        """Position of the token each row feeds next."""
        return self.next_position_P[self.prompt_R] + self.written_R

    def begin(self) -> None:
        """Make room for the token that every row feeds next."""
        self._sight = None
        self.make_room(self.most_written + 1)

    def make_room(self, tokens: int) -> None:
        """Let every row have so many tokens of its own; room doubles until it suffices."""
        capacity = room = next(iter(self.own.values())).keys.shape[2]
        while room < tokens:
            room *= 2
        if room > capacity:
            self.own = {
                layer: pair.map(lambda x: _grown(x, room)) for layer, pair in self.own.items()
            }

    def _seen(self, window: int | None) -> torch.Tensor:
        """What each row sees, True [R, longest prompt + most written]; the same in all layers."""
        if self._sight is None:
            steps_L = torch.arange(self.longest, device=self.device)
            steps_T = torch.arange(self.most_written + 1, device=self.device)
            length_R1 = self.length_P[self.prompt_R][:, None]
            place_RM = torch.cat([steps_L.expand(len(length_R1), -1), length_R1 + steps_T], 1)
            distance_RM = length_R1 + self.written_R[:, None] - place_RM
            seen_RM = distance_RM >= 0
            seen_RM[:, : self.longest] &= steps_L < length_R1
            self._sight = seen_RM, distance_RM
        seen_RM, distance_RM = self._sight
        return seen_RM if window is None else seen_RM & (distance_RM < window)

    def advance(self) -> None:
        """Count the token that every row has fed."""
        self.written_R = self.written_R + 1
        self.most_written += 1

    def attend(
        self,
        layer: int,
        query_1HSD: torch.Tensor,
        key_1KSD: torch.Tensor,
        value_1KSD: torch.Tensor,
        rule: Rule,
    ) -> torch.Tensor:
        """See :class:`medrl.attention.interface.Structure`; the S tokens are one of each row."""
        own = self.own[layer]
        self._write(own.keys, key_1KSD)
        self._write(own.values, value_1KSD)
        heads = own.keys.shape[1]
        query_RKQD = query_1HSD[0].transpose(0, 1).unflatten(1, (heads, -1))
        all_seen = rule.window is None and self.even
        seen_R1M = None if all_seen else self._seen(rule.window)[:, None]
        out_RKQD = self.weigh(layer, query_RKQD, self.most_written + 1, seen_R1M, rule)
        return out_RKQD.flatten(1, 2)[None]

    def weigh(
        self,
        layer: int,
        query_RKQD: torch.Tensor,
        used: int,
        seen_RQM: torch.Tensor | None,
        rule: Rule,
    ) -> torch.Tensor:
        """What Q queries of each row get from its prompt and its own tokens, [R, K, Q, D].

        Args:
            query_RKQD: K is the number of heads of the keys.
            used: places of a row's own tokens that are looked at.
            seen_RQM: True where a query sees a place, those of the longest prompt first; ``None``:
                everywhere.
        """
        prompt, own = self.prompts[layer], self.own[layer]
        query_RKQD = query_RKQD * rule.scale
        to_prompt = self._from_grid(self._to_grid(query_RKQD) @ prompt.keys.transpose(-1, -2))
        to_own = query_RKQD @ own.keys[:, :, :used].transpose(-1, -2)
        scores_RKQM = torch.cat([to_prompt, to_own], -1)
        if rule.softcap is not None:
            scores_RKQM = rule.softcap * torch.tanh(scores_RKQM / rule.softcap)
        if seen_RQM is not None:
            scores_RKQM = scores_RKQM.masked_fill(~seen_RQM[:, None], float("-inf"))
        wide = torch.promote_types(scores_RKQM.dtype, torch.float32)
        weights_RKQM = torch.softmax(scores_RKQM, -1, dtype=wide).to(own.values.dtype)
        of_prompt = self._from_grid(
            self._to_grid(weights_RKQM[..., : self.longest]) @ prompt.values
        )
        return of_prompt + weights_RKQM[..., self.longest :] @ own.values[:, :, :used]

    def _write(self, own_RKTD: torch.Tensor, new_1KSD: torch.Tensor) -> None:
        """Put one token of each row behind what it has."""
        new_RKD = new_1KSD[0].transpose(0, 1).to(own_RKTD.dtype)
        if self.even:  # all in one column
            own_RKTD[:, :, self.most_written] = new_RKD
        else:
            own_RKTD[self.row_R, :, self.written_R] = new_RKD

    def _to_grid(self, x_RKQD: torch.Tensor) -> torch.Tensor:
        """Rows sorted under their prompts: [R, K, Q, D] as [P, K, G * Q, D]."""
        prompts = len(self.length_P)
        if not self.full:
            spread = x_RKQD.new_zeros((prompts * self.widest, *x_RKQD.shape[1:]))
            spread[self.place_R] = x_RKQD
            x_RKQD = spread
        _, heads, queries, width = x_RKQD.shape
        grid = x_RKQD.view(prompts, self.widest, heads, queries, width).transpose(1, 2)
        return grid.reshape(prompts, heads, self.widest * queries, width)

    def _from_grid(self, x_PKGD: torch.Tensor) -> torch.Tensor:
        """The way back."""
        prompts, heads, _, width = x_PKGD.shape
        grid = x_PKGD.view(prompts, heads, self.widest, -1, width).transpose(1, 2)
        rows = grid.reshape(prompts * self.widest, heads, -1, width)
        return rows if self.full else rows[self.place_R]

    def count(self, tokens_R: torch.Tensor) -> None:
        """Count tokens that rows have read, see :class:`medrl.attention.extending.Extension`."""
        self.written_R = self.written_R + tokens_R
        self._arrange()

    def split(self, rows: torch.Tensor, written: torch.Tensor) -> DecodeCache:
        """These rows [R'], at least one, as a cache of their own; of each the first so many tokens
        [R']. This one stays as it is, or is not used any more if these are all of its rows."""
        part = copy.copy(self)
        part.written_R = self.written_R.clone()
        part.written_R[rows] = written
        part.keep(rows)
        return part

    def keep(self, rows: torch.Tensor) -> None:
        """Drop all rows but these [R'], at least one, and prompts that none answers any more."""
        if torch.equal(rows, self.row_R):  # nothing to copy
            self._arrange()
            return
        self.written_R = self.written_R[rows]
        used = int(self.written_R.max())
        prompts, self.prompt_R = torch.unique(self.prompt_R[rows], return_inverse=True)
        if len(prompts) < len(self.length_P):
            self.length_P = self.length_P[prompts]
            self.next_position_P = self.next_position_P[prompts]
            longest = int(self.length_P.max())
            self.prompts = {
                layer: pair.map(lambda x: x[prompts, :, :longest])
                for layer, pair in self.prompts.items()
            }
        self.own = {  # only what is written is worth copying
            layer: pair.map(lambda x: _grown(x[:, :, :used][rows], x.shape[2]))
            for layer, pair in self.own.items()
        }
        self._arrange()

    def join(self, other: DecodeCache) -> None:
        """Take in the rows of another cache, behind one's own."""
        self.prompt_R = torch.cat([self.prompt_R, other.prompt_R + len(self.length_P)])
        self.length_P = torch.cat([self.length_P, other.length_P])
        self.next_position_P = torch.cat([self.next_position_P, other.next_position_P])
        self.written_R = torch.cat([self.written_R, other.written_R])
        self.prompts = {n: _joined(pair, other.prompts[n]) for n, pair in self.prompts.items()}
        self.own = {n: _joined(pair, other.own[n]) for n, pair in self.own.items()}
        self._arrange()


def _joined(a: KeyValues, b: KeyValues) -> KeyValues:
    """Rows of both, with room for the longer."""
    longest = max(a.keys.shape[2], b.keys.shape[2])

    def both(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.cat([_grown(x, longest), _grown(y, longest)])

    return KeyValues(both(a.keys, b.keys), both(a.values, b.values))


def _grown(x_RKTD: torch.Tensor, length: int) -> torch.Tensor:
    """Room for ``length`` tokens. What is new is zero: a weight of 0 times garbage may be NaN."""
    if x_RKTD.shape[2] == length:
        return x_RKTD
    out = _room(x_RKTD, len(x_RKTD), length)
    out[:, :, : x_RKTD.shape[2]] = x_RKTD
    return out


def _room(x_PKTD: torch.Tensor, rows: int, capacity: int) -> torch.Tensor:
    return x_PKTD.new_zeros((rows, x_PKTD.shape[1], capacity, x_PKTD.shape[3]))
