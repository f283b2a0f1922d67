"""Recall of BM25: counted by hand on small files, and on the real passages where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from medrl.errors import DataError
from medrl.retrieval import BM25Retriever, Retriever, read_corpus
from medrl.retrieval.measure import Query, main, measure, read_queries


def rows(path: Path, *values: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, values)))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """In MedQuAD's and OpenStax's fields."""
    passages = rows(
        tmp_path / "passages.jsonl",
        {"id": "g#0", "doc_id": "g", "title": "Gout", "text": "Gout hurts the toe."},
        {"id": "g#1", "doc_id": "g", "title": "Gout", "text": "Uric acid is raised."},
        {"id": "m1-00", "module": "m1", "module_title": "Bone", "text": "Marrow makes cells."},
        {"id": "f#0", "doc_id": "f", "title": "Flu", "text": "Fever and cough."},
    )
    queries = rows(
        tmp_path / "queries.jsonl",
        {"query": "What is gout?", "relevant_doc_ids": ["g"]},
        {"query": "gout or flu?", "relevant_doc_ids": ["g", "f", "elsewhere", "nowhere"]},
        {"question": "What makes cells?", "gold_module": "m1"},
        {"query": "What about fever?", "relevant_doc_ids": ["m1"]},
    )
    return passages, queries


def test_recall_is_counted(files: tuple[Path, Path]) -> None:
    passages, queries = files
    asked = read_queries(queries)
    assert asked[2] == Query("What makes cells?", ("m1",))
    found = measure(BM25Retriever(read_corpus(passages)), asked, 10)
    assert (found.n, found.hit) == (4, 3 / 4)
    assert found.recall == pytest.approx((1 + 2 / 4 + 1 + 0) / 4)


def test_the_command_says_it(files: tuple[Path, Path], tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(main)
    said = CliRunner().invoke(app, [*map(str, files), "--cache", str(tmp_path / "kept")])
    assert said.exit_code == 0, said.output
    assert "4 passages" in said.output
    assert "first 10: 0.750" in said.output
    assert list((tmp_path / "kept").iterdir())
    wrong = CliRunner().invoke(app, [str(files[0]), str(files[0])])
    assert wrong.exit_code == 2
    assert "passages.jsonl:1: no query" in wrong.output


def test_queries_without_what_is_relevant_are_named(tmp_path: Path) -> None:
    path = rows(tmp_path / "q.jsonl", {"query": "a", "relevant_doc_ids": []})
    with pytest.raises(DataError, match=r"q\.jsonl:1: no query, or nothing relevant"):
        read_queries(path)
    with pytest.raises(DataError, match="no queries in it"):
        read_queries(rows(tmp_path / "none.jsonl"))


def bm25(passages: Path) -> Retriever:
    return BM25Retriever(read_corpus(passages))


@pytest.mark.slow
def test_bm25_on_medquad(shared_data: Path) -> None:
    folder = shared_data / "corpus"
    asked = read_queries(folder / "medquad_queries.jsonl.gz")[::10]
    assert measure(bm25(folder / "medquad_passages.jsonl.gz"), asked, 10).hit > 0.87


@pytest.mark.slow
def test_bm25_on_openstax(shared_data: Path) -> None:
    asked = read_queries(shared_data / "mcq" / "openstax_mcq.jsonl.gz")
    found = measure(bm25(shared_data / "corpus" / "openstax_passages.jsonl.gz"), asked, 10)
    assert found.hit > 0.87
