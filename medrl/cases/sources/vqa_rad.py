"""VQA-RAD (Lau et al. 2018, doi:10.1038/sdata.2018.251): radiographs, CT and MRI of MedPix.

Original: one array, ``VQA_RAD Dataset Public.json``, with ``qid``, ``image_name``, ``image_organ``,
``question``, ``answer`` (text or number), ``answer_type`` (CLOSED or OPEN), ``question_type`` and
``phrase_type``; the pictures lie in ``VQA_RAD Image Folder`` beside it. A ``phrase_type`` that
begins with ``test_`` is of the test split. The files ``trainset.json`` and ``testset.json`` that
circulate have the same fields.

The hub has ``image``, ``question`` and ``answer`` only, so closed is what is answered by yes or no;
by the original's own word 272 of the 451 test questions are closed.
"""

from __future__ import annotations

from collections.abc import Iterator

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.picture_fields import pictures, share_pictures
from medrl.cases.rows import Origin, Place, RawRow, Row
from medrl.cases.sources.source import Hub, Protocol, Source
from medrl.cases.sources.visual import answered, parse_triple, stated_form


def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Read the split of an original row off the kind of its phrase."""
    for raw in share_pictures(stream, origin):
        phrase = raw.values.get("phrase_type")
        if isinstance(phrase, str):
            split = "test" if phrase.startswith("test_") else "train"
            raw = RawRow(raw.number, {**raw.values, "split": split}, raw.problem)
        yield raw


def parse(row: Row, place: Place) -> Case:
    """A row of the original or of the hub."""
    if "image_name" not in row:
        return parse_triple(row, place)
    identity = rows.optional_id(row, "qid")
    return answered(
        place,
        question=rows.text(row, "question"),
        answer=rows.text_or_number(row, "answer"),
        images=pictures(row, "image_name", place),
        form=stated_form(row),
        id=f"vqa_rad-{identity}" if identity else "",
        tags={
            "organ": rows.optional_text(row, "image_organ"),
            "task": rows.optional_text(row, "question_type"),
            **rows.labels(row, ("phrase_type", "split")),
        },
    )


SOURCE = Source(
    name="vqa_rad",
    about="VQA-RAD, questions of clinicians about radiology pictures, closed and open",
    licence="CC0 1.0 (osf.io/89kps)",
    protocol=Protocol(
        "test", 451, "2 or none",
        "both splits ask about the same pictures; open answers count only as worded, "
        "published scores also use recall or a judge",
        2018,
    ),
    parse=parse,
    fields=frozenset(
        {"qid", "image_name", "image_organ", "image", "question", "answer", "answer_type"}
        | {"question_type", "phrase_type", "split"}
    ),
    files={
        "train": ("VQA_RAD Dataset Public|trainset|train-*",),
        "test": ("VQA_RAD Dataset Public|testset|test-*",),
    },
    hub=Hub("flaviagiammarino/vqa-rad", {"train": "train", "test": "test"}),
    prepare=prepare,
    pictures=("VQA_RAD Image Folder", "VQA_RAD Image Folder.zip", "images"),
)  # fmt: skip
