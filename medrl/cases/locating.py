"""Finding the rows of a data set: one file, a folder as its publishers laid it out, or the hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from medrl.cases.reading import data_stem, read_rows
from medrl.cases.rows import Origin, RawRow
from medrl.cases.sources import SPLITS, Hub, Source, canonical_split
from medrl.errors import DataError

Stream = tuple[Origin, Iterator[RawRow]]

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?")


def locate(source: Source, path: Path | None, split: str | None) -> Iterator[Stream]:
    """The streams of rows that make up ``split`` of ``source``.

    Args:
        path: a file, a folder, or ``None`` for the hub.
        split: canonical split name; ``None`` reads a file whole and elsewhere is allowed only
            where there is a single split.

    Raises:
        DataError: nothing there, more than one candidate, or the hub cannot be reached.
    """
    if path is None:
        yield from _hub_streams(source, split)
        return
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", f"give the files of {source.name}")
    if path.is_dir():
        files = _files_in(source, path, _one_split(source, split, list(source.files), str(path)))
    else:
        files = {path: ""}
    for file, part in files.items():
        places = _picture_places(source, file)
        origin = Origin(source.name, str(file), split_in_name(file.name), file, part, places)
        yield origin, source.prepare(read_rows(file, source.columns), origin)


def split_in_name(name: str) -> str:
    """The one split that a file name speaks of (``phrases_no_exclude_dev.jsonl``), else empty."""
    found = {canonical_split(word) for word in re.split(r"[^a-zA-Z]+", name)} & set(SPLITS)
    return found.pop() if len(found) == 1 else ""


def _one_split(source: Source, split: str | None, known: list[str], where: str) -> str:
    if split is None and len(known) == 1:
        return known[0]
    if split in known:
        return str(split)
    choice = ", ".join(known) if known else "no split"
    asked = f"split '{split}' of" if split else "no split named for"
    fix = f"name one of: {choice}" if known else "give the path of a file"
    raise DataError(f"{asked} {source.name}, but {where} has {choice}", fix)


def _picture_places(source: Source, file: Path) -> tuple[Path, ...]:
    """The folder of a file, then the source's folders and archives there and up to two above."""
    folders = (file.parent, *file.absolute().parents[1:3])
    named = [folder / name for folder in folders for name in source.pictures]
    return (file.parent, *(place for place in named if place.exists()))


def _files_in(source: Source, folder: Path, split: str) -> dict[Path, str]:
    """The files of a split, wherever they lie below ``folder``, each with its part's name."""
    stems = [(stem, file) for file in sorted(folder.rglob("*")) if (stem := data_stem(file))]
    files: dict[Path, str] = {}
    for wanted in source.files[split]:
        whole_folder = "/" in wanted
        matches = {
            file: stem
            for stem, file in stems
            for name in (f"{file.absolute().parent.name}/{stem}" if whole_folder else stem,)
            if any(fnmatchcase(name, pattern) for pattern in wanted.split("|"))
        }
        if not matches:
            raise DataError(
                f"{folder}: no file '{wanted}' for the split {split} of {source.name} "
                f"among {len(stems)} data files",
                "give the file itself as path",
            )
        if len(matches) == 1:
            matches = dict.fromkeys(matches, "")
        elif not whole_folder:
            matches = _parts(matches, folder, f"{split} of {source.name}")
        files |= matches
    return files


def _parts(matches: dict[Path, str], folder: Path, wanted: str) -> dict[Path, str]:
    """The files in the order of the parts they are numbered as (``train-00001-of-00007``).

    Raises:
        DataError: they are not the parts of one file, or some are missing.
    """
    numbered = {file: _PART.fullmatch(stem) for file, stem in matches.items()}
    parts = {match[2]: file for file, match in numbered.items() if match}
    whole = {(match[1], match[3]) for match in numbered.values() if match}
    if len(parts) < len(matches) or len(whole) != 1:
        names = ", ".join(str(file.relative_to(folder)) for file in list(matches)[:4])
        raise DataError(
            f"{folder}: {len(matches)} files could be {wanted}: {names}",
            "give the file itself as path",
        )
    [(_, total)] = whole
    if missing := [number for number in range(int(total)) if f"{number:05d}" not in parts]:
        raise DataError(
            f"{folder}: {wanted} comes in {int(total)} parts; {missing[0]:05d} is missing",
            "fetch the missing ones",
        )
    return {parts[part]: part for part in sorted(parts)}


def _hub_streams(source: Source, split: str | None) -> Iterator[Stream]:
    hub = source.hub
    if hub is None:
        raise DataError(
            f"{source.name} cannot be fetched from the hub", "download it and give its path"
        )
    known = _one_split(source, split, list(hub.splits), f"{hub.repo} on the hub")
    label = known if known in SPLITS else ""
    places = tuple(_fetch(hub, archive) for archive in hub.archives)
    for config in hub.configs:
        address = "/".join(filter(None, (hub.repo, config, hub.splits[known])))
        origin = Origin(source.name, f"hub:{address}", label, pictures=places)
        rows = _hub_rows(source, hub, config, hub.splits[known])
        yield origin, source.prepare(rows, origin)


def _hub_rows(source: Source, hub: Hub, config: str | None, split: str) -> Iterator[RawRow]:
    if data_stem(Path(split)):
        return read_rows(_fetch(hub, split), source.columns)
    records = _download(_datasets(), hub, config, split)
    return (RawRow(number, dict(row)) for number, row in enumerate(records, 1))


def _fetch(hub: Hub, file: str) -> Path:
    """A file of the hub as it lies there; kept in its cache."""
    client = importlib.import_module("huggingface_hub")  # transformers brings it
    try:
        return Path(client.hf_hub_download(hub.repo, file, repo_type="dataset"))
    except (OSError, ValueError) as error:
        raise _unreachable(f"{hub.repo}/{file}", error) from error


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            "reading from the Hugging Face hub needs the package 'datasets'",
            'pip install "medrl[hub]", or give the path of a downloaded file',
        ) from error


def _download(datasets: Any, hub: Hub, config: str | None, split: str) -> Any:
    """Rows of the hub; pictures among them stay encoded."""
    try:
        records = datasets.load_dataset(hub.repo, config, split=split)
    except (OSError, ValueError) as error:
        raise _unreachable(hub.repo, error) from error
    for name, feature in (getattr(records, "features", None) or {}).items():
        if isinstance(feature, datasets.Image):
            records = records.cast_column(name, datasets.Image(decode=False))
    return records


def _unreachable(what: str, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"hub:{what}: {reason}", "check the network, or download it and give its path")
