"""Every kind of picture comes out with the values computed by hand, or is refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medrl.cases import picture_reading
from medrl.cases.picture_reading import read_picture
from medrl.errors import DataError

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes) -> list[tuple[int, ...]]:
    """Row by row."""
    read = read_picture(data, "x")
    assert read.mode == "RGB" and type(read) is Image.Image and not read.info
    return [tuple(triple) for triple in np.asarray(read).reshape(-1, 3).tolist()]


def grey(*values: int) -> list[tuple[int, int, int]]:
    return [(value, value, value) for value in values]


def png(depth: int, colour: int, size: tuple[int, int], rows: bytes) -> bytes:
    """A PNG from its raw rows, for what Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_rgb_and_grey_stay_as_they_are(kind: str) -> None:
    colours = Image.fromarray(np.array([[[1, 2, 3], [250, 0, 9]]], np.uint8))
    assert pixels(encode(colours, kind)) == [(1, 2, 3), (250, 0, 9)]
    shades = Image.fromarray(np.array([[0, 7, 255]], np.uint8))
    assert pixels(encode(shades, kind)) == grey(0, 7, 255)


def test_one_bit() -> None:
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert pixels(encode(bits)) == [BLACK, WHITE]


# --- more than eight bits ------------------------------------------------------------------------

TWELVE = np.array([[0, 1000, 2000, 4095]], np.uint16)
# 255 * 1000 / 4095 = 62.27, 255 * 2000 / 4095 = 124.54
WINDOWED = grey(0, 62, 125, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_in_sixteen_are_not_black(kind: str) -> None:
    assert pixels(encode(Image.fromarray(TWELVE), kind)) == WINDOWED


def test_other_deep_greys_are_windowed_the_same_way() -> None:
    assert pixels(encode(Image.fromarray(TWELVE.astype(np.int32)), "TIFF")) == WINDOWED
    hounsfield = TWELVE.astype(np.int32) - 1024
    assert pixels(encode(Image.fromarray(hounsfield), "TIFF")) == WINDOWED
    density = (TWELVE / 4095).astype(np.float32)
    assert pixels(encode(Image.fromarray(density), "TIFF")) == WINDOWED


def test_a_picture_of_one_value_is_black() -> None:
    assert pixels(encode(Image.fromarray(np.full((1, 2), 3000, np.uint16)))) == [BLACK, BLACK]


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=20))
def test_windowing_keeps_order_and_uses_the_whole_range(values: list[int]) -> None:
    shown = [r for r, _, _ in pixels(encode(Image.fromarray(np.array([values], np.uint16))))]
    if len(set(values)) > 1:
        assert (min(shown), max(shown)) == (0, 255)
    pairs = sorted(zip(values, shown, strict=True))
    assert [shade for _, shade in pairs] == sorted(shown)


def test_values_that_are_no_numbers_are_refused() -> None:
    holes = np.array([[0.0, np.nan]], np.float32)
    with pytest.raises(DataError, match="scan: values that are no finite numbers"):
        read_picture(encode(Image.fromarray(holes), "TIFF"), "scan")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_white_is_zero_is_turned_round(dtype: Any) -> None:
    film = Image.fromarray(TWELVE.astype(dtype))
    assert pixels(encode(film, "TIFF", tiffinfo={262: 0})) == grey(255, 193, 130, 0)


def test_white_is_zero_of_eight_bits_is_turned_once() -> None:
    film = Image.fromarray(np.array([[0, 10, 255]], np.uint8))
    plain = encode(film, "TIFF")
    # Entry of PhotometricInterpretation: tag, type SHORT, one value, the value itself.
    entry, turned = (struct.pack("<HHII", 262, 3, 1, value) for value in (1, 0))
    assert plain.count(entry) == 1
    assert pixels(plain.replace(entry, turned)) == grey(255, 245, 0)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_colour_of_sixteen_bits_is_read_or_refused_never_black(colour: int, channels: int) -> None:
    def picture(value: int) -> bytes:
        alpha = [0xFFFF] if colour > 2 else []
        sample = [value] * (channels - len(alpha)) + alpha
        return png(16, colour, (1, 1), b"\0" + struct.pack(f">{channels}H", *sample))

    assert pixels(picture(0x80FF)) == grey(0x80)
    with pytest.raises(DataError, match="only the lower 12 are used"):
        read_picture(picture(4095), "x")


# --- palettes and transparency -------------------------------------------------------------------


