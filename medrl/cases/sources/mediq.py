"""MediQ (Li et al. 2024, arXiv:2406.00922): questions whose patient has to be asked first.

Rows of ``all_dev_good.jsonl`` (the 1,272 of MedQA's dev split) and of ``all_craft_md.jsonl``
(iCRAFT-MD, 140 of dermatology): ``context`` (sentences about the patient, of which the first is
told at once; the compact form repeats it as ``initial_info``), ``facts`` (the same as numbered
statements), ``question``, ``options``, ``answer_idx``, ``answer`` and ``patient``.

The question of a case is what is told at once and, on a line of its own, what is asked; the options
are the reference. A statement of the record is both how it is asked for and what is answered, since
the set has no words of a doctor. The letter alone says what is right, as in MediQ's own evaluation:
``answer`` may have another name of the same disease. A question that tells of no patient is left
out and counted.
"""

from __future__ import annotations

import re

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.record import Fact, Record
from medrl.cases.rows import OutsideSet, Place, Row
from medrl.cases.sources.source import Protocol, Source, all_of

_NUMBER = re.compile(r"\s*(?:\d+\.|-)\s+")


def parse(row: Row, place: Place) -> Case:
    """A question with its patient."""
    told = [text if text[-1] in ".?!" else f"{text}." for text in rows.texts(row, "context")]
    if not told:
        raise OutsideSet("it tells of no patient who could be asked")
    statements = [_NUMBER.sub("", text, count=1).strip() for text in rows.texts(row, "facts")]
    identity = rows.optional_id(row, "id")
    return rows.option_case(
        place,
        id=f"{place.origin.dataset}-{identity}" if identity.isdecimal() else identity,
        question=f"{told[0]}\n{rows.text(row, 'question')}",
        options=rows.options(row.get("options")),
        gold=rows.text(row, "answer_idx"),
        tags={"specialty": rows.optional_text(rows.mapping(row, "patient"), "gpt_specialty")},
        record=Record(tuple(Fact(text, text) for text in statements), " ".join(told)),
    )


_FIELDS = frozenset(
    {"id", "split", "context", "initial_info", "facts", "question", "options", "answer_idx"}
    | {"answer", "patient"}
)
_LICENCE = "CC BY 4.0 (stellalisy/mediQ)"

MEDIQ = Source(
    name="mediq",
    about="MediQ, MedQA's dev split with a patient to be asked, 4 options",
    licence=_LICENCE,
    protocol=Protocol(
        "validation", 1272, "4", "it is MedQA's dev split: never train on both", 2020
    ),
    parse=parse,
    fields=_FIELDS,
    files={"validation": ("all_dev_good|mediq_medqa_dev",)},
    prepare=all_of("validation"),
)

ICRAFT_MD = Source(
    name="icraft_md",
    about="iCRAFT-MD, dermatology with a patient to be asked, 4 options",
    licence=_LICENCE,
    protocol=Protocol("test", 140, "4", "few: 95 % is +-8 points", 2024),
    parse=parse,
    fields=_FIELDS,
    files={"test": ("all_craft_md|icraft_md",)},
    prepare=all_of("test"),
)
