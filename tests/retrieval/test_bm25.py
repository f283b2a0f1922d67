"""BM25 over documents: same list everywhere, and an index that is built once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medrl.retrieval import BM25Retriever, Corpus, Document
from medrl.retrieval.bm25 import WordIndex
from medrl.retrieval.retriever import best_rows


def corpus(*texts: str) -> Corpus:
    return Corpus([Document(str(i), "", text) for i, text in enumerate(texts)], "toy")


TOY = corpus("fever fever chills", "fever cough", "rash itching", "cough")


def ids(retriever: BM25Retriever, query: str, k: int = 10) -> list[str]:
    return [hit.document.id for hit in retriever.search([query], k)[0]]


def test_queries_are_answered_in_their_order_best_first() -> None:
    found = BM25Retriever(TOY).search(["cough", "unheard of", "fever chills"], 2)
    assert [[hit.document.id for hit in hits] for hits in found] == [["3", "1"], [], ["0", "1"]]
    assert found[0][0].score > found[0][1].score > 0


def test_titles_are_searched_too() -> None:
    titled = Corpus([Document("a", "gout", "It hurts."), Document("b", "", "Rest.")], "toy")
    assert ids(BM25Retriever(titled), "gout") == ["a"]


def test_ties_stand_in_the_order_of_the_corpus() -> None:
    same = BM25Retriever(corpus(*["fever"] * 50))
    assert ids(same, "fever", 5) == ["0", "1", "2", "3", "4"]


def test_best_rows_equal_a_stable_sort() -> None:
    rng = np.random.default_rng(0)
    for k in (1, 3, 10, 40):
        scores = rng.integers(0, 6, 30).astype(np.float32)  # many ties
        wanted = sorted(range(30), key=lambda row: (-scores[row], row))[:k]
        assert best_rows(scores, k).tolist() == wanted


def test_k_is_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BM25Retriever(TOY).search(["fever"], 0)


def test_the_index_is_built_once_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    of = WordIndex.of
    monkeypatch.setattr(WordIndex, "of", lambda texts: built.append(1) or of(texts))
    first = BM25Retriever(TOY, tmp_path)
    again = BM25Retriever(TOY, tmp_path)
    assert len(built) == 1
    assert first.fingerprint == again.fingerprint
    for query in ("fever", "cough rash", "nothing"):
        assert first.search([query], 4) == again.search([query], 4)
    assert isinstance(again._index._index.scores["data"], np.memmap)
    changed = BM25Retriever(corpus("fever", "cough"), tmp_path)
    assert len(built) == 2
    assert changed.fingerprint != first.fingerprint
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_two_builders_do_not_spoil_each_other(tmp_path: Path) -> None:
    index = WordIndex.of(["fever", "cough"])
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert WordIndex.load(tmp_path / "index").best("cough", 1)[0][0] == 1
