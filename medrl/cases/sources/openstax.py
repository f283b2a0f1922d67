"""Figures of OpenStax's textbooks (CC BY 4.0): which title belongs to the picture?

Rows of the compact form (see ``jsonl``) with ``figure_id`` in place of a picture. The pictures are
in ``openstax_figures.parquet`` beside them: ``id``, ``image_jpg`` (bytes), ``kind``, ``book``,
``chapter`` and ``credit``, which must stay with the picture and becomes a tag.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medrl.cases import rows
from medrl.cases.case import Case
from medrl.cases.reading import read_rows
from medrl.cases.rows import BadRow, Origin, Place, RawRow, Row
from medrl.cases.sources import jsonl
from medrl.cases.sources.source import Protocol, Source
from medrl.errors import DataError

FIGURES = "openstax_figures.parquet"
_TAGS = {"kind": "picture", "book": "book", "chapter": "chapter", "credit": "credit"}


def prepare(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Put each row's figure beside it.

    Raises:
        DataError: the file of figures is not there.
    """
    figures = _figures(origin)
    for raw in stream:
        figure = figures.get(str(raw.values.get("figure_id")))
        if figure is not None:
            raw = RawRow(raw.number, {**raw.values, **figure}, raw.problem)
        yield raw


def _figures(origin: Origin) -> dict[str, dict[str, Any]]:
    path = (origin.path.parent if origin.path else Path()) / FIGURES
    if not path.is_file():
        raise DataError(f"{path}: no such file", f"put the figures beside {origin.file}")
    figures = {}
    for raw in read_rows(path):
        image = {"bytes": raw.values.get("image_jpg"), "path": f"{FIGURES}:{raw.number}"}
        tags = {tag: raw.values.get(name) or "" for name, tag in _TAGS.items()}
        figures[str(raw.values.get("id"))] = {"image": image, "tags": tags}
    return figures


def parse(row: Row, place: Place) -> Case:
    """A question about a figure."""
    if "image" not in row:
        raise BadRow(f"figure '{rows.text(row, 'figure_id')}' is not in {FIGURES}")
    return jsonl.parse(row, place)


SOURCE = Source(
    name="openstax_figures",
    about="figures of OpenStax's textbooks: which title is theirs, 4 options",
    licence="CC BY 4.0 (OpenStax); some pictures are credited to others in the tag credit",
    protocol=Protocol("test", 348, "4", "the wrong options are other figures' titles", 2022),
    parse=parse,
    fields=jsonl.SOURCE.fields | {"figure_id"},
    files={"test": ("openstax_figures_vqa",)},
    prepare=prepare,
)
