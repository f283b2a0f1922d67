"""Search by words: BM25 in Lucene's form (Robertson and Zaragoza 2009; k1 1.5, b 0.75) as ``bm25s``
computes it, in numpy. English stop words and single characters are left out, nothing is stemmed.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

from medrl.errors import DataError
from medrl.retrieval.corpus import Corpus
from medrl.retrieval.retriever import Hit, best_rows

K1, B = 1.5, 0.75
_WORD = re.compile(r"\w\w+")
_STOP = frozenset(STOPWORDS_EN)


def words_of(text: str) -> list[str]:
    """The words by which a text is found."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP]


class WordIndex:
    """Which texts hold which words, and what that is worth.

    Args:
        index: built or loaded.
    """

    def __init__(self, index: bm25s.BM25) -> None:
        self._index = index

    @classmethod
    def of(cls, texts: Sequence[str]) -> WordIndex:
        """Index texts."""
        index = bm25s.BM25(k1=K1, b=B, method="lucene", backend="numpy")
        index.index([words_of(text) for text in texts], show_progress=False)
        return cls(index)

    def best(self, query: str, k: int) -> list[tuple[int, float]]:
        """Rows and scores of at most ``k`` texts that share a word with ``query``, best first;
        equal scores in the order of the texts.

        Raises:
            ValueError: ``k`` is not positive.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        known = self._index.vocab_dict
        words = [word for word in words_of(query) if word in known]
        if not words:
            return []
        scores: NDArray[np.float32] = self._index.get_scores(words)
        return [(int(row), float(scores[row])) for row in best_rows(scores, k) if scores[row] > 0]

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all: of two processes that do so, one wins."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unfinished-"))
        try:
            self._index.save(unfinished, show_progress=False)
            with suppress(OSError):  # another process was first
                unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> WordIndex:
        """What ``save`` wrote; the scores stay on disk until they are needed.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return cls(bm25s.BM25.load(folder, mmap=True, show_progress=False))
        except (OSError, ValueError, KeyError) as error:
            raise DataError(
                f"{folder}: this index cannot be read: {error}", "remove the folder"
            ) from error


class BM25Retriever:
    """BM25 over titles and texts.

    Args:
        cache: folder in which the index is kept, under a hash of corpus and settings; none: it is
            built again each time.
    """

    def __init__(self, corpus: Corpus, cache: Path | None = None) -> None:
        self.corpus = corpus
        settings = ["bm25s", bm25s.__version__, K1, B, _WORD.pattern, corpus.fingerprint]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        folder = None if cache is None else cache / f"bm25-{self.fingerprint}"
        if folder is not None and folder.is_dir():
            self._index = WordIndex.load(folder)
            return
        self._index = WordIndex.of([f"{d.title} {d.text}" for d in corpus.documents])
        if folder is not None:
            self._index.save(folder)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :class:`medrl.retrieval.retriever.Retriever`; what shares no word is not found."""
        documents = self.corpus.documents
        return [
            [Hit(documents[row], score) for row, score in self._index.best(query, k)]
            for query in queries
        ]
