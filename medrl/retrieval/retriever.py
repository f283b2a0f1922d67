"""What every retriever promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medrl.retrieval.corpus import Document


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found; a higher score is a better one, and only comparable within one
    search."""

    document: Document
    score: float


class Retriever(Protocol):
    """Finds documents; any thread may search."""

    @property
    def fingerprint(self) -> str:
        """Short hash of corpus and settings: the same, the same documents are found."""
        ...

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """For each query at most ``k`` documents, best first; equal scores in the corpus's order.

        Raises:
            ValueError: ``k`` is not positive.
        """
        ...


def best_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The rows of the ``k`` greatest scores, best first, equal ones in the order of the rows."""
    rows = np.arange(len(scores))
    if k < len(scores):  # most rows need no sorting
        rows = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
    best: NDArray[np.int64] = rows[np.argsort(-scores[rows], kind="stable")[:k]]
    return best
