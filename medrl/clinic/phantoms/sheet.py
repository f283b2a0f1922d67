"""A contact sheet: ``python -m medrl.clinic.phantoms.sheet docs/phantoms.png``.

One row per modality, each picture of another combination of attributes, as models see it (64
pixels), shown at twice its size.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medrl.clinic.phantoms.asking import Asker
from medrl.clinic.phantoms.phantom import MODALITIES, NOTICE, SIZE

COLUMNS = 8
_COLOURS = 256
"""Colours kept in the file, to keep it small."""


def contact_sheet(seed: int = 0, columns: int = COLUMNS) -> Image.Image:
    """``columns`` pictures of each modality, of the diagnoses in turn.

    Returns:
        RGB, a cell of 2 x SIZE pixels with a margin of 2 per picture.
    """
    rng, cell = random.Random(f"sheet:{seed}"), 2 * SIZE + 2
    asker = Asker("pretrain")
    sheet = Image.new("RGB", (columns * cell, len(MODALITIES) * cell), "white")
    for row, (name, modality) in enumerate(MODALITIES.items()):
        combinations = list(modality.combinations())
        for column in range(columns):
            rule = modality.rules[column % len(modality.rules)]
            attributes = rng.choice([a for a in combinations if rule.fits(a)])
            picture = asker.draw(name, attributes, rng).open()
            large = picture.resize((2 * SIZE, 2 * SIZE), Image.Resampling.NEAREST)
            sheet.paste(large, (column * cell, row * cell))
    return sheet


def main(path: Annotated[Path, typer.Argument(help="PNG file to write")], seed: int = 0) -> None:
    """Write the contact sheet."""
    info = PngInfo()
    info.add_text("Comment", NOTICE)
    sheet = contact_sheet(seed).quantize(_COLOURS, Image.Quantize.MAXCOVERAGE)
    sheet.save(path, pnginfo=info, optimize=True)


if __name__ == "__main__":
    typer.run(main)
