"""Search by meaning: cosine of sentence vectors, compared with every document (a flat index)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medrl.model import weights_fingerprint
from medrl.retrieval.corpus import Corpus
from medrl.retrieval.retriever import Hit, best_rows
from medrl.rewards.encoder import SentenceEncoder, encoder_folder

_AT_ONCE = 2048
"""Documents that are encoded before their vectors are copied: their tokens' vectors take room."""


class DenseRetriever:
    """Cosine similarity of titles and texts with the query, by an encoder of ``transformers``.

    Args:
        encoder: ``minilm``, a folder or a hub id; see :mod:`medrl.rewards.encoder`. Texts are cut
            off behind its longest length (MiniLM: 256 tokens).
        cache: folder in which the vectors are kept, under a hash of corpus and encoder.

    Raises:
        RecipeError: ``minilm`` is not installed.
        ModelError: the encoder cannot be loaded.
    """

    def __init__(
        self,
        corpus: Corpus,
        encoder: str,
        cache: Path | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.corpus = corpus
        self._encoder = SentenceEncoder(encoder_folder(encoder), device or torch.device("cpu"))
        settings = ["dense", weights_fingerprint(self._encoder.model), corpus.fingerprint]
        self.fingerprint = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        file = None if cache is None else cache / f"dense-{self.fingerprint}.npy"
        if file is not None and file.is_file():
            self._vectors_ND: NDArray[np.float32] = np.load(file, mmap_mode="r")
            return
        self._vectors_ND = self._encoded([f"{d.title} {d.text}" for d in corpus.documents])
        if file is not None:
            _save(self._vectors_ND, file)

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """See :class:`medrl.retrieval.retriever.Retriever`."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        documents, found = self.corpus.documents, []
        for query in queries:  # one at a time: a vector depends in its last bits on its company
            scores = self._vectors_ND @ self._encoded([query])[0]
            found.append([Hit(documents[r], float(scores[r])) for r in best_rows(scores, k)])
        return found

    def _encoded(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [N, D] of length 1."""
        parts = []
        for start in range(0, len(texts), _AT_ONCE):
            encoded = self._encoder.encode(texts[start : start + _AT_ONCE])
            parts.append(torch.stack([e.sentence_D for e in encoded]).cpu().numpy())
        return np.concatenate(parts)


def _save(vectors_ND: NDArray[np.float32], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=file.parent, suffix=".npy")
    os.close(handle)
    np.save(unfinished, vectors_ND)
    os.replace(unfinished, file)
