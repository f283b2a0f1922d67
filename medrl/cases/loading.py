"""Loading cases: every row becomes a case, or is set aside by name."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medrl.cases.case import Case, Provenance
from medrl.cases.locating import locate
from medrl.cases.rows import BadRow, Origin, OutsideSet, Place, RawRow
from medrl.cases.sources import SOURCES, SPLITS, Source, canonical_split
from medrl.errors import DataError

Prove = Callable[[Case], str | None]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was set aside, and why."""

    provenance: Provenance
    reason: str

    def __str__(self) -> str:
        return f"{self.provenance} {self.reason}"


@dataclass(slots=True)
class LoadedCases:
    """What came out of a data set.

    Attributes:
        cases: in file order.
        rejected: bad rows and cases that cannot be graded.
        skipped: rows that are fine but outside the set or the split asked for.
        unasked: those of them that cannot be asked, counted by the reason.
        unread: fields seen in rows that the loader does not use, sorted.
        splits: cases of each split that rows or file names tell, if it was left open which to read.
    """

    cases: list[Case] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    skipped: int = 0
    unasked: Counter[str] = field(default_factory=Counter)
    unread: tuple[str, ...] = ()
    splits: Counter[str] = field(default_factory=Counter)

    @property
    def bad_share(self) -> float:
        """Rejected rows among all that belong to the set, in [0, 1]; 0 for none."""
        total = len(self.cases) + len(self.rejected)
        return len(self.rejected) / total if total else 0.0

    def told_splits(self) -> str:
        """``test (20), train (80)``."""
        return ", ".join(f"{name} ({count:,})" for name, count in sorted(self.splits.items()))

    def summary(self, first: int = 3) -> str:
        """One paragraph for the log: counts, and the first rejected rows by name."""
        lines = [f"{len(self.cases):,} cases, {len(self.rejected):,} set aside"]
        if self.skipped:
            lines[0] += f", {self.skipped:,} outside the set or split"
        if len(self.splits) > 1:
            lines[0] += f"; of the splits {self.told_splits()}"
        lines += [f"  {count:,} of these: {reason}" for reason, count in self.unasked.items()]
        lines += [f"  {rejected}" for rejected in self.rejected[:first]]
        if len(self.rejected) > first:
            lines.append(f"  and {len(self.rejected) - first:,} more")
        return "\n".join(lines)


def load_cases(
    name: str,
    path: str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    max_bad_share: float = 0.02,
    prove: Prove | None = None,
) -> LoadedCases:
    """Load a public data set or the user's own questions.

    Args:
        name: a key of ``SOURCES``.
        path: a file, or a folder as published; ``None`` fetches from the Hugging Face hub.
        split: ``train``, ``validation`` (also ``dev``, ``val``) or ``test``. A row belongs to the
            split that its own field ``split`` says, else to the one its file name says; if
            neither does, asking for a split is an error. Without it a file is read whole, a
            folder or hub set only if it has a single split.
        limit: stop after this many good cases, at least 1.
        max_bad_share: largest share of rejected rows in [0, 1] with which the set is still used.
            If ``limit`` ends the reading early, a share is judged only on as many rows as can
            show it (``1 / max_bad_share``): one bad row among ten says nothing.
        prove: gives the reason why a case cannot be graded, or ``None``; such cases are rejected.

    Raises:
        DataError: unknown name or split, nothing readable, no case left, or too many bad rows.
    """
    source = _source(name)
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}", "use at least 1, or leave it out")
    if not 0 <= max_bad_share <= 1:
        raise DataError(f"max_bad_share is {max_bad_share}", "use a share from 0 to 1")
    if split is not None and (split := canonical_split(split)) not in SPLITS:
        raise DataError(f"unknown split '{split}'", f"use one of: {', '.join(SPLITS)}")

    loaded, ended_early = _collect(source, path, split, limit, prove)
    where = str(path) if path is not None else f"{name} on the hub"
    rows = len(loaded.cases) + len(loaded.rejected)
    if not rows:
        _refuse_empty(where, loaded.skipped, name, split)
    telling = not ended_early or rows * max_bad_share >= 1 or max_bad_share == 0
    if not loaded.cases or (telling and loaded.bad_share > max_bad_share):
        raise DataError(
            f"{where}: {len(loaded.rejected):,} of {rows:,} rows are bad "
            f"({loaded.bad_share:.1%}, at most {max_bad_share:.1%} allowed):\n"
            + "\n".join(f"  {rejected}" for rejected in loaded.rejected[:5]),
            "repair the rows, choose the loader that fits the file, or raise max_bad_share",
        )
    return loaded


def _source(name: str) -> Source:
    if name in SOURCES:
        return SOURCES[name]
    close = difflib.get_close_matches(name, SOURCES, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise DataError(f"unknown data set '{name}'", f"{hint}known: {', '.join(SOURCES)}")


def _refuse_empty(where: str, skipped: int, name: str, split: str | None) -> None:
    if skipped:
        part = f"the split {split} of {name}" if split else name
        raise DataError(f"{where}: none of {skipped:,} rows belongs to {part}", "check the file")
    raise DataError(f"{where}: no rows", "check that the file was written completely")


def _collect(
    source: Source,
    path: str | Path | None,
    split: str | None,
    limit: int | None,
    prove: Prove | None,
) -> tuple[LoadedCases, bool]:
    """All rows up to the limit, and whether the limit ended the reading."""
    loaded = LoadedCases()
    unread: set[str] = set()
    first_use: dict[str, Provenance] = {}
    for origin, raw in _rows(source, path, split):
        place = Place(origin, raw.number)
        unread |= raw.values.keys() - source.fields
        try:
            if raw.problem:
                raise BadRow(raw.problem)
            if not _in_split(raw, origin, split):
                loaded.skipped += 1
                continue
            case = source.parse(raw.values, place)
            if case is None:
                loaded.skipped += 1
                continue
            earlier = first_use.setdefault(case.id, place.provenance)
            if earlier != place.provenance:
                raise BadRow(f"id '{case.id}' was already used at {earlier}")
            if prove and (reason := prove(case)):
                raise BadRow(f"cannot be graded: {reason}")
            loaded.cases.append(case)
            if split is None and (stated := raw.values.get("split") or origin.split):
                loaded.splits[canonical_split(str(stated))] += 1
        except OutsideSet as outside:
            loaded.skipped += 1
            loaded.unasked[str(outside)] += 1
        except BadRow as bad:
            loaded.rejected.append(Rejected(place.provenance, str(bad)))
        if limit is not None and len(loaded.cases) >= limit:
            break
    loaded.unread = tuple(sorted(unread))
    return loaded, limit is not None and len(loaded.cases) >= limit


def _rows(
    source: Source, path: str | Path | None, split: str | None
) -> Iterator[tuple[Origin, RawRow]]:
    for origin, rows in locate(source, None if path is None else Path(path), split):
        for raw in rows:
            yield origin, raw


def _in_split(raw: RawRow, origin: Origin, split: str | None) -> bool:
    if split is None:
        return True
    stated = raw.values.get("split") or origin.split
    if not isinstance(stated, str):
        raise BadRow("field 'split' is not text")
    if not stated:
        raise DataError(
            f"{origin.file}: neither its name nor row {raw.number} says which split it is",
            "leave the split out to read the whole file, or give rows a field 'split'",
        )
    return canonical_split(stated) == split
