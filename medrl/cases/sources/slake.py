"""SLAKE (Liu et al. 2021, arXiv:2102.09542), its English questions: CT, MRI and X-ray.

Arrays ``train.json``, ``validate.json`` (on the hub ``validation.json``) and ``test.json`` with
``qid``, ``img_name`` (``xmlab102/source.jpg`` in the folder ``imgs``), ``question``, ``answer``,
``q_lang`` (en or zh), ``answer_type`` (CLOSED or OPEN), ``content_type``, ``modality``,
``location`` and ``base_type`` (vqa, or kvqa where knowledge from outside is needed). Chinese
questions are no part of this set.
"""

from __future__ import annotations

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import Place, Row
from medrl.cases.sources.source import Hub, Protocol, Source
from medrl.cases.sources.visual import answered, stated_form


def parse(row: Row, place: Place) -> Case | None:
    """A row; ``None`` in Chinese."""
    if rows.text(row, "q_lang") != "en":
        return None
    identity = rows.optional_id(row, "qid")
    return answered(
        place,
        question=rows.text(row, "question"),
        answer=rows.text_or_number(row, "answer"),
        images=pictures(row, "img_name", place),
        form=stated_form(row),
        id=f"slake-{identity}" if identity else "",
        tags={
            "modality": rows.optional_text(row, "modality"),
            "organ": rows.optional_text(row, "location"),
            "task": rows.optional_text(row, "content_type"),
            **rows.labels(row, ("base_type", "split")),
        },
    )


SOURCE = Source(
    name="slake",
    about="SLAKE, questions about CT, MRI and X-ray, closed and open, in English",
    licence="CC BY 4.0 (BoKelvin/SLAKE)",
    protocol=Protocol(
        "test", 1061, "2 or none",
        "English only; open answers count only as worded, lists in their order",
        2021,
    ),
    parse=parse,
    fields=frozenset(
        {"qid", "img_name", "question", "answer", "q_lang", "answer_type", "content_type"}
        | {"modality", "location", "base_type", "split"}
    ),
    files={"train": ("train",), "validation": ("validate|validation",), "test": ("test",)},
    hub=Hub(
        "BoKelvin/SLAKE",
        {"train": "train.json", "validation": "validation.json", "test": "test.json"},
        archives=("imgs.zip",),
    ),
    pictures=("imgs", "imgs.zip"),
)  # fmt: skip
