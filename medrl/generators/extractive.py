"""Generators that only point: an answer is a sentence of the documents, or the option that they
support best. No training, no chance, no model. The rules are ours.

Words are compared by their first five letters ("treatment" with "treated"), English stop words left
out, and count by how rare they are in the documents at hand: ``log(1 + n / (1 + df))`` for n
documents of which df hold the word.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from medrl.generators.generator import Given, Task, option_answer
from medrl.judges.parts import steps_of
from medrl.retrieval.bm25 import words_of

RuleName = Literal["topic", "bridge"]
Words = frozenset[str]
_ROOT = 5
"""Letters that decide whether two words are the same."""


class ExtractiveGenerator:
    """Answers by a rule.

    ``topic``: the documents of one title are one topic. That which shares most with the question
    is what the question is about, and of its sentences the one is the answer that shares most with
    the question's last sentence, where it says what it asks for.

    ``bridge``: titles do not count. Of the document that shares most with the question the words
    that the question lacks are a bridge, and the answer is the sentence that shares most with the
    question's last sentence times what it shares with the bridge.

    Of options, ``topic`` takes the one whose words are best covered by a document, ``bridge`` by a
    sentence; documents and sentences count by what they share with the question as well. What
    comes first wins a tie. There is no answer where nothing is shared.
    """

    def __init__(self, rule: RuleName) -> None:
        self.rule = rule
        self._pick: Callable[[_Reading], str] = {"topic": _by_topic, "bridge": _by_bridge}[rule]

    def answer(self, tasks: Sequence[Task]) -> list[Given]:
        """See :class:`medrl.generators.generator.Generator`."""
        return [Given(self._answer(task)) for task in tasks]

    def _answer(self, task: Task) -> str:
        reading = _Reading(task)
        if task.options:
            return _best_option(task, reading, whole=self.rule == "topic")
        return self._pick(reading)

    def fingerprint(self) -> str:
        """See :class:`medrl.generators.generator.Generator`; here a hash of rule and code."""
        return hashlib.sha256(self.rule.encode() + Path(__file__).read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=200_000)
def _words(text: str) -> Words:
    return frozenset(word[:_ROOT] for word in words_of(text))


@lru_cache(maxsize=200_000)
def _sentences(text: str) -> tuple[str, ...]:
    return tuple(steps_of(text))


class _Reading:
    """A task with its words."""

    def __init__(self, task: Task) -> None:
        self.texts = [d.text for d in task.documents]
        self.titles = [d.title for d in task.documents]
        self.whole = [
            _words(d.title) | _words(d.text) for d in task.documents
        ]  # titles are read as part of a text
        self.question = _words(task.question)
        self.asked = _words((_sentences(task.question) or ("",))[-1])

    def weight(self, words: Iterable[str]) -> float:
        """How much words that are shared count together, in nats."""
        n = len(self.whole)
        # Sorted: a sum in another order may differ in its last bit, and a tie hangs on that.
        rare = (1 + n / (1 + sum(word in text for text in self.whole)) for word in sorted(words))
        return math.fsum(map(math.log, rare))


def _first_best(scores: Sequence[float]) -> int | None:
    """Where the greatest score stands first; none if all are 0."""
    best = max(scores, default=0.0)
    return scores.index(best) if best > 0 else None


def _by_topic(reading: _Reading) -> str:
    titles = list(dict.fromkeys(reading.titles))
    topics = [
        frozenset[str]().union(
            *(w for w, t in zip(reading.whole, reading.titles, strict=True) if t == title)
        )
        for title in titles
    ]
    chosen = _first_best([reading.weight(topic & reading.question) for topic in topics])
    if chosen is None:
        return ""
    texts = zip(reading.texts, reading.titles, strict=True)
    sentences = [s for text, t in texts if t == titles[chosen] for s in _sentences(text)]
    best = _first_best([reading.weight(_words(s) & reading.asked) for s in sentences])
    return "" if best is None else sentences[best]


def _by_bridge(reading: _Reading) -> str:
    shared = [reading.weight(words & reading.question) for words in reading.whole]
    start = _first_best(shared)
    if start is None:
        return ""
    bridge = _words(reading.texts[start]) - reading.question
    sentences = [s for text in reading.texts for s in _sentences(text)]
    scores = []
    for text in sentences:
        words = _words(text)
        asked = reading.weight(words & reading.asked)
        scores.append(asked * (1 + reading.weight(words & bridge)))
    best = _first_best(scores)
    return "" if best is None else sentences[best]


def _best_option(task: Task, reading: _Reading, whole: bool) -> str:
    if whole:
        places = reading.whole
    else:
        places = [_words(s) for text in reading.texts for s in _sentences(text)]
    known = [reading.weight(place & reading.question) for place in places]
    most = max(known, default=0.0) or 1.0
    scores = []
    for option in task.options:
        words = _words(option)
        full = reading.weight(words) or 1.0
        covered = (reading.weight(words & place) / full for place in places)
        fitting = (c * (1 + k / most) for c, k in zip(covered, known, strict=True))
        scores.append(max(fitting, default=0.0))
    best = _first_best(scores)
    return "" if best is None else option_answer(best, task.options[best])
