"""What the registry knows about a data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from medrl.cases.case import Case
from medrl.cases.rows import Origin, Place, RawRow, Row

SPLITS = ("train", "validation", "test")
_ALIASES = dict.fromkeys(("dev", "valid", "validate", "val"), "validation")


def canonical_split(word: str) -> str:
    """``train``, ``validation`` or ``test`` for any usual spelling; other words unchanged."""
    return _ALIASES.get(word.lower(), word.lower())


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a data set lies on the Hugging Face hub.

    Attributes:
        repo: id of the data set.
        splits: our split name to the hub's; ``"all"`` for a set that is published unsplit. The name
            of a file (``MM/test.jsonl``) is fetched and read as a file.
        configs: configurations read one after the other; ``None`` is the default one.
        archives: files beside the rows that hold the pictures, fetched whole.
    """

    repo: str
    splits: Mapping[str, str]
    configs: tuple[str | None, ...] = (None,)
    archives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """How results on a set are usually reported.

    Attributes:
        split: split that is reported.
        size: its number of questions; 0 for the user's own data.
        options: number of options, e.g. ``"4"`` or ``"3 to 10"``.
        note: what a reader of the number must know.
        since: year from which questions and answers have been public; 0 for the user's own data.
    """

    split: str
    size: int
    options: str
    note: str
    since: int = 0


Continuation = Literal["letter", "text"]

LETTERS_PROMPT = "Question: {question}\n{options}\nAnswer:"
TEXTS_PROMPT = "Question: {question}\nAnswer:"


@dataclass(frozen=True, slots=True)
class Form:
    """How a set is asked when the likelihoods of its options are compared.

    Attributes:
        task: the task of lm-evaluation-harness that asks in the same words. It begins with
            ``medrl_`` where that has none, so that no figure passes for a published one.
        prompt: text with ``{question}``, ``{options}`` and ``{context}``; a context without a
            place of its own stands before the question. Other places, in ``task`` too, are tags.
        continuation: what follows the prompt and a blank: the option's letter or its text.
    """

    task: str
    prompt: str = LETTERS_PROMPT
    continuation: Continuation = "letter"


def unchanged(rows: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """For sets whose rows can be understood one by one."""
    return rows


def all_of(split: str) -> Callable[[Iterator[RawRow], Origin], Iterator[RawRow]]:
    """For sets of a single split, whatever a file or the hub calls it."""

    def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
        for raw in stream:
            yield RawRow(raw.number, {**raw.values, "split": split}, raw.problem)

    return prepare


@dataclass(frozen=True, slots=True)
class Source:
    """One data set: how to find, read and report it.

    Attributes:
        name: name on the command line and in recipes.
        about: one line.
        licence: licence as stated by its publishers.
        protocol: how results are reported.
        parse: a row to a case; ``None`` if the row is no part of the set. Raises ``BadRow``.
        fields: fields that ``parse`` reads; others are reported as not read.
        files: split to the stems of its files inside a folder; each stem must match exactly one
            file, or all numbered parts of one (``train-00001-of-00007``). ``|`` separates
            alternatives, ``*`` is a wildcard. A stem behind a folder (``MM/test``) takes every
            file of that folder that it matches.
        hub: place on the hub, if there is one that needs no remote code.
        columns: columns of CSV files without header.
        prepare: sees all rows of a file first, for what one row alone cannot tell.
        form: how likelihoods are asked for; ``None``: letters, see ``form_of``.
        pictures: folders and ZIP archives, beside a file or up to two folders above it, in which
            pictures that rows name are looked for; the folder of the file comes first.
    """

    name: str
    about: str
    licence: str
    protocol: Protocol
    parse: Callable[[Row, Place], Case | None]
    fields: frozenset[str]
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hub: Hub | None = None
    columns: tuple[str, ...] | None = None
    prepare: Callable[[Iterator[RawRow], Origin], Iterator[RawRow]] = unchanged
    form: Form | None = None
    pictures: tuple[str, ...] = ()
