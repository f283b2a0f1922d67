"""From a record of a file to a checked ``Case``; what is wrong with a row is said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.cases.case import LETTERS, Case, Provenance, Reference
from medrl.cases.picture import Picture
from medrl.cases.record import Record, Turn
from medrl.cases.text import option_key

Row = Mapping[str, Any]


class BadRow(Exception):
    """A row that cannot become a case; the message is the reason, without file and row."""


class OutsideSet(Exception):
    """A row that is right but cannot be asked; the message says why. It does not count as bad."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A record as it was read.

    Attributes:
        number: line (or position, for formats without lines) counted from 1.
        values: the fields; empty if the record is unreadable.
        problem: why the record is unreadable, empty if it is not.
    """

    number: int
    values: Row
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a stream of rows comes from.

    Attributes:
        dataset: name in the registry.
        file: path or hub address, as shown to the user.
        split: ``train``, ``validation`` or ``test`` where file name or hub tell it, else empty.
        path: the file, ``None`` for rows of the hub.
        part: number of the file where a split is cut into several, else empty.
        pictures: folders and archives in which pictures that rows name are looked for.
    """

    dataset: str
    file: str
    split: str = ""
    path: Path | None = None
    part: str = ""
    pictures: tuple[Path, ...] = ()

    @property
    def stem(self) -> str:
        """File name without its endings; for the hub the last part of the address."""
        return self.file.replace("\\", "/").rsplit("/", 1)[-1].split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class Place:
    """One row of an origin."""

    origin: Origin
    row: int

    @property
    def provenance(self) -> Provenance:
        return Provenance(self.origin.dataset, self.origin.file, self.row)

    def case_id(self, label: str = "") -> str:
        """Id for a row that has none: data set, ``label`` (split or file stem) and row."""
        label = label or self.origin.split or self.origin.stem
        part = f"-{self.origin.part}" if self.origin.part else ""
        return f"{self.origin.dataset}-{label}{part}-{self.row:05d}"


def text(row: Row, field: str) -> str:
    """The non-empty text of a required field.

    Raises:
        BadRow: the field is missing, not text, or blank.
    """
    if row.get(field) is None:
        raise BadRow(f"field '{field}' is missing")
    value = row[field]
    if not isinstance(value, str):
        raise BadRow(f"field '{field}' is {kind_of(value)}, not text")
    if not value.strip():
        raise BadRow(f"field '{field}' is empty")
    return value.strip()


def text_or_number(row: Row, field: str) -> str:
    """Like ``text``; a number is taken as it is written."""
    value = row.get(field)
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if plain else text(row, field)


