"""OmniMedVQA (Hu et al. 2024, arXiv:2402.09181), the part with open access: twelve modalities.

The archive of ``foreverbeliever/OmniMedVQA`` on the hub, unpacked: one array for each of 42 data
sets in ``QA_information/Open-access``, with ``dataset``, ``question_id``, ``question_type``,
``question``, ``gt_answer`` (the text), ``option_A`` to ``option_D`` (two to four of them),
``modality_type`` (once ``modality``) and ``image_path``, which begins at the folder ``Images``.
Pictures of the restricted part are not in the archive, so it is not read. Everything is for
testing.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrl.cases import rows
from medrl.cases.case import LETTERS, Case
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import BadRow, Origin, Place, RawRow, Row
from medrl.cases.sources.source import Protocol, Source
from medrl.cases.text import option_key

_OPTIONS = ("option_A", "option_B", "option_C", "option_D")


def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Everything there is is for testing."""
    for raw in stream:
        yield RawRow(raw.number, {**raw.values, "split": "test"}, raw.problem)


def parse(row: Row, place: Place) -> Case:
    """A row of one of the data sets."""
    options = [rows.optional_text(row, field) for field in _OPTIONS]
    while options and not options[-1]:
        options.pop()
    answer = rows.text(row, "gt_answer")
    keys = [option_key(option) for option in options]
    if option_key(answer) not in keys:
        raise BadRow(f"gt_answer '{answer[:40]}' is none of the options")
    identity = rows.optional_id(row, "question_id")
    modality = rows.optional_text(row, "modality_type") or rows.optional_text(row, "modality")
    return rows.option_case(
        place,
        id=f"omnimedvqa-{identity}" if identity else "",
        question=rows.text(row, "question"),
        options=options,
        gold=LETTERS[keys.index(option_key(answer))],
        images=pictures(row, "image_path", place),
        tags={
            "form": "closed",
            "modality": modality,
            "task": rows.optional_text(row, "question_type"),
            "dataset": rows.optional_text(row, "dataset"),
        },
    )


SOURCE = Source(
    name="omnimedvqa",
    about="OmniMedVQA, open access: 42 data sets, 12 modalities, 2 to 4 options",
    licence="each data set's own; see foreverbeliever/OmniMedVQA",
    protocol=Protocol(
        "test", 88996, "2 to 4",
        "no split of its own: say which part was trained on; report by modality and by task",
        2024,
    ),
    parse=parse,
    fields=frozenset(
        {"dataset", "question_id", "question_type", "question", "gt_answer", "image_path"}
        | {"modality_type", "modality", "split", *_OPTIONS}
    ),
    files={"test": ("Open-access/*",)},
    prepare=prepare,
    pictures=(".",),
)  # fmt: skip
