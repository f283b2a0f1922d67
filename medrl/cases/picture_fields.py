"""The pictures that a row names or holds. Whether they are there is checked, nothing is decoded."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

import numpy as np

from medrl.cases.picture import Picture
from medrl.cases.pictures import PictureBytes, PicturePixels, find_picture
from medrl.cases.rows import BadRow, Origin, Place, RawRow, Row, kind_of

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,")
_LONGEST_NAME = 1000


def pictures(row: Row, field: str, place: Place) -> tuple[Picture, ...]:
    """One picture or a list of them, in order.

    Each is a file name (in ``place.origin.pictures``), a text ``data:image/png;base64,...``, the
    bytes of a file, ``{"bytes": ..., "path": ...}`` as the hub has it, or an array of pixels.

    Raises:
        BadRow: the field is missing or of another type, or a picture is not there.
    """
    value = row.get(field)
    if value is None:
        raise BadRow(f"field '{field}' is missing")
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise BadRow(f"field '{field}' is empty")
    return tuple(_picture(item, field, place) for item in items)


def optional_pictures(row: Row, place: Place, *fields: str) -> tuple[Picture, ...]:
    """Pictures of the first of ``fields`` that is there and not empty; none if none is."""
    for field in fields:
        value = row.get(field)
        empty = isinstance(value, str | list | tuple | Mapping) and not value
        if value is not None and not empty:
            return pictures(row, field, place)
    return ()


def share_pictures(stream: Iterator[RawRow], origin: Origin) -> Iterator[RawRow]:
    """Keep equal bytes in the field ``image`` once: the hub repeats a picture for each question."""
    kept: dict[bytes, bytes] = {}
    for raw in stream:
        image = raw.values.get("image")
        if isinstance(image, Mapping) and isinstance(image.get("bytes"), bytes):
            data = kept.setdefault(image["bytes"], image["bytes"])
            raw = RawRow(raw.number, {**raw.values, "image": {**image, "bytes": data}}, raw.problem)
        yield raw


def _picture(item: object, field: str, place: Place) -> Picture:
    if isinstance(item, str):
        encoded = _DATA_URI.match(item)
        return _decoded(item[encoded.end() :], place) if encoded else _named(item, field, place)
    if isinstance(item, bytes):
        return _held(item, "", field, place)
    if isinstance(item, np.ndarray):
        return _pixels(item, field, place)
    if isinstance(item, Mapping) and (item.get("bytes") or item.get("path")):
        data, name = item.get("bytes"), item.get("path") or ""
        if isinstance(data, bytes):
            return _held(data, str(name), field, place)
        return _named(str(name), field, place)
    raise BadRow(f"field '{field}' is {kind_of(item)}, not the name or the bytes of a picture")


def _named(name: str, field: str, place: Place) -> Picture:
    if not name.strip():
        raise BadRow(f"field '{field}' is empty")
    if len(name) > _LONGEST_NAME or "\0" in name:
        raise BadRow(
            f"field '{field}' has {len(name):,} characters, which is no file name; write encoded "
            "pictures as data:image/png;base64,..."
        )
    places = place.origin.pictures
    found = find_picture(name.strip(), places, place.provenance)
    if found is None:
        where = ", ".join(map(str, places)) or "the hub, which has rows only"
        raise BadRow(f"picture '{name}' is not in {where}")
    return found


def _decoded(text: str, place: Place) -> Picture:
    try:
        return PictureBytes(base64.b64decode(text, validate=True), place.provenance)
    except (binascii.Error, ValueError) as error:
        raise BadRow(f"a picture is no base64 ({error})") from error


def _held(data: bytes, name: str, field: str, place: Place) -> Picture:
    if not data:
        raise BadRow(f"field '{field}' is empty")
    return PictureBytes(data, place.provenance, name)


def _pixels(array: np.ndarray, field: str, place: Place) -> Picture:
    rgb = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (array.ndim == 2 or rgb) or not array.size:
        raise BadRow(f"field '{field}' has shape {array.shape} of {array.dtype}; no 8-bit picture")
    height, width = array.shape[:2]
    return PicturePixels(array.tobytes(), (width, height), rgb, place.provenance)
