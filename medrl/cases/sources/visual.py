"""What sets of questions about pictures have in common: yes or no, and everything else."""

from __future__ import annotations

from collections.abc import Mapping

from medrl.cases import rows
from medrl.cases.case import Case, Reference
from medrl.cases.picture import Picture
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import BadRow, Place, Row
from medrl.cases.sources.jsonl import yes_or_no

FORMS = {"CLOSED": "closed", "OPEN": "open"}


def answered(
    place: Place,
    *,
    question: str,
    answer: str,
    images: tuple[Picture, ...],
    form: str = "",
    id: str = "",
    tags: Mapping[str, str] | None = None,
) -> Case:
    """A question with its one answer. Yes and no become options, the rest a phrase.

    Args:
        form: ``closed`` or ``open`` as the set says it, for the tag ``form``; if it does not, yes
            and no are closed. A closed question may choose between things named in its text; their
            list is nowhere, so its answer is a phrase as well.
    """
    closed = yes_or_no(answer)
    return rows.new_case(
        place,
        question=question,
        reference=closed or Reference("phrase", answer),
        id=id,
        images=images,
        tags={"form": form or ("closed" if closed else "open"), **(tags or {})},
    )


def stated_form(row: Row) -> str:
    """``closed`` or ``open`` from the field ``answer_type``; empty if there is none."""
    stated = rows.optional_text(row, "answer_type").upper()
    if stated and stated not in FORMS:
        raise BadRow(f"field 'answer_type' is '{stated[:40]}', not CLOSED or OPEN")
    return FORMS.get(stated, "")


def parse_triple(row: Row, place: Place) -> Case:
    """A row of picture, question and answer, as the hub has these sets."""
    return answered(
        place,
        question=rows.text(row, "question"),
        answer=rows.text_or_number(row, "answer"),
        images=pictures(row, "image", place),
        tags=rows.labels(row, ("split",)),
    )
