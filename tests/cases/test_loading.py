"""Every way in which a row or a file can be bad is named, counted and, past a share, refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medrl.cases import Case, load_cases
from medrl.errors import DataError

GOOD = {"question": "Which organ makes insulin?", "options": ["Pancreas", "Liver"], "answer": "A"}

BAD = [
    ("{broken", "broken JSON"),
    ("[1, 2]", "a JSON list, not an object"),
    ({"question": None}, "'question' is missing"),
    ({"question": "  "}, "'question' is empty"),
    ({"question": 3}, "'question' is of type int, not text"),
    ({"answer": None}, "'answer' is missing"),
    ({"answer": ["A"]}, "'answer' is a list, not text"),
    ({"answer": "C"}, "gold 'C' is neither a letter nor the text"),
    ({"answer_idx": "C", "answer": "x"}, "gold 'C' is outside the options A to B"),
    ({"answer_idx": "A", "answer": "Liver"}, "gold letter A and gold text 'Liver' disagree"),
    ({"options": ["Pancreas"]}, "1 options; 2 to 26 expected"),
    ({"options": [str(i) for i in range(27)]}, "27 options"),
    ({"options": ["Liver", " liver. "]}, "options A and B are equal"),
    ({"options": ["Liver", " "]}, "option B is empty"),
    ({"options": ["Liver", 4]}, "option B is of type int, not text"),
    ({"options": {"A": "Liver", "C": "Spleen"}}, "the letters A, C; A, B expected"),
    ({"options": "Liver"}, "'options' is text, not an object or a list"),
    ({"options": None}, "'options' is missing"),
    ({"tags": ["x"]}, "'tags' is not an object"),
    ({"tags": {"x": 1}}, "'tags' holds something that is not text"),
    ({"context": 1}, "'context' is of type int"),
    ({"id": 1.5}, "'id' is of type float"),
    ({"id": "good-0"}, "id 'good-0' was already used at "),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_bad_row_is_named_and_set_aside(tmp_path: Path, bad: Any, reason: str) -> None:
    lines = [json.dumps({**GOOD, "id": f"good-{i}"}) for i in range(60)]
    lines.insert(41, bad if isinstance(bad, str) else json.dumps({**GOOD, "id": "bad", **bad}))
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    loaded = load_cases("jsonl", path)
    (rejected,) = loaded.rejected
    assert len(loaded.cases) == 60
    assert str(rejected).startswith(f"{path}:42 ") and reason in rejected.reason
    assert loaded.bad_share == pytest.approx(1 / 61)
    assert f"{path}:42" in loaded.summary()


def test_options_that_differ_in_sign_or_superscript_are_not_equal(write: Any) -> None:
    rows = [{**GOOD, "options": o} for o in (["+2", "-2"], ["10²", "102"], ["Na+", "Na"])]
    assert len(load_cases("jsonl", write("rows.jsonl", rows)).cases) == 3


def test_too_many_bad_rows_refuse_the_file(write: Any) -> None:
    path = write("rows.jsonl", [GOOD] * 8 + [{**GOOD, "answer": "Z"}] * 7)
    with pytest.raises(DataError) as caught:
        load_cases("jsonl", path, max_bad_share=0.4)
    assert "7 of 15 rows are bad (46.7%, at most 40.0% allowed)" in caught.value.message
    assert f"{path}:9 " in caught.value.message and f"{path}:14 " not in caught.value.message
    assert "max_bad_share" in caught.value.fix
    assert len(load_cases("jsonl", path, max_bad_share=0.47).rejected) == 7


def test_limit_judges_a_share_only_on_enough_rows(write: Any) -> None:
    bad = {**GOOD, "answer": "Z"}
    path = write("rows.jsonl", [bad] + [GOOD] * 100)
    loaded = load_cases("jsonl", path, limit=10)
    assert len(loaded.cases) == 10 and len(loaded.rejected) == 1
    with pytest.raises(DataError, match="1 of 11 rows"):
        load_cases("jsonl", path, limit=10, max_bad_share=0)
    with pytest.raises(DataError, match="60 of 70 rows"):
        load_cases("jsonl", write("many.jsonl", [bad] * 60 + [GOOD] * 100), limit=10)


def test_limit_stops_reading(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes((json.dumps(GOOD) + "\n").encode() * 3 + b"\xff\n")
    assert len(load_cases("jsonl", path, limit=3).cases) == 3
    with pytest.raises(DataError, match=r":4: not UTF-8"):
        load_cases("jsonl", path)


def test_case_that_cannot_be_graded_is_set_aside(write: Any) -> None:
    def prove(case: Case) -> str | None:
        return "the wrong option is accepted" if case.source.row == 2 else None

    loaded = load_cases("jsonl", write("rows.jsonl", [GOOD] * 60), prove=prove)
    assert len(loaded.cases) == 59
    assert loaded.rejected[0].reason == "cannot be graded: the wrong option is accepted"
    with pytest.raises(DataError, match="60 of 60 rows"):
        load_cases("jsonl", write("rows.jsonl", [GOOD] * 60), prove=lambda case: "no")


def test_split_comes_from_row_then_from_name(write: Any) -> None:
    rows = [{**GOOD, "split": "dev"}, {**GOOD, "split": "train"}, GOOD]
    named = write("my_dev.jsonl", rows)
    loaded = load_cases("jsonl", named, split="validation")
    assert [case.source.row for case in loaded.cases] == [1, 3] and loaded.skipped == 1
    with pytest.raises(DataError, match="none of 3 rows belongs to the split test"):
        load_cases("jsonl", named, split="test")
    with pytest.raises(DataError, match="neither its name nor row 3"):
        load_cases("jsonl", write("mine.jsonl", rows), split="train")
    whole = load_cases("jsonl", named)
    assert len(whole.cases) == 3 and whole.splits == {"validation": 2, "train": 1}
    assert "of the splits train (1), validation (2)" in whole.summary()
    assert not loaded.splits
    folds = load_cases("jsonl", write("mine.jsonl", [{**GOOD, "split": 1}, GOOD]))
    assert len(folds.cases) == 2 and "splits" not in folds.summary()


def test_folders(write: Any, tmp_path: Path) -> None:
    write("a/train.jsonl", [GOOD])
    write("a/notes.txt", "not data")
    assert len(load_cases("jsonl", tmp_path, split="train").cases) == 1
    with pytest.raises(DataError, match="no split named"):
        load_cases("jsonl", tmp_path)
    with pytest.raises(DataError, match="no file 'test"):
        load_cases("jsonl", tmp_path, split="test")
    write("b/train_2.jsonl", [GOOD])
    with pytest.raises(DataError, match="2 files could be train"):
        load_cases("jsonl", tmp_path, split="train")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b"", "no rows"),
        ("x.jsonl", b"\n\n", "no rows"),
        ("x.json", b"", "no rows"),
        ("x.json", b'{"question": ', "broken JSON"),
        ("x.parquet", b"PAR0", "unreadable Parquet"),
        ("x.jsonl.gz", b"plain text", "not gzip"),
        ("x.jsonl.gz", gzip.compress(b"{}\n" * 99)[:-12], "damaged gzip"),
        ("x.jsonl", json.dumps(GOOD).encode("utf-16"), "not UTF-8"),
        ("x.jsonl", '{"question": "Ménière"}'.encode("latin1"), r":1: not UTF-8 \(byte 0xe9\)"),
        ("x.xml", b"<a/>", "unknown kind of file"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_cases("jsonl", path)
    assert str(path) in caught.value.message and caught.value.fix


def test_bad_csv(write: Any) -> None:
    good = "Which?,1,2,3,4,A\n"
    short = write("anatomy_test.csv", good * 60 + "Which?,1,2\n")
    (rejected,) = load_cases("mmlu_medical", short).rejected
    assert str(rejected) == f"{short}:61 3 columns; 6 expected"
    with pytest.raises(DataError, match=r"anatomy_val\.csv:2: broken CSV"):
        load_cases("mmlu_medical", write("anatomy_val.csv", good + '"open,1,2\n'))


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.jsonl", "rows.json"])
def test_gzip_is_known_by_content_and_byte_order_mark_is_dropped(tmp_path: Path, name: str) -> None:
    body = b"\xef\xbb\xbf" + (json.dumps(GOOD) + "\n").encode() * 2
    (tmp_path / name).write_bytes(gzip.compress(body))
    assert len(load_cases("jsonl", tmp_path / name).cases) == 2


def test_json_lines_named_json_keep_row_numbers_past_a_broken_row(write: Any) -> None:
    lines = [json.dumps(GOOD)] * 2 + ["", '{"question": }'] + [json.dumps(GOOD)] * 60
    loaded = load_cases("jsonl", write("rows.json", "\n".join(lines)))
    assert [r.provenance.row for r in loaded.rejected] == [4] and len(loaded.cases) == 62


def test_json_array(write: Any) -> None:
    cases = load_cases("jsonl", write("rows.json", json.dumps([GOOD, GOOD], indent=1))).cases
    assert [case.source.row for case in cases] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "medqaa"}, "did you mean 'medqa'"),
        ({"split": "everything"}, "unknown split 'everything'"),
        ({"limit": 0}, "limit is 0"),
        ({"max_bad_share": 2}, "max_bad_share is 2"),
        ({"path": "/nowhere/x.jsonl"}, "no such file"),
    ],
)
def test_arguments(write: Any, arguments: dict[str, Any], message: str) -> None:
    path = write("train.jsonl", [GOOD])
    with pytest.raises(DataError, match=message):
        load_cases(**{"name": "jsonl", "path": path, **arguments})
