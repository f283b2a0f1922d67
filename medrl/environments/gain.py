"""Gain beyond RAG: what the documents of a search add to those of naive retrieval (s3).

``GBR = Acc(G(q, D_s3), y) - Acc(G(q, D_RAG), y)``. The second term is the same for all searches of
a case; it is asked for once, and kept in memory and on disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from medrl.cases.case import Case
from medrl.environments.accuracy import Accuracy
from medrl.errors import DataError
from medrl.generators.generator import Generator, Task
from medrl.judges.cache import ReplyCache
from medrl.retrieval.corpus import Document


@dataclass(frozen=True, slots=True)
class Naive:
    """An answer from naive retrieval and whether it is right (1 or 0)."""

    text: str
    accuracy: int


class NaiveAnswers:
    """Naive answers by a hash of generator, judge, documents, question and reference.

    Documents stand in the hash themselves, so another corpus, retriever, ``k`` or disturbance is
    another entry.

    Args:
        asked_by: settings that the answers depend on besides: the generator's fingerprint, the
            judge's settings.
        file: SQLite file that keeps them; none: memory only.

    Attributes:
        asked: answers that the generator was asked for, kept ones left out.
    """

    def __init__(
        self,
        generator: Generator,
        accuracy: Accuracy,
        asked_by: Sequence[str],
        file: Path | None = None,
    ) -> None:
        self._generator, self._accuracy = generator, accuracy
        self._asked_by = list(asked_by)
        self._file = file
        self._known: dict[str, Naive] = {}
        self.asked = 0

    def of(self, wanted: Sequence[tuple[Case, tuple[Document, ...]]]) -> list[Naive]:
        """The naive answer to each case from its documents.

        Raises:
            JudgeError: generator or judge cannot be reached, or the file cannot be used.
            DataError: the file is damaged.
        """
        keys = [self._key(case, documents) for case, documents in wanted]
        self._recall([key for key in keys if key not in self._known])
        missing = {
            key: pair for key, pair in zip(keys, wanted, strict=True) if key not in self._known
        }
        if missing:
            given = self._generator.answer([Task.of(*pair) for pair in missing.values()])
            self.asked += len(missing)
            texts = [answer.text for answer in given]
            cases = [case for case, _ in missing.values()]
            right = self._accuracy.of(list(zip(cases, texts, strict=True)))
            fresh = [Naive(*found) for found in zip(texts, right, strict=True)]
            self._keep(dict(zip(missing, fresh, strict=True)))
        return [self._known[key] for key in keys]

    def _key(self, case: Case, documents: Sequence[Document]) -> str:
        reference = case.reference
        content = [
            self._asked_by,
            [case.context, case.question, reference.kind, reference.value, reference.options],
            [[d.title, d.text] for d in documents],
        ]
        return sha256(json.dumps(content).encode()).hexdigest()

    def _recall(self, keys: Sequence[str]) -> None:
        if self._file is None or not keys:
            return
        cache = ReplyCache(self._file)
        try:
            kept = cache.get(keys)
        except sqlite3.Error as error:
            raise DataError(f"{self._file}: cannot be read: {error}", "remove it") from error
        finally:
            cache.close()
        self._known |= {key: Naive(**json.loads(text)) for key, text in kept.items()}

    def _keep(self, fresh: dict[str, Naive]) -> None:
        self._known |= fresh
        if self._file is None:
            return
        cache = ReplyCache(self._file)
        try:
            for key, naive in fresh.items():
                cache.put(key, json.dumps(asdict(naive)))
        except sqlite3.Error as error:
            raise DataError(f"{self._file}: cannot be written: {error}", "free it") from error
        finally:
            cache.close()


@dataclass(frozen=True, slots=True)
class Found:
    """A case with the documents of a search and those of naive retrieval."""

    case: Case
    documents: tuple[Document, ...]
    naive: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Gain:
    """What the generator made of a search.

    Attributes:
        text: its answer.
        accuracy, naive: 1 or 0, of that answer and of the one from naive documents.
        unread: documents that did not fit into its context.
    """

    text: str
    accuracy: int
    naive: int
    unread: int

    @property
    def beyond(self) -> int:
        """GBR, in {-1, 0, 1}."""
        return self.accuracy - self.naive

    @property
    def released(self) -> int:
        """The released code's score, utility plus generation: 2 rescued, 1 both right, 0 both
        wrong, -1 harmed."""
        return self.beyond + self.accuracy

    def measures(self) -> dict[str, float]:
        """For logging."""
        return {
            "gain": self.beyond,
            "rescued": float(self.beyond == 1),
            "both_right": float(self.accuracy and self.naive),
            "both_wrong": float(not self.accuracy and not self.naive),
            "harmed": float(self.beyond == -1),
            "unread": self.unread,
        }


class Scorer:
    """Asks the generator about many searches at once."""

    def __init__(self, generator: Generator, accuracy: Accuracy, naive: NaiveAnswers) -> None:
        self.generator, self.accuracy, self.naive = generator, accuracy, naive

    def of(self, found: Sequence[Found]) -> list[Gain]:
        """The gain of each search.

        Raises:
            JudgeError, DataError: see :meth:`NaiveAnswers.of`.
        """
        naive = self.naive.of([(f.case, f.naive) for f in found])
        given = self.generator.answer([Task.of(f.case, f.documents) for f in found])
        right = self.accuracy.of([(f.case, g.text) for f, g in zip(found, given, strict=True)])
        return [
            Gain(g.text, accuracy, n.accuracy, g.unread)
            for g, accuracy, n in zip(given, right, naive, strict=True)
        ]
