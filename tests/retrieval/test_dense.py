"""Search by vectors, with a tiny random encoder: its list is that of the cosines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medrl.retrieval import Corpus, Document
from medrl.retrieval.dense import DenseRetriever
from medrl.rewards.encoder import SentenceEncoder
from tests.rewards.test_similarity import save_encoder

CORPUS = Corpus(
    [
        Document("a", "gout", "acute gout"),
        Document("b", "", "pleural effusion left"),
        Document("c", "", "acute pneumonia right"),
    ],
    "toy",
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_encoder(tmp_path_factory.mktemp("encoder")))


def test_the_order_is_that_of_the_cosines(encoder: str) -> None:
    retriever = DenseRetriever(CORPUS, encoder)
    [hits] = retriever.search(["pneumonia"], 3)
    encode = SentenceEncoder(encoder, torch.device("cpu")).encode
    texts = ["gout acute gout", " pleural effusion left", " acute pneumonia right"]
    vector = encode(["pneumonia"])[0].sentence_D
    cosines = {d.id: float(encode([t])[0].sentence_D @ vector)
               for d, t in zip(CORPUS.documents, texts, strict=True)}  # fmt: skip
    assert [hit.document.id for hit in hits] == sorted(cosines, key=lambda i: -cosines[i])
    assert [hit.score for hit in hits] == pytest.approx(sorted(cosines.values(), reverse=True))


def test_vectors_are_kept(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = DenseRetriever(CORPUS, encoder, tmp_path)
    [file] = tmp_path.iterdir()
    encoded: list[str] = []
    encode = SentenceEncoder.encode
    monkeypatch.setattr(
        SentenceEncoder, "encode", lambda self, texts: encoded.extend(texts) or encode(self, texts)
    )
    again = DenseRetriever(CORPUS, encoder, tmp_path)
    assert encoded == []
    assert again.search(["gout"], 2) == first.search(["gout"], 2)
    assert file.name == f"dense-{first.fingerprint}.npy"
    with pytest.raises(ValueError, match="at least 1"):
        again.search(["gout"], 0)
