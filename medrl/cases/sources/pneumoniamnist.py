"""PneumoniaMNIST of MedMNIST v2 (Yang et al. 2021, arXiv:2110.14795): is there pneumonia?

Chest films of children (Kermany et al. 2018). Published as ``pneumoniamnist.npz`` (28 x 28 pixels;
``pneumoniamnist_64.npz`` and so on are larger) with ``train_images``, ``train_labels`` and the same
for ``val`` and ``test``; label 1 is pneumonia. Rows with ``image_png`` (bytes), ``label`` and
``split`` are read too. The question is ours.
"""

from __future__ import annotations

from medrl.cases import rows
from medrl.cases.case import Case, Reference
from medrl.cases.picture_fields import pictures
from medrl.cases.rows import BadRow, Place, Row
from medrl.cases.sources.jsonl import YES_NO
from medrl.cases.sources.source import Protocol, Source, canonical_split

QUESTION = "Does this chest film show pneumonia?"


def parse(row: Row, place: Place) -> Case:
    """A picture with its label."""
    field = "image_png" if "image_png" in row else "image"
    split = canonical_split(rows.text(row, "split"))
    return rows.new_case(
        place,
        question=QUESTION,
        reference=Reference("option", "A" if _is_pneumonia(row) else "B", YES_NO),
        id=rows.optional_id(row, "id") or place.case_id(split),
        images=pictures(row, field, place),
        tags={"form": "closed", "modality": "X-Ray", "organ": "Lung", "split": split},
    )


def _is_pneumonia(row: Row) -> bool:
    label = row.get("label")
    if isinstance(label, list) and len(label) == 1:  # MedMNIST's labels are columns
        label = label[0]
    number = rows.index({"label": label}, "label")
    if number not in (0, 1):
        raise BadRow(f"field 'label' is {number}, neither 0 nor 1")
    return number == 1


_FILES = ("pneumoniamnist*",)

SOURCE = Source(
    name="pneumoniamnist",
    about="PneumoniaMNIST, chest films of children: pneumonia or not",
    licence="CC BY 4.0",
    protocol=Protocol(
        "test", 624, "2", "say at which size; five in eight of the test films show it", 2021
    ),
    parse=parse,
    fields=frozenset({"id", "image", "image_png", "label", "split"}),
    files={"train": _FILES, "validation": _FILES, "test": _FILES},
)
