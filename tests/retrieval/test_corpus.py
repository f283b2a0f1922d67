"""Corpora from rows and from folders of texts; what is wrong is named by file and row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from medrl.errors import DataError
from medrl.retrieval.corpus import PASSAGE_WORDS, Corpus, Document, passages_of, read_corpus


def rows(path: Path, *values: dict[str, Any] | str) -> Path:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    text = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


GOUT = {"id": "a", "title": "gout", "text": "Gout hurts."}


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_rows_become_documents(tmp_path: Path, name: str) -> None:
    path = rows(tmp_path / name, GOUT, {"id": 7, "text": "Rest helps.", "doc_id": "rest"})
    assert read_corpus(path).documents == (
        Document("a", "gout", "Gout hurts."),
        Document("7", "", "Rest helps.", "rest"),
    )


def test_the_fields_of_openstax_and_medquad_are_known(tmp_path: Path) -> None:
    path = rows(
        tmp_path / "c.jsonl",
        {"id": "m1-00", "module": "m1", "module_title": "Bone", "section": "Marrow", "text": "x"},
        {"id": "q1#0", "doc_id": "q1", "title": "Gout", "text": "y", "url": "http://x"},
    )
    assert read_corpus(path).documents == (
        Document("m1-00", "Bone", "x", "m1"),
        Document("q1#0", "Gout", "y", "q1"),
    )


def test_a_field_map_says_where_parts_stand(tmp_path: Path) -> None:
    path = rows(tmp_path / "c.jsonl", {"pmid": 12, "abstract": "Text.", "heading": "Title"})
    fields = {"id": "pmid", "text": "abstract", "title": "heading"}
    assert read_corpus(path, fields).documents == (Document("12", "Title", "Text."),)
    with pytest.raises(DataError, match="no 'colour'"):
        read_corpus(path, {"colour": "red"})


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (GOUT, r"c\.jsonl:2: id 'a' is that of row 1"),
        ({"id": "b", "title": "rest"}, r"c\.jsonl:2: field 'text' is missing"),
        ({"id": "b", "text": "  "}, r"c\.jsonl:2: field 'text' is empty"),
        ({"id": "b", "text": 3}, r"c\.jsonl:2: field 'text' is"),
        ({"text": "No id."}, r"c\.jsonl:2: field 'id' is missing"),
        ("{broken", r"c\.jsonl:2: broken JSON"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, second: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_corpus(rows(tmp_path / "c.jsonl", GOUT, second))


def test_nothing_to_search_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "blank.txt").write_text(" \n\n ")
    for path in (tmp_path / "empty", rows(tmp_path / "c.jsonl")):
        with pytest.raises(DataError, match="there are no documents"):
            read_corpus(path)
    with pytest.raises(DataError, match=r"missing\.jsonl: no such corpus"):
        read_corpus(tmp_path / "missing.jsonl")
    with pytest.raises(DataError, match="two documents have the id 'a'"):
        Corpus([Document("a", "", "x"), Document("a", "", "y")], "mine")


def test_a_folder_is_cut_into_passages(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.txt").write_text("Hidden.")
    (tmp_path / "table.csv").write_text("not,read")
    (tmp_path / "notes.txt").write_text("# no heading here\nin plain text.\n\nSecond paragraph.")
    (tmp_path / "deep" / "gout.md").write_text(
        "Before.\n\n# Gout\nIt hurts.\n\n## Treatment #\n\nRest.\n\nIce."
    )
    assert read_corpus(tmp_path).documents == (
        Document("deep/gout.md#1", "gout", "Before.", "deep/gout.md"),
        Document("deep/gout.md#2", "Gout", "It hurts.", "deep/gout.md"),
        Document("deep/gout.md#3", "Treatment", "Rest. Ice.", "deep/gout.md"),
        Document(
            "notes.txt#1",
            "notes",
            "# no heading here in plain text. Second paragraph.",
            "notes.txt",
        ),
    )


def test_long_paragraphs_are_cut_between_sentences() -> None:
    sentence = " ".join(["word"] * 59) + " end."
    text = " ".join([sentence] * 5)
    cut = [passage for _, passage in passages_of(text, "t", markdown=False)]
    assert [len(passage.split()) for passage in cut] == [120, 120, 60]
    assert all(passage.endswith("end.") for passage in cut)
    endless = passages_of(" ".join(["word"] * 400), "t", markdown=False)
    sizes = [len(passage.split()) for _, passage in endless]
    assert sizes == [PASSAGE_WORDS, PASSAGE_WORDS, 400 - 2 * PASSAGE_WORDS]


def test_a_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"old\.txt: not UTF-8"):
        read_corpus(tmp_path)


def test_the_fingerprint_is_of_content_and_order() -> None:
    a, b = Document("a", "t", "x"), Document("b", "t", "y")
    mine = Corpus([a, b], "mine").fingerprint
    assert mine == Corpus([a, b], "other name").fingerprint
    others = [Corpus([b, a], ""), Corpus([a], ""), Corpus([a, Document("b", "t", "z")], "")]
    assert len({mine, *(c.fingerprint for c in others)}) == 4