def optional_text(row: Row, field: str) -> str:
    """Like ``text``; a field that is missing, null or blank gives the empty string."""
    value = row.get(field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    return text(row, field)


def optional_id(row: Row, *fields: str) -> str:
    """First of ``fields`` that is there, as text; ids may be numbers in the file."""
    for field in fields:
        value = row.get(field)
        if value is not None and value != "":
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
            raise BadRow(f"field '{field}' is {kind_of(value)}, not text or a whole number")
    return ""


def index(row: Row, field: str) -> int:
    """A required whole number.

    Raises:
        BadRow: the field is missing or not a whole number.
    """
    value = row.get(field)
    if value is None:
        raise BadRow(f"field '{field}' is missing")
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRow(f"field '{field}' is {kind_of(value)}, not a whole number")
    return value


def mapping(row: Row, field: str) -> Row:
    """A required object.

    Raises:
        BadRow: the field is missing or not an object.
    """
    value = row.get(field)
    if value is None:
        raise BadRow(f"field '{field}' is missing")
    if not isinstance(value, Mapping):
        raise BadRow(f"field '{field}' is {kind_of(value)}, not an object")
    return value


def mappings(row: Row, field: str) -> list[Row]:
    """A required list of objects; it may be empty.

    Raises:
        BadRow: the field is missing or not a list of objects.
    """
    return [mapping({field: item}, field) for item in _list(row, field, "objects")]


def texts(row: Row, field: str) -> list[str]:
    """A required list of non-empty texts; it may be empty.

    Raises:
        BadRow: the field is missing or not a list of texts, or one of them is blank.
    """
    return [text({field: item}, field) for item in _list(row, field, "texts")]


def _list(row: Row, field: str, of: str) -> list[Any]:
    value = row.get(field)
    if value is None:
        raise BadRow(f"field '{field}' is missing")
    if not isinstance(value, list):
        raise BadRow(f"field '{field}' is {kind_of(value)}, not a list of {of}")
    return value


def options(value: object, field: str = "options") -> tuple[str, ...]:
    """Option texts in letter order, from ``{"A": text, ...}`` or ``[text, ...]``.

    Raises:
        BadRow: another type, a letter left out, or a text that is no text.
    """
    if value is None:
        raise BadRow(f"field '{field}' is missing")
    if isinstance(value, Mapping):
        expected = list(LETTERS[: len(value)])
        if sorted(map(str, value)) != expected:
            got = ", ".join(sorted(map(str, value)))
            raise BadRow(f"field '{field}' has the letters {got}; {', '.join(expected)} expected")
        texts: list[object] = [value[letter] for letter in expected]
    elif isinstance(value, list | tuple):
        texts = list(value)
    else:
        raise BadRow(f"field '{field}' is {kind_of(value)}, not an object or a list")
    for letter, option in zip(LETTERS, texts, strict=False):
        if not isinstance(option, str):
            raise BadRow(f"option {letter} is {kind_of(option)}, not text")
    return tuple(str(option).strip() for option in texts)


def labels(row: Row, names: Sequence[str]) -> dict[str, str]:
    """Those of the fields ``names`` that hold a text or a number, as tags."""
    found = {name: row.get(name) for name in names}
    return {name: str(value) for name, value in found.items() if isinstance(value, str | int)}


def new_case(
    place: Place,
    *,
    question: str,
    reference: Reference,
    id: str = "",
    context: str = "",
    images: tuple[Picture, ...] = (),
    tags: Mapping[str, str] | None = None,
    record: Record | None = None,
    transcript: tuple[Turn, ...] = (),
) -> Case:
    """A case of a row; without ``id`` it is named after its place. Empty tags are left out."""
    return Case(
        id=id or place.case_id(),
        question=question,
        reference=reference,
        source=place.provenance,
        context=context,
        images=images,
        tags={name: tag for name, tag in (tags or {}).items() if tag},
        record=record,
        transcript=transcript,
    )


def option_case(
    place: Place,
    *,
    question: str,
    options: Sequence[str],
    gold: str,
    id: str = "",
    gold_text: str = "",
    context: str = "",
    images: tuple[Picture, ...] = (),
    tags: Mapping[str, str] | None = None,
    record: Record | None = None,
) -> Case:
    """A checked multiple-choice case.

    Args:
        gold: gold letter.
        gold_text: text of the gold option where the row repeats it; must agree with ``gold``.

    Raises:
        BadRow: fewer than 2 or more than 26 options, an empty option, two options equal up to
            case, blanks and final stops, or a gold letter that names no option.
    """
    letters = LETTERS[: len(options)]
    if not 2 <= len(options) <= len(LETTERS):
        raise BadRow(f"{len(options)} options; 2 to {len(LETTERS)} expected")
    first: dict[str, str] = {}
    for letter, option in zip(letters, options, strict=True):
        if not option.strip():
            raise BadRow(f"option {letter} is empty")
        twin = first.setdefault(option_key(option), letter)
        if twin != letter:
            raise BadRow(f"options {twin} and {letter} are equal: '{_short(option)}'")
    if len(gold) != 1 or gold not in letters:
        raise BadRow(f"gold '{_short(gold)}' is outside the options {letters[0]} to {letters[-1]}")
    if gold_text and option_key(gold_text) != option_key(options[letters.index(gold)]):
        raise BadRow(f"gold letter {gold} and gold text '{_short(gold_text)}' disagree")
    reference = Reference("option", gold, tuple(options))
    return new_case(
        place,
        question=question,
        reference=reference,
        id=id,
        context=context,
        images=images,
        tags=tags,
        record=record,
    )


def _short(value: str, limit: int = 40) -> str:
    return value if len(value) <= limit else value[: limit - 3] + "..."


def kind_of(value: object) -> str:
    """What a field holds, in words."""
    names = {"dict": "an object", "list": "a list", "str": "text", "NoneType": "null"}
    name = type(value).__name__
    return names.get(name, f"of type {name}")
