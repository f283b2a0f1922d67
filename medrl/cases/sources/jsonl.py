"""The user's own questions, one JSON object per line.

Fields of a row (a ``.json`` array and Parquet columns with these names work too):

    question    text, required: the stem, without options
    options     {"A": text, "B": text, ...} or [text, text, ...], 2 to 26 of them
    answer      required: the gold letter, or the gold option's exact text
    id          text or number; made from file and row if missing; must be unique
    image       a picture shown before the question; images: a list of them, in order
    context     text shown before the stem
    tags        {name: text} for stratified reporting
    split       train, validation (dev) or test
    kind        option (the default), label, number or phrase: how the answer is compared

A picture is a file name relative to the rows' own folder, a text ``data:image/png;base64,...`` or,
in Parquet, bytes or ``{bytes, path}``.

A row may instead give the letter as ``answer_idx``; ``answer`` is then the option's text and both
must agree. That is the compact form in which many public sets circulate, so their usual label
fields (``LABELS``) become tags.

Without options, ``answer`` is a ``number`` (with ``unit`` and ``tolerance``, a relative half-width,
if it has any) or a ``phrase``. Rows of pictures often say ``type`` instead of ``kind``: ``mcq`` is
an option, ``closed`` yes or no as options, ``count`` a whole number, ``open`` a phrase.
``grounding`` asks for a box, which the grader does not read; such rows are left out and counted.
Other types mean nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from medrl.cases import rows
from medrl.cases.case import LETTERS, Case, Reference
from medrl.cases.picture_fields import optional_pictures
from medrl.cases.rows import BadRow, OutsideSet, Place, Row
from medrl.cases.sources.source import Protocol, Source

LABELS = (
    *("subject", "topic", "category", "year", "meta_info", "choice_type", "src", "split"),
    *("medical_task", "body_system", "question_type", "book", "chapter"),
)


KINDS = ("option", "label", "number", "phrase")
TYPES = {"mcq": "option", "closed": "closed", "count": "count", "open": "phrase"}
YES_NO = ("yes", "no")


def parse(row: Row, place: Place) -> Case:
    """A row of the schema above."""
    kind = _kind(row)
    options = rows.options(row.get("options")) if kind in ("option", "label") else ()
    question = rows.text(row, "question")
    identity, context = rows.optional_id(row, "id"), rows.optional_text(row, "context")
    images = optional_pictures(row, place, "images", "image")
    tags = {**rows.labels(row, LABELS), **_tags(row.get("tags"))}
    if kind != "option":
        return rows.new_case(
            place,
            question=question,
            reference=_reference(kind, row, options),
            id=identity,
            context=context,
            images=images,
            tags=tags,
        )
    if row.get("answer_idx") is not None:
        gold, gold_text = rows.text(row, "answer_idx"), rows.optional_text(row, "answer")
    else:
        gold, gold_text = gold_letter(rows.text(row, "answer"), options), ""
    return rows.option_case(
        place,
        id=identity,
        question=question,
        options=options,
        gold=gold,
        gold_text=gold_text,
        context=context,
        images=images,
        tags=tags,
    )


def yes_or_no(answer: str) -> Reference | None:
    """Yes and no as two options, for an answer that is one of them; else ``None``.

    Options and not labels: they may be answered by letter and by text, and by likelihood.
    """
    said = answer.strip(" .").lower()
    return Reference("option", "AB"[YES_NO.index(said)], YES_NO) if said in YES_NO else None


def _kind(row: Row) -> str:
    stated, usual = row.get("kind"), row.get("type")
    if stated is None:
        if usual == "grounding":
            raise OutsideSet("type 'grounding' asks for a box, which the grader does not read")
        return TYPES.get(usual, "option") if isinstance(usual, str) else "option"
    if stated not in KINDS:
        raise BadRow(f"kind '{str(stated)[:40]}' is not one of {', '.join(KINDS)}")
    return str(stated)


def _reference(kind: str, row: Row, options: tuple[str, ...]) -> Reference:
    answer = rows.text_or_number(row, "answer")
    if kind == "phrase":
        return Reference("phrase", answer)
    if kind == "label":
        if answer not in options:
            raise BadRow(f"answer '{answer[:40]}' is not one of {', '.join(options)}")
        return Reference("label", answer, options)
    if kind == "closed":
        reference = yes_or_no(answer)
        if reference is None:
            raise BadRow(f"answer '{answer[:40]}' is neither yes nor no")
        return reference
    if kind == "count" and not answer.isdecimal():
        raise BadRow(f"answer '{answer[:40]}' is not a whole number")
    return _number(answer, row)


def _number(answer: str, row: Row) -> Reference:
    tolerance = rows.text_or_number(row, "tolerance") if row.get("tolerance") is not None else "0"
    try:
        value, width = float(answer), float(tolerance)
    except ValueError as error:
        raise BadRow(
            f"answer '{answer[:40]}' or tolerance '{tolerance[:40]}' is not a number"
        ) from error
    if not math.isfinite(value) or not 0 <= width < 1:
        raise BadRow(
            f"answer {answer[:40]} is infinite, or tolerance {tolerance[:40]} not in [0, 1)"
        )
    return Reference("number", answer, unit=rows.optional_text(row, "unit"), tolerance=width)


def gold_letter(answer: str, options: Sequence[str]) -> str:
    """Letter meant by ``answer``: a letter of the options or one option's exact text.

    Raises:
        BadRow: neither, or both with different letters (options that are letters themselves).
    """
    letters = LETTERS[: len(options)]
    readings = {answer} & set(letters)
    readings |= {letter for letter, text in zip(letters, options, strict=False) if text == answer}
    if not readings:
        raise BadRow(f"gold '{answer[:40]}' is neither a letter nor the text of an option")
    if len(readings) > 1:
        meant = " or ".join(sorted(readings))
        raise BadRow(f"gold '{answer[:40]}' may mean {meant}: give the letter as 'answer_idx'")
    return readings.pop()


def _tags(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRow("field 'tags' is not an object of texts")
    if not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise BadRow("field 'tags' holds something that is not text")
    return dict(value)


SOURCE = Source(
    name="jsonl",
    about="your own questions, with pictures or without",
    licence="yours",
    protocol=Protocol("test", 0, "2 to 26", "report the file and its size with every number"),
    parse=parse,
    fields=frozenset(
        {"id", "question", "options", "answer", "answer_idx", "context", "tags", *LABELS}
        | {"image", "images", "kind", "type", "unit", "tolerance"}
    ),
    files={"train": ("train*",), "validation": ("dev*|val*",), "test": ("test*",)},
)
