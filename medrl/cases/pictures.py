"""Where pictures come from: files, members of archives, the bytes of a row, arrays of pixels."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from PIL import Image

from medrl.cases.case import Provenance
from medrl.cases.picture import Picture
from medrl.cases.picture_reading import read_picture
from medrl.cases.rows import BadRow
from medrl.errors import DataError

_ENDS = 1 << 16
"""Bytes from either end of a file that enter its fingerprint: nearly always the whole file."""


@dataclass(frozen=True, slots=True)
class PictureFile(Picture):
    """A file of its own.

    Attributes:
        row: the row that names it.
    """

    path: Path
    row: Provenance

    def open(self) -> Image.Image:
        return read_picture(self.path, str(self))

    @property
    def fingerprint(self) -> str:
        """From size, beginning and end, not from the time of writing: a copied folder is the same.

        Raises:
            DataError: the file has gone.
        """
        try:
            with self.path.open("rb") as stream:
                head = stream.read(_ENDS)
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(len(head), size - _ENDS))
                return f"{size}:{_digest(head + stream.read())}"
        except OSError as error:
            raise DataError(f"{self}: {error.strerror}", "put it back") from error

    def __str__(self) -> str:
        return f"{self.path} ({self.row})"


@dataclass(frozen=True, slots=True)
class PictureMember(Picture):
    """A file inside a ZIP archive, which is not unpacked.

    Attributes:
        member: its whole name in the archive.
        row: the row that names it.
    """

    archive: Path
    member: str
    row: Provenance

    def open(self) -> Image.Image:
        try:
            data = _archive(self.archive, _stamp(self.archive), os.getpid()).read(self.member)
        except (KeyError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{self}: unreadable ({error})", "fetch the archive again") from error
        return read_picture(data, str(self))

    @property
    def fingerprint(self) -> str:
        entry = _archive(self.archive, _stamp(self.archive), os.getpid()).getinfo(self.member)
        return f"{entry.file_size}:{entry.CRC:08x}"

    def __str__(self) -> str:
        return f"{self.member} in {self.archive} ({self.row})"


@dataclass(frozen=True, slots=True)
class PictureBytes(Picture):
    """An encoded picture that a row holds itself.

    Attributes:
        name: file name that the row gives it, for messages; may be empty.
        row: the row.
    """

    data: bytes = field(repr=False)
    row: Provenance
    name: str = ""

    def open(self) -> Image.Image:
        return read_picture(self.data, str(self))

    @property
    def fingerprint(self) -> str:
        return _digest(self.data)

    def __str__(self) -> str:
        return f"{self.name or 'picture'} in {self.row}"


@dataclass(frozen=True, slots=True)
class PicturePixels(Picture):
    """A picture that was stored as an array.

    Attributes:
        data: height * width grey values or, with ``rgb``, triples, row by row; 0 to 255.
        size: width and height.
        row: where it lies in its file.
    """

    data: bytes = field(repr=False)
    size: tuple[int, int]
    rgb: bool
    row: Provenance

    def open(self) -> Image.Image:
        mode = "RGB" if self.rgb else "L"
        return Image.frombytes(mode, self.size, self.data).convert("RGB")

    @property
    def fingerprint(self) -> str:
        return f"{self.size}:{_digest(self.data)}"

    def __str__(self) -> str:
        return f"picture in {self.row}"


def find_picture(name: str, places: tuple[Path, ...], row: Provenance) -> Picture | None:
    """The picture that a row calls ``name``, from the first place that has it; nothing is decoded.

    Args:
        places: folders, to which ``name`` is relative, and ZIP archives. In an archive ``name`` may
            stand behind folders.

    Raises:
        BadRow: an archive has several members that ``name`` could mean.
        DataError: an archive is unreadable.
    """
    for place in places:
        if place.is_dir():
            if (place / name).is_file():
                return PictureFile(place / name, row)
        elif member := _member(place, name):
            return PictureMember(place, member, row)
    return None


def _member(archive: Path, name: str) -> str | None:
    wanted = name.removeprefix("./")
    named = _members(archive, _stamp(archive)).get(wanted.rsplit("/", 1)[-1], ())
    found = [member for member in named if f"/{member}".endswith(f"/{wanted}")]
    if len(found) > 1:
        raise BadRow(f"picture '{name}' could be {found[0]} or {found[1]} of {archive.name}")
    return found[0] if found else None


def _stamp(path: Path) -> tuple[int, int]:
    """What tells a file from one that has taken its place."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", "put it back") from error
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=8)
def _archive(path: Path, stamp: tuple[int, int], process: int) -> zipfile.ZipFile:
    """An open archive; its list of members is read once. A forked process needs one of its own,
    since the place in a file is shared."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: no readable ZIP archive ({error})", "fetch it again") from error


@lru_cache(maxsize=8)
def _members(path: Path, stamp: tuple[int, int]) -> Mapping[str, list[str]]:
    """Files of an archive by the last part of their names."""
    named: dict[str, list[str]] = defaultdict(list)
    for member in _archive(path, stamp, os.getpid()).namelist():
        named[member.rsplit("/", 1)[-1]].append(member)
    return dict(named)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
