"""Where pictures come from: found but not decoded, opened when needed, told apart unopened."""

from __future__ import annotations

import base64
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from medrl.cases import load_cases
from medrl.cases.case import Provenance
from medrl.cases.pictures import PictureBytes, PictureFile, PictureMember, PicturePixels
from medrl.errors import DataError

ROW = Provenance("mine", "rows.jsonl", 3)
ASK = {"question": "Is it red?", "options": ["yes", "no"], "answer": "A"}


def encoded(shade: int = 0, size: tuple[int, int] = (3, 2)) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, shade).save(stream, "PNG")
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def test_all_sources_open_the_same_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(7))
    packed = archive(tmp_path / "a.zip", {"deep/a.png": encoded(7)})
    found = [
        PictureFile(file, ROW),
        PictureMember(packed, "deep/a.png", ROW),
        PictureBytes(encoded(7), ROW, "a.png"),
        PicturePixels(bytes([7] * 6), (3, 2), False, ROW),
        PicturePixels(bytes([7] * 18), (3, 2), True, ROW),
    ]
    for picture in found:
        read = picture.open()
        assert (read.mode, read.size, read.getpixel((2, 1))) == ("RGB", (3, 2), (7, 7, 7))
        assert "rows.jsonl:3" in str(picture)
    assert len(set(found)) == 5


