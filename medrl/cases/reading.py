"""Reading records from JSON lines, JSON, CSV, Parquet and NumPy archives, with row numbers.

A record that cannot be read comes back with its problem; a file that cannot be read is refused.
"""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow
import pyarrow.parquet

from medrl.cases.rows import RawRow
from medrl.errors import DataError

READABLE = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".parquet", ".npz")
_GZIP_MAGIC = b"\x1f\x8b"


def data_stem(path: Path) -> str | None:
    """File name without its readable ending; ``None`` for other files."""
    for ending in sorted(READABLE, key=len, reverse=True):
        if path.name.endswith(ending):
            return path.name[: -len(ending)]
    return None


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[RawRow]:
    """Rows of one file, streamed (a ``.json`` that is one array or object is read whole).

    Args:
        columns: names of the columns of a CSV file without header; other formats ignore them.

    Raises:
        DataError: unknown ending, a pickle, unreadable gzip, Parquet or NumPy archive, or text that
            is not UTF-8.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise DataError(
            f"{path}: a pickle can run any program when it is read, so none is read",
            "use the set's JSON, CSV or Parquet form",
        )
    if data_stem(path) is None:
        raise DataError(f"{path}: unknown kind of file", f"use one of {', '.join(READABLE)}")
    kind = path.name.removesuffix(".gz").rsplit(".", 1)[-1]
    if kind in ("parquet", "npz"):
        yield from _parquet_rows(path) if kind == "parquet" else _npz_rows(path)
        return
    try:
        with _open(path) as stream:
            lines = _decoded(path, stream)
            readers: dict[str, Callable[[], Iterator[RawRow]]] = {
                "jsonl": lambda: _json_lines(enumerate(lines, 1)),
                "json": lambda: _json_file(path, lines),
                "csv": lambda: _csv_rows(path, lines, columns),
            }
            yield from readers[kind]()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip ({error})", "fetch the file again") from error
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "check the path and its rights") from error


def _open(path: Path) -> IO[bytes] | gzip.GzipFile:
    """Binary stream; gzip is recognised by its first bytes, since files get renamed."""
    with path.open("rb") as probe:
        magic = probe.read(2)
    if magic == _GZIP_MAGIC:
        return gzip.open(path, "rb")
    if path.suffix == ".gz" and magic:
        raise DataError(f"{path}: ends in .gz but is not gzip", "rename it without .gz")
    return path.open("rb")


def _decoded(path: Path, stream: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(stream, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}:{number}: not UTF-8 (byte 0x{line[error.start]:02x})",
                "convert it, e.g. iconv -f latin1 -t utf-8 OLD > NEW",
            ) from error


def _json_lines(lines: Iterator[tuple[int, str]]) -> Iterator[RawRow]:
    for number, line in lines:
        if line.strip():
            try:
                yield _record(number, json.loads(line))
            except (json.JSONDecodeError, RecursionError) as error:
                yield RawRow(number, {}, f"broken JSON: {error}")


def _record(number: int, value: Any) -> RawRow:
    if isinstance(value, dict):
        return RawRow(number, value)
    return RawRow(number, {}, f"a JSON {type(value).__name__}, not an object")


def _json_file(path: Path, lines: Iterator[str]) -> Iterator[RawRow]:
    """JSON lines under the ending ``.json``, one array, or one object of id to record."""
    numbered = ((n, line) for n, line in enumerate(lines, 1) if line.strip())
    head = list(_take(numbered, 2))
    if len(head) == 2 and all(_one_object(line) for _, line in head):
        yield from _json_lines(chain(head, numbered))
        return
    try:
        value = json.loads("".join(line for _, line in chain(head, numbered)) or "[]")
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path}: broken JSON: {error}", "repair it or write JSON lines") from error
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        value = [{"_key": key, **record} for key, record in value.items()]
    for number, record in enumerate(value if isinstance(value, list) else [value], 1):
        yield _record(number, record)


def _take(items: Iterator[tuple[int, str]], count: int) -> Iterator[tuple[int, str]]:
    for _, item in zip(range(count), items, strict=False):
        yield item


def _one_object(line: str) -> bool:
    """Whether a line looks like one whole record; a record with a slip inside still does."""
    line = line.strip()
    return line.startswith("{") and line.endswith("}")


def _csv_rows(path: Path, lines: Iterator[str], columns: Sequence[str] | None) -> Iterator[RawRow]:
    reader = csv.reader(lines, strict=True)
    start = 1
    try:
        for values in reader:
            number, start = start, reader.line_num + 1
            if not values:
                continue
            if columns is None:
                columns = values
            elif len(values) != len(columns):
                problem = f"{len(values)} columns; {len(columns)} expected"
                yield RawRow(number, {}, problem)
            else:
                yield RawRow(number, dict(zip(columns, values, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}:{start}: broken CSV: {error}", "check the quotes") from error


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                number += 1
                yield RawRow(number, {key: _without_null(v) for key, v in values.items()})
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: unreadable Parquet: {reason}", "fetch it again") from error


def _without_null(value: Any) -> Any:
    """A Parquet struct has every key in every row; those that a row does not use are null."""
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


def _npz_rows(path: Path) -> Iterator[RawRow]:
    """MedMNIST's form: arrays ``train_images``, ``train_labels`` and so on; numbered through."""
    number = 0
    try:
        with np.load(path, allow_pickle=False) as arrays:
            splits = [split for split in ("train", "val", "test") if f"{split}_images" in arrays]
            for split in splits:
                images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
                for image, label in zip(images, labels, strict=True):
                    number += 1
                    yield RawRow(number, {"image": image, "label": label.tolist(), "split": split})
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not MedMNIST's form: {error}", "fetch it again") from error
    if not number:
        raise DataError(f"{path}: no arrays train_images or test_images", "fetch it again")
