"""The contact sheet, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from PIL import Image
from typer.testing import CliRunner

from medrl.clinic.phantoms.phantom import MODALITIES, NOTICE
from medrl.clinic.phantoms.sheet import COLUMNS, contact_sheet, main

DOCS = Path(__file__).parents[3] / "docs"


def test_the_sheet_has_a_row_per_modality() -> None:
    sheet = contact_sheet(columns=3)
    assert sheet.size == (3 * 130, 4 * 130)
    rows = np.asarray(sheet, dtype=float).reshape(4, 130, 390, 3)
    assert all(row.std() > 20 for row in rows)
    assert contact_sheet(columns=3).tobytes() == sheet.tobytes()
    assert contact_sheet(seed=1, columns=3).tobytes() != sheet.tobytes()


def test_the_command_writes_a_small_file_that_says_what_it_is(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    path = tmp_path / "sheet.png"
    assert CliRunner().invoke(app, [str(path)]).exit_code == 0
    written = Image.open(path)
    assert written.text["Comment"] == NOTICE and written.size == (COLUMNS * 130, 4 * 130)
    assert path.stat().st_size < 200_000
    shown = Image.open(DOCS / "phantoms.png")
    difference = np.asarray(shown.convert("RGB"), float) - np.asarray(written.convert("RGB"), float)
    assert np.abs(difference).mean() < 2  # the palette may differ between versions of Pillow


def test_the_page_states_every_rule() -> None:
    page = (DOCS / "phantoms.md").read_text()
    for modality in MODALITIES.values():
        for rule in modality.rules:
            assert f"| {rule.text} | {rule.diagnosis} |" in page
        for attribute in modality.values:
            assert attribute in page
