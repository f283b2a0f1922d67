"""How the tokens of some episodes are laid out for one forward pass.

Three ways that give the same hidden states:

- ``plain``: one padded row per episode through the unmodified model. The oracle.
- ``packed``: all episodes behind each other in one row, nothing padded.
- ``shared``: the same, but what a group's episodes have in common stands there once.

Only what is needed is laid out: nothing behind the last token the policy wrote, nor that token,
whose own output predicts nothing that counts.

Shapes: B episodes, A policy tokens of the longest; N policy tokens in all, episode by episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from medrl.attention import GroupedRow, Span
from medrl.learning.groups import Group, Origin
from medrl.prompt import Media, blocks, join_media, kinds, positions

Mode = Literal["plain", "packed", "shared"]
ModeChoice = Literal["auto", "plain", "packed", "shared"]

SHARE_FROM = 1.02
"""Sharing is chosen when packed rows would have this many times the tokens."""


@dataclass(frozen=True, slots=True)
class Member:
    """The tokens of an episode, and the group it belongs to.

    Attributes:
        token_ids, origins, log_probs: one per token, see :class:`medrl.learning.groups.Episode`.
        group: number of the group within the step.
        prefix_length: leading tokens that all members of the group have in common.
        media: images among those.
    """

    token_ids: Sequence[int]
    origins: Sequence[Origin]
    log_probs: Sequence[float]
    group: int
    prefix_length: int
    media: Media | None = None

    @property
    def written(self) -> list[int]:
        """Places of the policy tokens in the episode."""
        origins = self.origins
        return [t for t in range(self.prefix_length, len(origins)) if origins[t] == Origin.POLICY]

    @property
    def length(self) -> int:
        """Tokens that have to be read: all before the last policy token; 0 if there is none."""
        origins = self.origins
        return next((t for t in reversed(range(len(origins))) if origins[t] == Origin.POLICY), 0)

    @property
    def shareable(self) -> int:
        """How many of them the group's other episodes need as well."""
        return min(self.prefix_length, self.length)


