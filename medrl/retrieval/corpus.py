"""What is searched: documents from a folder of texts, from a file of rows, or from the clinic."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medrl.cases.reading import read_rows
from medrl.cases.rows import BadRow, Row, optional_id, optional_text, text
from medrl.errors import DataError

TEXTS = (".txt", ".md")
"""Endings of files that a folder's documents are made from."""
PASSAGE_WORDS = 150
"""Most words of a passage that is cut from a text file (ours)."""
FIELDS: Mapping[str, tuple[str, ...]] = {
    "id": ("id",),
    "title": ("title", "module_title", "section"),
    "text": ("text",),
    "parent": ("parent", "doc_id", "module"),
}
"""Where the parts of a document stand in a row: the first of these fields that it has."""


@dataclass(frozen=True, slots=True)
class Document:
    """A passage that can be found and read.

    Attributes:
        id: unique in its corpus.
        title: may be empty.
        parent: the larger work that it is a part of, if it is one; relevance is often known for
            works and not for passages.
    """

    id: str
    title: str
    text: str
    parent: str = ""

    def is_part_of(self, name: str) -> bool:
        """Whether ``name`` means this document or the work that it is a part of."""
        return name in (self.id, self.parent)


class Corpus:
    """Documents in a fixed order.

    Args:
        name: shown in errors.

    Raises:
        DataError: no documents, or two with one id.
    """

    def __init__(self, documents: Iterable[Document], name: str) -> None:
        self.documents = tuple(documents)
        self.name = name
        if not self.documents:
            raise DataError(f"{name}: there are no documents in it", "give it some to search")
        seen: set[str] = set()
        for document in self.documents:
            if document.id in seen:
                raise DataError(
                    f"{name}: two documents have the id {document.id!r}", "make ids unique"
                )
            seen.add(document.id)

    def __len__(self) -> int:
        return len(self.documents)

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of all documents in their order."""
        content = hashlib.sha256()
        for d in self.documents:
            content.update(json.dumps([d.id, d.title, d.text, d.parent]).encode())
        return content.hexdigest()[:16]


def read_corpus(path: Path, fields: Mapping[str, str] | None = None) -> Corpus:
    """A corpus from a folder of ``.txt`` and ``.md`` files or from a file of rows.

    Args:
        fields: of a file of rows: the field that holds ``id``, ``title``, ``text`` or ``parent``
            where it is none of ``FIELDS``.

    Raises:
        DataError: nothing there or nothing in it; a row without text or id, an id used twice, a
            file that is not UTF-8: file and row are named.
    """
    if path.is_dir():
        return Corpus(_folder_documents(path), str(path))
    if not path.exists():
        raise DataError(
            f"{path}: no such corpus",
            "give a folder of .txt and .md files, a .jsonl or .jsonl.gz file, or clinic:textbook",
        )
    return Corpus(_row_documents(path, _places(fields or {})), str(path))


def _places(fields: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    if unknown := sorted(fields.keys() - FIELDS.keys()):
        raise DataError(
            f"documents have no {unknown[0]!r}", f"map fields to {', '.join(FIELDS)} only"
        )
    return {part: (fields[part],) if part in fields else FIELDS[part] for part in FIELDS}


def _row_documents(path: Path, places: Mapping[str, tuple[str, ...]]) -> Iterator[Document]:
    rows_of: dict[str, int] = {}
    for raw in read_rows(path):
        try:
            if raw.problem:
                raise BadRow(raw.problem)
            document = _document(raw.values, places)
        except BadRow as error:
            raise DataError(
                f"{path}:{raw.number}: {error}",
                "repair the row, or say by a field map where its id and text stand",
            ) from error
        if document.id in rows_of:
            raise DataError(
                f"{path}:{raw.number}: id {document.id!r} is that of row {rows_of[document.id]}",
                "make ids unique",
            )
        rows_of[document.id] = raw.number
        yield document


def _document(row: Row, places: Mapping[str, tuple[str, ...]]) -> Document:
    found = optional_id(row, *places["id"])
    if not found:
        raise BadRow(f"field '{places['id'][0]}' is missing")
    titles = (optional_text(row, field) for field in places["title"])
    return Document(
        id=found,
        title=next(filter(None, titles), ""),
        text=text(row, places["text"][0]),
        parent=optional_id(row, *places["parent"]),
    )


# ---- folders of texts ------------------------------------------------------------------------


def _folder_documents(folder: Path) -> Iterator[Document]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in TEXTS or any(part.startswith(".") for part in inside.parts):
            continue
        try:
            content = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: not UTF-8 (byte {error.start})",
                "convert it, e.g. iconv -f latin1 -t utf-8 OLD > NEW",
            ) from error
        parent = inside.as_posix()
        passages = passages_of(content, path.stem, markdown=path.suffix.lower() == ".md")
        for number, (title, passage) in enumerate(passages, 1):
            yield Document(f"{parent}#{number}", title, passage, parent)


_HEADING = re.compile(r"#{1,6}\s+(.+?)\s*#*$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def passages_of(content: str, name: str, markdown: bool) -> Iterator[tuple[str, str]]:
    """Title and text of each passage of a file.

    Paragraphs are joined while they have no more than ``PASSAGE_WORDS`` words together, and never
    across a heading of Markdown, which is the title of what follows; a longer one is cut between
    sentences, or between words if a sentence is as long. Without a heading the title is ``name``.
    """
    title, waiting = name, list[str]()
    for paragraph in re.split(r"\n\s*\n", content):
        lines = [line.strip() for line in paragraph.splitlines() if line.strip()]
        while lines and markdown and (heading := _HEADING.match(lines[0])):
            yield from ((title, text) for text in _packed(waiting))
            title, waiting = heading.group(1), []
            lines.pop(0)
        if lines:
            waiting.append(" ".join(lines))
    yield from ((title, text) for text in _packed(waiting))


def _packed(paragraphs: Sequence[str]) -> Iterator[str]:
    """Paragraphs joined and cut to passages."""
    packed: list[str] = []
    size = 0
    for piece in (piece for paragraph in paragraphs for piece in _pieces(paragraph)):
        words = len(piece.split())
        if packed and size + words > PASSAGE_WORDS:
            yield " ".join(packed)
            packed, size = [], 0
        packed.append(piece)
        size += words
    if packed:
        yield " ".join(packed)


def _pieces(paragraph: str) -> Iterator[str]:
    if len(paragraph.split()) <= PASSAGE_WORDS:
        yield paragraph
        return
    for sentence in _SENTENCE_END.split(paragraph):
        words = sentence.split()
        for start in range(0, len(words), PASSAGE_WORDS):
            yield " ".join(words[start : start + PASSAGE_WORDS])
