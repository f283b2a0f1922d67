"""From the bytes of a picture to RGB, eight bits per channel, rightly or not at all.

- *Grey of more than eight bits* (16 and 32 bit, float) is windowed by its own smallest and largest
  value: CT and X-ray fill 12 of 16 bits, and 4095 / 257 is black. One value throughout is black.
- *Colour of 16 bits* keeps its upper eight, as Pillow reads it; where these hold nothing but the
  foot of a 12-bit range the picture is refused.
- *TIFF whose zero is white* is turned round, which Pillow leaves undone above eight bits.
- *Transparent* places show a white page.
- *CMYK* goes through its embedded profile to sRGB (perceptual), without one by Pillow's formula.
  JPEG stores inks inverted after Adobe's custom; Pillow turns them.
- *RGB* is taken as it stands, profile or none: so were the pictures models learned from.
- *EXIF orientation* is applied.
- *Several frames* (GIF, APNG, WebP, stacks in TIFF) are refused: which one is meant is not ours to
  guess. Of the several pictures in a phone's JPEG (MPO) the first is the photograph.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from medrl.errors import DataError

MAX_PIXELS = 64_000_000
"""A mammogram has 27 million, a slide scan thousands of millions; 64 million take 192 MB as RGB."""

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow knows more, some of which start other programs to be read (EPS)."""

_FAULTS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError)
_DEEP_GREY = ("I", "I;16", "I;16L", "I;16B", "I;16N", "F")
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_SIXTEEN_BITS = re.compile(r"^(LA|RGB|RGBA|RGBX|RGBa|CMYK);16[BLN]?$")
_LOW_12_BITS = 4095 >> 8
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PAGE = (255, 255, 255, 255)


def read_picture(source: Path | bytes, where: str) -> Image.Image:
    """Decode a picture.

    Args:
        source: a file, or the bytes of one.
        where: what to call it in an error, with the row that names it.

    Returns:
        Mode RGB, detached from its file.

    Raises:
        DataError: missing, no picture, damaged, too large, of several frames, or without a right
            conversion.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), where)
    if source.is_dir():
        raise DataError(f"{where}: a folder, not a picture", "name the file in it")
    try:
        with source.open("rb") as stream:
            return _decode(stream, where)
    except OSError as error:
        raise DataError(f"{where}: {error.strerror}", "check the path and its rights") from error


def _decode(stream: IO[bytes], where: str) -> Image.Image:
    try:
        picture = Image.open(stream, formats=FORMATS)
        _check_size(picture.size, where)
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        packing = _packing(picture)
        if frames == 1:
            picture.load()
    except Image.DecompressionBombError as error:
        raise _too_large(where, str(error)) from error
    except UnidentifiedImageError as error:
        raise _unknown(stream, where) from error
    except _FAULTS as error:
        raise DataError(f"{where}: damaged picture ({error})", "fetch it again") from error
    if frames > 1:
        raise DataError(
            f"{where}: {frames} frames", "save the one that the question is about by itself"
        )
    return _upright(_to_rgb(picture, packing, where), picture)


def _check_size(size: tuple[int, int], where: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_large(where, f"{width} x {height}")
    if not width * height:
        raise DataError(f"{where}: {width} x {height} pixels", "fetch it again")


def _too_large(where: str, size: str) -> DataError:
    return DataError(
        f"{where}: too large ({size}; at most {MAX_PIXELS:,} pixels)",
        "save it smaller, or cut out the part that the question is about",
    )


def _unknown(stream: IO[bytes], where: str) -> DataError:
    stream.seek(0)
    head = stream.read(132)
    if not head:
        return DataError(f"{where}: an empty file", "fetch it again")
    if head[128:] == b"DICM":
        return DataError(
            f"{where}: DICOM, which holds measured values and no picture",
            "export it as PNG in the window that a reader would choose",
        )
    return DataError(f"{where}: not a picture", f"use one of {', '.join(FORMATS)}")


def _upright(rgb: Image.Image, original: Image.Image) -> Image.Image:
    """Turned as the original's EXIF says; no note of it is left, lest anybody turn it again."""
    rgb.info.clear()
    try:
        turn = _TURNS.get(original.getexif().get(_ORIENTATION, 1))
    except _FAULTS:  # a damaged side note; the pixels are whole
        turn = None
    return rgb if turn is None else rgb.transpose(turn)


# --- conversion ----------------------------------------------------------------------------------


def _packing(picture: ImageFile.ImageFile) -> str:
    """How values lie in the file, as Pillow names it (``RGB;16B``); gone once they are read."""
    arguments = picture.tile[0].args if picture.tile else None
    first = arguments[0] if isinstance(arguments, tuple) else arguments
    return str(first)


def _to_rgb(picture: ImageFile.ImageFile, packing: str, where: str) -> Image.Image:
    """
    Args:
        packing: see ``_packing``.
    """
    if picture.mode in _DEEP_GREY:
        return _windowed(picture, where)
    if _SIXTEEN_BITS.search(packing) and _brightest(picture) <= _LOW_12_BITS:
        raise DataError(
            f"{where}: 16 bits per channel, of which only the lower 12 are used; it would be black",
            "save it as 16-bit grey, or with eight bits per channel",
        )
    if picture.mode == "CMYK":
        return _from_cmyk(picture)
    if picture.has_transparency_data:
        page = Image.new("RGBA", picture.size, _PAGE)
        return Image.alpha_composite(page, picture.convert("RGBA")).convert("RGB")
    # A copy even of RGB: the original hangs on its file.
    return picture.copy() if picture.mode == "RGB" else picture.convert("RGB")


def _windowed(picture: Image.Image, where: str) -> Image.Image:
    """Smallest value to 0, largest to 255, linear between, rounded to the nearest."""
    values = np.asarray(picture, dtype=np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite(values).all():
        raise DataError(f"{where}: values that are no finite numbers", "save it without them")
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    if _white_is_zero(picture):
        scaled = 1 - scaled
    return Image.fromarray(np.rint(255 * scaled).astype(np.uint8)).convert("RGB")


def _white_is_zero(picture: Image.Image) -> bool:
    tags = getattr(picture, "tag_v2", {})
    return tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _brightest(picture: Image.Image) -> int:
    """Largest value of any channel but transparency."""
    values = np.asarray(picture)
    colours = [i for i, band in enumerate(picture.getbands()) if band != "A"]
    return int(values[..., colours].max())


def _from_cmyk(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            screen = ImageCms.createProfile("sRGB")
            managed = ImageCms.profileToProfile(picture, inks, screen, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # as browsers do with a damaged profile
            managed = None
        if managed is not None:
            return managed
    return picture.convert("RGB")
