"""MedXpertQA (Zuo et al. 2025, arXiv:2501.18362): Text with ten options, MM with pictures and five.

Rows of the hub (and of its JSON lines): ``id``, ``question``, ``options`` (letter to text, in some
releases a list of ``letter`` and ``content``), ``label`` (letter, or a list of one),
``medical_task``, ``body_system`` and ``question_type``. The question repeats all options behind the
words "Answer Choices:"; they are cut off there, since options are shown by the prompt. Rows with
``images``, names of files in ``images.zip``, are MM's.
"""

from __future__ import annotations

from collections.abc import Mapping

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.picture import Picture
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import BadRow, Place, Row
from medrl.cases.sources import jsonl
from medrl.cases.sources.source import Hub, Protocol, Source

_REPEATED = "Answer Choices:"


def parse_text(row: Row, place: Place) -> Case | None:
    """A row of the hub or of the compact form; ``None`` with images."""
    if row.get("answer_idx") is not None:
        return jsonl.parse(row, place)
    return None if row.get("images") else _case(row, place, ())


def parse_mm(row: Row, place: Place) -> Case | None:
    """A row with its pictures, in order; ``None`` without."""
    return _case(row, place, pictures(row, "images", place)) if row.get("images") else None


def _case(row: Row, place: Place, images: tuple[Picture, ...]) -> Case:
    options = row.get("options")
    if isinstance(options, list) and all(isinstance(option, Mapping) for option in options):
        options = {rows.text(o, "letter"): rows.text(o, "content") for o in options}
    label = row.get("label")
    if isinstance(label, list):
        if len(label) != 1:
            raise BadRow(f"field 'label' names {len(label)} options; 1 expected")
        label = label[0]
    identity = rows.optional_id(row, "id")
    form = {"form": "closed"} if images else {}
    return rows.option_case(
        place,
        id=f"medxpertqa-{identity}" if identity else "",
        question=rows.text(row, "question").partition(_REPEATED)[0].strip(),
        options=rows.options(options),
        gold=rows.text({"label": label}, "label"),
        images=images,
        tags={**form, **rows.labels(row, ("medical_task", "body_system", "question_type"))},
    )


TEXT = Source(
    name="medxpertqa_text",
    about="MedXpertQA Text, expert-level questions, ten options",
    licence="MIT (TsinghuaC3I/MedXpertQA)",
    protocol=Protocol("test", 2450, "10", "Text only; MM is another set", 2025),
    parse=parse_text,
    fields=jsonl.SOURCE.fields | {"label", "images"},
    files={"validation": ("dev*",), "test": ("test*|medxpertqa_text*",)},
    hub=Hub("TsinghuaC3I/MedXpertQA", {"validation": "dev", "test": "test"}, ("Text",)),
)

MULTIMODAL = Source(
    name="medxpertqa_mm",
    about="MedXpertQA MM, expert-level questions with pictures, five options",
    licence="MIT (TsinghuaC3I/MedXpertQA)",
    protocol=Protocol("test", 2000, "5", "MM only; one question may have several pictures", 2025),
    parse=parse_mm,
    fields=TEXT.fields,
    files={"validation": ("MM/dev*",), "test": ("MM/test*",)},
    hub=Hub(
        "TsinghuaC3I/MedXpertQA",
        {"validation": "MM/dev.jsonl", "test": "MM/test.jsonl"},
        archives=("images.zip",),
    ),
    pictures=("images", "images.zip"),
)