def test_palette_with_and_without_transparency() -> None:
    mapped = Image.new("P", (2, 1))
    mapped.putpalette([9, 8, 7, 255, 0, 0])
    mapped.putpixel((1, 0), 1)
    assert pixels(encode(mapped)) == [(9, 8, 7), RED]
    assert pixels(encode(mapped, "GIF")) == [(9, 8, 7), RED]
    assert pixels(encode(mapped, transparency=0)) == [WHITE, RED]
    # Half seen: (255 * 128 + 255 * 127) / 255 red, 255 * 127 / 255 of the page.
    assert pixels(encode(mapped, transparency=bytes([255, 128]))) == [(9, 8, 7), (255, 127, 127)]


def test_transparency_shows_a_white_page() -> None:
    colours = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((255, 0, 51)):
        colours.putpixel((x, 0), (255, 0, 0, alpha))
    # One fifth red on four fifths white: green is 255 * 4 / 5.
    assert pixels(encode(colours)) == [RED, WHITE, (255, 204, 204)]
    shades = Image.new("LA", (2, 1))
    shades.putpixel((0, 0), (100, 255))
    assert pixels(encode(shades)) == [(100, 100, 100), WHITE]
    keyed = Image.new("RGB", (2, 1), RED)
    keyed.putpixel((0, 0), BLACK)
    assert pixels(encode(keyed, transparency=BLACK)) == [WHITE, RED]


# --- CMYK ----------------------------------------------------------------------------------------


