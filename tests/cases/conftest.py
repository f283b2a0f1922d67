"""Writers of small files in the published formats, and the real files where they exist."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write records as JSON lines (or the given text) and return the path."""

    def writer(name: str, records: Iterable[Any] | str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        body = records
        if not isinstance(body, str):
            body = "".join(json.dumps(record) + "\n" for record in body)
        path.write_text(body, encoding="utf-8")
        return path

    return writer


@pytest.fixture(scope="session")
def real_mcq(shared_data: Path) -> Path:
    """Folder of real question sets; tests that need it are skipped where it is absent."""
    folder = shared_data / "mcq"
    if not folder.is_dir():
        pytest.skip(f"no real question sets: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def real_images(shared_data: Path) -> Path:
    """Folder of real pictures with questions; tests that need it are skipped where it is absent."""
    folder = shared_data / "images"
    if not folder.is_dir():
        pytest.skip(f"no real pictures: {folder} is absent")
    return folder


@pytest.fixture(scope="session")
def real_consult(shared_data: Path) -> Path:
    """Folder of real consultations; tests that need it are skipped where it is absent."""
    folder = shared_data / "consult"
    if not folder.is_dir():
        pytest.skip(f"no real consultations: {folder} is absent")
    return folder