def members_of(groups: Sequence[Group]) -> list[Member]:
    """The episodes of groups, in order."""
    return [
        Member(e.token_ids, e.origins, e.log_probs, number, group.prefix_length, group.media)
        for number, group in enumerate(groups)
        for e in group.episodes
    ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Tokens of B episodes in R rows of S, and where their policy tokens are predicted.

    Attributes:
        positions_XRS: position ids on X axes: 1 for text.
        attention_RS: 1 on real tokens; only for the plain way.
        structure: who sees whom; only for the other two (R is 1 then).
        media: images in the order in which their tokens stand, by the name of the argument; the
            plain way also tells the model which tokens are theirs.
        predicting_N: place in the R * S outputs that predicts each policy token.
        targets_N: the policy tokens.
        cell_N: place of each in the grid [B, A].
        shape: (B, A).
    """

    tokens_RS: torch.Tensor
    positions_XRS: torch.Tensor
    attention_RS: torch.Tensor | None
    structure: GroupedRow | None
    media: Mapping[str, torch.Tensor]
    predicting_N: torch.Tensor
    targets_N: torch.Tensor
    cell_N: torch.Tensor
    shape: tuple[int, int]

    def grid(self, values_N: torch.Tensor) -> torch.Tensor:
        """Values of policy tokens as [B, A], 0 behind the end of an answer; differentiable."""
        flat = values_N.new_zeros(self.shape[0] * self.shape[1])
        return flat.index_copy(0, self.cell_N, values_N).view(self.shape)

    @property
    def last_B(self) -> torch.Tensor:
        """Where the last policy token of each episode stands among the N."""
        count_B = torch.bincount(self.cell_N // self.shape[1], minlength=self.shape[0])
        return count_B.cumsum(0) - 1

    @property
    def tokens(self) -> int:
        """Tokens the model computes, padding included."""
        return self.tokens_RS.numel()


def lay_out(
    members: Sequence[Member], mode: Mode, pad_id: int, device: torch.device | str
) -> Layout:
    """Lay out episodes, each with at least one policy token, in the given way."""
    rows, places = _plain(members, pad_id) if mode == "plain" else _one_row(members, mode)
    written = [m.written for m in members]
    longest = max(map(len, written))
    predicting: list[int] = []
    targets: list[int] = []
    cells: list[int] = []
    for b, (member, place) in enumerate(zip(members, places, strict=True)):
        predicting += [place[t - 1] for t in written[b]]
        targets += [member.token_ids[t] for t in written[b]]
        cells += range(b * longest, b * longest + len(written[b]))
    attention = None if rows.real is None else torch.tensor(rows.real, device=device)
    structure = None if rows.spans is None else GroupedRow(rows.spans, device, rows.blocks_S)
    told = kinds(rows.media, len(rows.tokens[0]), device) if mode == "plain" else {}
    return Layout(
        torch.tensor(rows.tokens, device=device),
        rows.positions_XRS.to(device),
        attention,
        structure,
        join_media(rows.media, device) | told,
        torch.tensor(predicting, device=device),
        torch.tensor(targets, device=device),
        torch.tensor(cells, device=device),
        (len(members), longest),
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    tokens: list[list[int]]
    positions_XRS: torch.Tensor
    real: list[list[int]] | None
    spans: list[Span] | None
    blocks_S: torch.Tensor | None
    media: list[Media | None]


_Places = list[Sequence[int]]
"""Of each episode, the place of its t-th token in the flattened rows."""


def _plain(members: Sequence[Member], pad_id: int) -> tuple[_Rows, _Places]:
    longest = max(m.length for m in members)
    tokens, real = [], []
    for member in members:
        padding = longest - member.length
        tokens.append([*member.token_ids[: member.length], *[pad_id] * padding])
        real.append([1] * member.length + [0] * padding)
    where = torch.stack([positions(m.media, 0, longest) for m in members], 1)
    places: _Places = [range(b * longest, (b + 1) * longest) for b in range(len(members))]
    return _Rows(tokens, where, real, None, None, [m.media for m in members]), places


def _one_row(members: Sequence[Member], mode: Mode) -> tuple[_Rows, _Places]:
    tokens: list[int] = []
    where: list[torch.Tensor] = []
    within: list[torch.Tensor] = []
    spans: list[Span] = []
    media: list[Media | None] = []
    places: list[Sequence[int]] = [()] * len(members)

    def append(member: Member, start: int, end: int, context: int | None) -> range:
        first = len(tokens)
        tokens.extend(member.token_ids[start:end])
        where.append(positions(member.media, start, end))
        within.append(blocks(member.media, start, end))
        spans.append(Span(first, len(tokens), context))
        if start == 0:
            media.append(member.media)
        return range(first, len(tokens))

    for rows in _together(members, mode):
        first = members[rows[0]]
        shared = min(members[b].shareable for b in rows) if len(rows) > 1 else 0
        context, prefix = None, range(0)
        if shared:
            context = len(spans)
            prefix = append(first, 0, shared, None)
        for b in rows:
            places[b] = [*prefix, *append(members[b], shared, members[b].length, context)]
    where_X1S, blocks_S = torch.cat(where, 1)[:, None], torch.cat(within)
    return _Rows([tokens], where_X1S, None, spans, blocks_S, media), places


def _together(members: Sequence[Member], mode: Mode) -> list[list[int]]:
    """Which episodes stand behind a common prefix."""
    if mode == "packed":
        return [[b] for b in range(len(members))]
    groups: dict[int, list[int]] = {}
    for b, member in enumerate(members):
        groups.setdefault(member.group, []).append(b)
    return list(groups.values())


def answer_grid(
    members: Sequence[Member], device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mask and behaviour log-probs [B, A] of the policy tokens of episodes."""
    written = [[m.log_probs[t] for t in m.written] for m in members]
    longest = max(map(len, written), default=0)
    mask_BA = torch.tensor([[1.0] * len(w) + [0.0] * (longest - len(w)) for w in written])
    log_probs_BA = torch.tensor([w + [0.0] * (longest - len(w)) for w in written])
    return mask_BA.to(device), log_probs_BA.to(device)


def token_ratio(members: Sequence[Member]) -> float:
    """Tokens of packed rows over tokens of shared ones, at least 1: what sharing can gain."""
    packed = sum(m.length for m in members)
    shared = sum(m.length - m.shareable for m in members)
    longest: dict[int, int] = {}
    for member in members:
        longest[member.group] = max(longest.get(member.group, 0), member.shareable)
    return packed / max(1, shared + sum(longest.values()))


def choose_mode(members: Sequence[Member], asked: ModeChoice) -> Mode:
    """The way asked for; ``auto``: shared where it saves tokens, else packed."""
    if asked != "auto":
        return asked
    return "shared" if token_ratio(members) >= SHARE_FROM else "packed"