def ink_profile() -> bytes:
    """An ICC profile of inks that exist nowhere: cyan prints red, black black, the others nothing.

    ``lut8`` with two grid points, as in ICC.1:2001-04, 6.5.8.
    """
    # Lab under D50, L * 2.55 and a, b + 128: white, red (54.3, 80.8, 69.9), black.
    white, red, black = (255, 128, 128), (138, 209, 198), (0, 128, 128)
    straight = bytes(range(256))
    corners = b"".join(  # cyan changes slowest
        bytes(black if corner & 1 else red if corner & 8 else white) for corner in range(16)
    )
    identity = struct.pack(">9i", *(65536 * int(i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity
    table += straight * 4 + corners + straight * 3
    about = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    about += bytes(-len(about) % 4)
    at = 128 + 4 + 2 * 12
    tags = struct.pack(">I", 2)
    tags += b"desc" + struct.pack(">II", at, len(about))
    tags += b"A2B0" + struct.pack(">II", at + len(about), len(table))
    body = tags + about + table
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    head += struct.pack(">6H4s", 2024, 1, 1, 0, 0, 0, b"acsp") + bytes(28)
    head += struct.pack(">3I", 63190, 65536, 54061)  # D50
    return head.ljust(128, b"\0") + body


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_without_profile(kind: str) -> None:
    paper, cyan, black = (Image.new("CMYK", (8, 8), ink) for ink in
                          ((0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)))  # fmt: skip
    found = [pixels(encode(inks, kind))[0] for inks in (paper, cyan, black)]
    assert np.abs(np.array(found) - [WHITE, (0, 255, 255), BLACK]).max() <= 2  # JPEG is not exact


def test_jpeg_of_adobe_holds_its_inks_inverted() -> None:
    """Pillow writes the marker, and 255 for no ink, as Adobe does."""
    data = encode(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG", quality=100)
    assert b"Adobe" in data
    assert max(pixels(data)[0]) <= 2


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks_go_through_their_profile(kind: str) -> None:
    def shown(ink: tuple[int, ...]) -> np.ndarray:
        picture = Image.new("CMYK", (8, 8), ink)
        return np.array(pixels(encode(picture, kind, icc_profile=ink_profile()))[0])

    assert np.abs(shown((255, 0, 0, 0)) - RED).max() <= 6  # eight bits of Lab
    assert np.abs(shown((0, 255, 255, 0)) - WHITE).max() <= 6


def test_damaged_profile_is_as_none() -> None:
    inks = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert pixels(encode(inks, "TIFF", icc_profile=b"no profile"))[0] == (0, 255, 255)


def test_lab_and_luminance_are_converted() -> None:
    lab = Image.new("LAB", (1, 1), (255, 128, 128))  # full lightness, no colour
    assert np.abs(np.array(pixels(encode(lab, "TIFF"))) - [WHITE]).max() <= 1
    assert pixels(encode(Image.new("YCbCr", (1, 1), (77, 128, 128)), "TIFF")) == grey(77)


# --- orientation ---------------------------------------------------------------------------------

A, B, C, D, E, F = ((40 * i, 10, 200) for i in range(6))
UPRIGHT = [A, B, C, D, E, F]  # two rows of three
# What lies in the file, so that turned as EXIF says (TIFF 6.0, p. 36) it is upright:
STORED = {
    1: (3, [A, B, C, D, E, F]),
    2: (3, [C, B, A, F, E, D]),  # first row is the top, first column the right side
    3: (3, [F, E, D, C, B, A]),  # bottom, right
    4: (3, [D, E, F, A, B, C]),  # bottom, left
    5: (2, [A, D, B, E, C, F]),  # left, top
    6: (2, [C, F, B, E, A, D]),  # right, top
    7: (2, [F, C, E, B, D, A]),  # right, bottom
    8: (2, [D, A, E, B, F, C]),  # left, bottom
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    width, colours = STORED[orientation]
    stored = Image.new("RGB", (width, 6 // width))
    stored.putdata(colours)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=exif, **options)
    assert read_picture(data, "x").size == (3, 2)
    assert pixels(data) == UPRIGHT


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_spoil_a_picture() -> None:
    data = encode(Image.new("RGB", (2, 1), RED), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert pixels(data) == [RED, RED]


# --- what is refused -----------------------------------------------------------------------------


def frames(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (4, 4), (60 * i, 0, 0)) for i in range(count)]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused_with_their_number(kind: str) -> None:
    first, *rest = frames(3)
    data = encode(first, kind, save_all=True, append_images=rest)
    with pytest.raises(DataError, match="heart: 3 frames") as caught:
        read_picture(data, "heart")
    assert "by itself" in caught.value.fix


def test_first_picture_of_a_phone_is_the_photograph() -> None:
    photograph, depth = Image.new("RGB", (16, 16), RED), Image.new("RGB", (4, 4))
    read = read_picture(encode(photograph, "MPO", save_all=True, append_images=[depth]), "x")
    assert read.size == (16, 16) and read.getpixel((8, 8))[0] > 250


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("TIFF", {}), ("GIF", {}),
     ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {}), ("WEBP", {}), ("JPEG2000", {})],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_picture_cut_off_is_never_half_shown(
    kind: str, options: dict[str, Any], share: float
) -> None:
    data = encode(NOISE, kind, **options)
    assert read_picture(data, "x").size == (64, 64)
    with pytest.raises(DataError, match=r"cut: (damaged picture|not a picture)") as caught:
        read_picture(data[: int(share * len(data))], "cut")
    assert caught.value.fix


@given(st.binary(max_size=300))
def test_rubbish_is_never_another_error(rubbish: bytes) -> None:
    for data in (rubbish, b"\x89PNG\r\n\x1a\n" + rubbish, b"GIF89a" + rubbish, b"II*\0" + rubbish):
        try:
            read_picture(data, "x")
        except DataError as error:
            assert error.message.startswith("x: ") and error.fix


@pytest.mark.parametrize("size", [(16001, 4000), (20000, 20000)])
def test_huge_pictures_are_refused_by_their_header(size: tuple[int, int]) -> None:
    bomb = png(1, 0, size, b"\0")
    with pytest.raises(DataError, match=r"slide.png: too large \(.*at most 64,000,000 pixels"):
        read_picture(bomb, "slide.png")


def test_the_limit_itself_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_reading, "MAX_PIXELS", 6)
    assert read_picture(encode(Image.new("L", (3, 2))), "x").size == (3, 2)
    with pytest.raises(DataError, match="too large"):
        read_picture(encode(Image.new("L", (7, 1))), "x")


def test_pictures_without_pixels() -> None:
    for data in (png(8, 0, (0, 3), b"\0" * 3), b"P6 0 4 255\n", b"GIF89a" + bytes(7) + b";"):
        with pytest.raises(DataError):
            read_picture(data, "x")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an empty file"),
        (b"not found", "not a picture"),
        (b"%PDF-1.7 ...", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (bytes(128) + b"DICM" + bytes(50), "DICOM"),
    ],
)
def test_other_files(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"x: .*{message}") as caught:
        read_picture(data, "x")
    assert caught.value.fix


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.new("L", (3, 2), 9)))
    read = read_picture(path, "x")
    path.unlink()
    assert read.getpixel((0, 0)) == (9, 9, 9)  # it does not hang on its file
    with pytest.raises(DataError, match="x: No such file"):
        read_picture(path, "x")
    with pytest.raises(DataError, match="x: a folder"):
        read_picture(tmp_path, "x")
