"""Search in a knowledge base: BM25 over its passages, or nothing at all.

See :mod:`medrl.retrieval.bm25`. Equal scores stand in the order of the passages, so a search gives
the same list everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from medrl.chains.passages import KnowledgeBase, Passage, clinic_base
from medrl.retrieval.bm25 import WordIndex


class Retriever(Protocol):
    """Finds passages."""

    def search(self, query: str, k: int) -> list[Passage]:
        """At most ``k`` passages that share a word with ``query``, best first."""
        ...


class BM25Retriever:
    """BM25 over passages.

    Args:
        passages: what is searched; the order decides between equal scores.
        synonyms: index the other clinical wording of each passage as well.

    Raises:
        ValueError: no passages.
    """

    def __init__(self, passages: Sequence[Passage], synonyms: bool = True) -> None:
        if not passages:
            raise ValueError("there are no passages to search")
        self._passages = tuple(passages)
        self._index = WordIndex.of([f"{p.text} {p.also}" if synonyms else p.text for p in passages])

    def search(self, query: str, k: int) -> list[Passage]:
        """See :class:`Retriever`."""
        return [self._passages[row] for row, _ in self._index.best(query, k)]


class NoRetriever:
    """Retrieval switched off: the comparison arm."""

    def search(self, query: str, k: int) -> list[Passage]:
        """Nothing, whatever is asked."""
        return []


@lru_cache(maxsize=2)
def clinic_retriever(synonyms: bool = True) -> BM25Retriever:
    """Search in the embedded clinic; the index is built once."""
    return retriever_of(clinic_base(), synonyms)


def retriever_of(base: KnowledgeBase, synonyms: bool = True) -> BM25Retriever:
    """Search in ``base``."""
    return BM25Retriever(tuple(base.passages.values()), synonyms)
