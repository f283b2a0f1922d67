"""Small copies of the pictures a run has shown, beside its episodes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

from medrl.cases.picture import Picture
from medrl.run.disk import replace_file
from medrl.run.folder import RunFolder

FOLDER = "pictures"
SIDE = 256
"""Most pixels of the longer side of a copy."""


def keep_pictures(run: RunFolder, pictures: Iterable[Picture]) -> list[str]:
    """Paths within the run folder under which copies of pictures are kept from now on.

    The same picture is kept once, whatever shows it.

    Raises:
        DataError: a picture cannot be opened.
        RunError: the disk refuses.
    """
    with run.writing(run.path / FOLDER):
        return [_keep(run.path, picture) for picture in pictures]


def _keep(run: Path, picture: Picture) -> str:
    digest = hashlib.sha256(picture.fingerprint.encode()).hexdigest()[:16]
    path = run / FOLDER / f"{digest}.png"
    if not path.exists():
        copy = picture.open()
        copy.thumbnail((SIDE, SIDE))
        data = io.BytesIO()
        copy.save(data, "PNG")
        path.parent.mkdir(exist_ok=True)
        replace_file(path, data.getvalue())
    return f"{FOLDER}/{path.name}"