def test_errors_name_file_and_row(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    for picture in (PictureBytes(b"no", ROW, "a.png"), PictureFile(file, ROW)):
        with pytest.raises(DataError, match=r"a\.png .*rows\.jsonl:3") as caught:
            picture.open()
        assert caught.value.fix


def test_fingerprints_tell_pictures_apart_and_not_copies(tmp_path: Path) -> None:
    def write(name: str, data: bytes) -> PictureFile:
        (tmp_path / name).write_bytes(data)
        return PictureFile(tmp_path / name, ROW)

    one, copy = write("one.png", encoded(1)), write("copy.png", encoded(1))
    os.utime(copy.path, (0, 0))
    assert one.fingerprint == copy.fingerprint != write("two.png", encoded(2)).fingerprint
    long = bytearray(200_000)
    first = write("long", bytes(long)).fingerprint
    for place in (0, 65_535, 65_536 * 2 + 10_000, 199_999):
        changed = bytearray(long)
        changed[place] ^= 1
        assert write("changed", bytes(changed)).fingerprint != first
    with pytest.raises(DataError, match="No such file"):
        assert PictureFile(tmp_path / "gone.png", ROW).fingerprint
    assert PictureBytes(encoded(1), ROW).fingerprint != PictureBytes(encoded(2), ROW).fingerprint
    lying, standing = (PicturePixels(bytes(6), size, False, ROW) for size in ((3, 2), (2, 3)))
    assert lying.fingerprint != standing.fingerprint
    packed = archive(tmp_path / "a.zip", {"1": encoded(1), "2": encoded(2)})
    assert len({PictureMember(packed, name, ROW).fingerprint for name in "12"}) == 2


def test_damaged_archives(tmp_path: Path, write: Any) -> None:
    packed = archive(tmp_path / "imgs.zip", {"imgs/a.png": encoded(1)})
    whole = packed.read_bytes()
    at = whole.index(b"IHDR") if b"IHDR" in whole else whole.index(b"imgs/a.png") + 12
    packed.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(DataError, match=r"imgs/a\.png in .*unreadable"):
        PictureMember(packed, "imgs/a.png", ROW).open()
    with pytest.raises(DataError, match="unreadable"):
        PictureMember(packed, "imgs/b.png", ROW).open()
    packed.write_bytes(whole[: len(whole) // 2])
    slake = [{"img_name": "a.png", "question": "Which?", "answer": "CT", "q_lang": "en"}]
    with pytest.raises(DataError, match="no readable ZIP archive"):
        load_cases("slake", write("test.json", slake))


# --- the fields of rows --------------------------------------------------------------------------


def load(write: Any, *rows: dict[str, Any]) -> Any:
    return load_cases("jsonl", write("rows.jsonl", rows), max_bad_share=1)


def test_own_rows_name_one_picture_or_several_in_order(write: Any, tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    for shade in range(3):
        (tmp_path / f"img/{shade}.png").write_bytes(encoded(shade))
    several = [f"img/{shade}.png" for shade in (2, 0, 1)]
    data = base64.b64encode(encoded(9)).decode()
    one, many, held, none = load(
        write,
        {**ASK, "image": "img/1.png"},
        {**ASK, "images": several},
        {**ASK, "image": f"data:image/png;base64,{data}"},
        {**ASK, "image": "", "images": []},
    ).cases
    assert one.images == (PictureFile(tmp_path / "img/1.png", one.source),)
    assert [p.open().getpixel((0, 0))[0] for p in many.images] == [2, 0, 1]
    assert held.images[0].open().getpixel((0, 0)) == (9, 9, 9)
    assert none.images == ()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("gone.png", "picture 'gone.png' is not in "),
        ("img", "picture 'img' is not in "),
        ("  ", "'image' is empty"),
        (7, "'image' is of type int, not the name or the bytes"),
        ({"size": 3}, "'image' is an object, not the name or the bytes"),
        ("data:image/png;base64,?", "a picture is no base64"),
        ("iVBORw0KGgo" * 100, "which is no file name; write encoded pictures as data:image"),
        ([None], "'image' is null, not the name"),
    ],
)
def test_a_picture_that_is_not_there_sets_its_row_aside(
    write: Any, tmp_path: Path, image: Any, reason: str
) -> None:
    (tmp_path / "img").mkdir()
    loaded = load(write, ASK, {**ASK, "image": image})
    (rejected,) = loaded.rejected
    assert rejected.provenance.row == 2 and reason in rejected.reason
    assert len(loaded.cases) == 1


def test_loading_does_not_decode(write: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"broken")
    (case,) = load(write, {**ASK, "image": "broken.png"}).cases
    with pytest.raises(DataError, match=r"broken\.png \(.*rows\.jsonl:1\): not a picture"):
        case.images[0].open()


def test_parquet_holds_bytes_or_the_hubs_structs(tmp_path: Path) -> None:
    rows = [
        {**ASK, "image": {"bytes": encoded(5), "path": "five.png"}},
        {**ASK, "image": {"bytes": None, "path": "six.png"}},
    ]
    (tmp_path / "six.png").write_bytes(encoded(6))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    five, six = load_cases("jsonl", tmp_path / "a.parquet").cases
    assert str(five.images[0]) == f"five.png in {tmp_path / 'a.parquet'}:1"
    assert [c.images[0].open().getpixel((0, 0))[0] for c in (five, six)] == [5, 6]
    pq.write_table(pa.Table.from_pylist([{**ASK, "image": encoded(8)}]), tmp_path / "b.parquet")
    (eight,) = load_cases("jsonl", tmp_path / "b.parquet").cases
    assert eight.images[0].open().getpixel((0, 0)) == (8, 8, 8)


def test_names_in_an_archive_may_stand_behind_folders(tmp_path: Path, write: Any) -> None:
    members = {"imgs/x1/source.jpg": encoded(1), "imgs/x2/source.jpg": encoded(2)}
    packed = archive(tmp_path / "imgs.zip", {**members, "__MACOSX/imgs/x2/._source.jpg": b""})
    ask = {"question": "Which?", "answer": "CT", "q_lang": "en"}
    rows = [{**ask, "img_name": f"{x}/source.jpg"} for x in ("x2", "x1", "2", "x3")]
    rows.append({**ask, "img_name": "source.jpg"})
    loaded = load_cases("slake", write("data/test.json", rows), max_bad_share=1)
    assert [case.images[0].open().getpixel((0, 0))[0] for case in loaded.cases] == [2, 1]
    assert loaded.cases[0].images == (
        PictureMember(packed, "imgs/x2/source.jpg", loaded.cases[0].source),
    )
    reasons = [rejected.reason for rejected in loaded.rejected]
    assert "'2/source.jpg' is not in" in reasons[0] and "'x3/source.jpg' is not in" in reasons[1]
    assert "could be imgs/x1/source.jpg or imgs/x2/source.jpg of imgs.zip" in reasons[2]


def test_arrays_that_are_no_pictures(tmp_path: Path) -> None:
    for images in (np.zeros((2, 4), np.uint8), np.zeros((2, 4, 4), np.float32)):
        np.savez(tmp_path / "pneumoniamnist.npz", train_images=images, train_labels=[[0], [1]])
        with pytest.raises(DataError, match="no 8-bit picture"):
            load_cases("pneumoniamnist", tmp_path / "pneumoniamnist.npz")
