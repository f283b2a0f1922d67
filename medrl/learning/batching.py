"""Micro-batches: groups together, lengths alike, never more tokens than the budget."""

from __future__ import annotations

from collections.abc import Sequence

from medrl.errors import RecipeError
from medrl.learning.layout import Member, Mode


def micro_batches(members: Sequence[Member], mode: Mode, token_budget: int) -> list[list[int]]:
    """Cut episodes into micro-batches of at most ``token_budget`` computed tokens each.

    What counts is what the way of laying out computes: padding in ``plain``, each prefix once in
    ``shared``. Episodes without policy tokens need no computation and are left out.

    Returns:
        Indices into ``members``, the longest first, so that a budget that is too large for the
        memory fails at once and not at the end of a step.

    Raises:
        RecipeError: one episode alone exceeds the budget.
    """
    wanted = [b for b, m in enumerate(members) if m.length]
    longest = max((members[b].length for b in wanted), default=0)
    if longest > token_budget:
        raise RecipeError(
            f"token_budget is {token_budget} but an episode has {longest} tokens",
            f"set token_budget to at least {longest}",
        )
    if mode == "shared":
        return _by_group(members, wanted, token_budget)
    order = sorted(wanted, key=lambda b: (-members[b].length, b))
    batches: list[list[int]] = []
    used = 0
    for b in order:
        # Padded rows are all as long as the first of the batch.
        length = members[batches[-1][0] if mode == "plain" and batches else b].length
        if not batches or used + length > token_budget:
            batches.append([])
            used, length = 0, members[b].length
        batches[-1].append(b)
        used += length
    return batches


def _by_group(
    members: Sequence[Member], wanted: Sequence[int], token_budget: int
) -> list[list[int]]:
    """Whole groups as long as they fit; a group that is too large alone is cut, and its prefix is
    computed once per piece."""
    groups: dict[int, list[int]] = {}
    for b in wanted:
        groups.setdefault(members[b].group, []).append(b)
    pieces = [p for rows in groups.values() for p in _pieces(members, rows, token_budget)]
    pieces.sort(key=lambda piece: -max(members[b].length for b in piece[1]))
    batches: list[list[int]] = []
    used = 0
    for cost, rows in pieces:
        if not batches or used + cost > token_budget:
            batches.append([])
            used = 0
        batches[-1] += rows
        used += cost
    return batches


def _pieces(
    members: Sequence[Member], rows: Sequence[int], token_budget: int
) -> list[tuple[int, list[int]]]:
    """A group as (tokens, episodes) pieces that fit the budget each."""
    prefix = max(members[b].shareable for b in rows)
    pieces: list[tuple[int, list[int]]] = []
    for b in sorted(rows, key=lambda b: (-members[b].length, b)):
        own = members[b].length - members[b].shareable
        if not pieces or pieces[-1][0] + own > token_budget:
            pieces.append((prefix + own, [b]))
        else:
            cost, piece = pieces[-1]
            pieces[-1] = (cost + own, [*piece, b])
    return pieces
