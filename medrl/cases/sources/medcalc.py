"""MedCalc-Bench (Khandekar et al. 2024, arXiv:2406.12036): a note, a question, a computed answer.

Columns as published: ``Calculator ID``, ``Patient Note``, ``Question``, ``Ground Truth Answer``...;
the same names in lower case with underscores are read too, and ``calculator``, ``answer`` and
``explanation`` for their longer forms. The limits of a row travel as tags, so that the benchmark's
own rule can be applied (``medrl.calculators.scoring``, reward term ``calculator``).

A decimal is a number within 5 %, a whole number an exact one. Dates and gestational ages are
phrases for the general grader, which wants them written as the question asks; the benchmark's rule
also reads other spellings.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medrl.calculators.dates import read_date, read_weeks, write_date, write_weeks
from medrl.calculators.outputs import TOLERANCE, Output, output_of, rule_tags
from medrl.cases import rows
from medrl.cases.case import Case, Reference
from medrl.cases.rows import BadRow, Place, Row
from medrl.cases.sources.source import Hub, Protocol, Source

_SHORT = {
    "calculator_name": "calculator",
    "ground_truth_answer": "answer",
    "ground_truth_explanation": "explanation",
}
_COLUMNS = (
    *("Row Number", "Calculator ID", "Calculator Name", "Category", "Output Type", "Note ID"),
    *("Note Type", "Patient Note", "Question", "Relevant Entities", "Ground Truth Answer"),
    *("Lower Limit", "Upper Limit", "Ground Truth Explanation"),
)
_LABELS = ("category", "note_type", "split")


@dataclass(frozen=True, slots=True)
class Question:
    """One row, understood.

    Attributes:
        number: of the calculator.
        answer: as listed; ``lower`` and ``upper`` the limits of a decimal.
        entities: extracted values by name.
    """

    id: str
    number: int
    calculator: str
    note: str
    question: str
    answer: str
    output: Output
    lower: str
    upper: str
    entities: Mapping[str, Any]
    explanation: str
    labels: Mapping[str, str]


def question_of(row: Row) -> Question:
    """A row in either spelling of its columns.

    Raises:
        BadRow: a field is missing or cannot be read.
    """
    row = {_key(name): value for name, value in row.items()}
    number = _whole(row, "calculator_id")
    return Question(
        id=rows.optional_id(row, "id"),
        number=number,
        calculator=rows.text(row, "calculator"),
        note=rows.text(row, "patient_note"),
        question=rows.text(row, "question"),
        answer=rows.text_or_number(row, "answer"),
        output=output_of(number, rows.optional_text(row, "output_type")),
        lower=rows.text_or_number(row, "lower_limit"),
        upper=rows.text_or_number(row, "upper_limit"),
        entities=_entities(row.get("relevant_entities")),
        explanation=rows.optional_text(row, "explanation"),
        labels=rows.labels(row, _LABELS),
    )


def parse(row: Row, place: Place) -> Case:
    """The note as context, the question, and a reference of the kind of its answer."""
    read = question_of(row)
    decimal = read.output == "decimal"  # the limits of a date are dates
    low, high = (_float(x) if decimal else 0.0 for x in (read.lower, read.upper))
    tags = rule_tags(str(read.number), read.output, low, high)
    rationale = {"rationale": read.explanation} if read.explanation else {}
    return Case(
        id=read.id or place.case_id(),
        question=read.question,
        reference=_reference(read),
        source=place.provenance,
        context=read.note,
        tags={**read.labels, **tags, "calculator_name": read.calculator, **rationale},
    )


def _reference(read: Question) -> Reference:
    if read.output == "date":
        day = read_date(read.answer)
        if day is None:
            raise BadRow(f"answer '{read.answer[:40]}' is no date")
        return Reference("phrase", write_date(day))
    if read.output == "weeks_days":
        pair = read_weeks(read.answer)
        if pair is None:
            raise BadRow(f"answer '{read.answer[:40]}' is not weeks and days")
        return Reference("phrase", write_weeks(*pair))
    value = _float(read.answer)
    if read.output == "integer":
        return Reference("number", str(round(value)))
    return Reference("number", f"{value:.12g}", tolerance=TOLERANCE)


def _key(name: str) -> str:
    lower = name.strip().lower().replace(" ", "_")
    return _SHORT.get(lower, lower)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadRow(f"answer or limit '{text[:40]}' is no number") from error


def _whole(row: Row, field: str) -> int:
    text = rows.text_or_number(row, field)
    if not text.isdecimal():
        raise BadRow(f"field '{field}' is '{text[:40]}', not a whole number")
    return int(text)


def _entities(value: object) -> Mapping[str, Any]:
    """A mapping, or one written as text: JSON, or a Python literal as in the published CSV."""
    if isinstance(value, Mapping):
        return value
    if value is None or value == "":
        return {}
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(str(value))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, Mapping):
            return found
    raise BadRow("field 'relevant_entities' is no object")


SOURCE = Source(
    name="medcalc",
    about="MedCalc-Bench, clinical calculations from patient notes",
    licence="CC BY-SA 4.0",
    protocol=Protocol(
        "test", 1100, "none",
        "say which release; by its own rule: decimals within 5 %, whole numbers after rounding",
        2024,
    ),
    parse=parse,
    fields=frozenset(
        {*_COLUMNS, *(name.lower().replace(" ", "_") for name in _COLUMNS), *_SHORT.values()}
        | set(_LABELS)
    ),
    files={"train": ("train_data|train*",), "test": ("test_data|test*",)},
    hub=Hub("ncbi/MedCalc-Bench", {"train": "train", "test": "test"}),
)  # fmt: skip
