"""Content words of questions and answers, and which fact of a record a question is about."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from medrl.cases.record import Fact
from medrl.grading.negation import FILLERS, stem
from medrl.grading.normalise import normalise

_TALK = (
    "i me my mine we our you your yours he him his she her they them their who what when where "
    "which how why if then so as about also too just only even some than much many more most very "
    "can could would should will shall may might must did does doing done am im ive id youve youre "
    "its thats dont doesnt didnt isnt havent hasnt let get got go know tell say said ask see feel "
    "feeling felt notice noticed seem think experience experienced experiencing symptom trouble "
    "hello hi dear doctor please thank thanks ok okay well yes no not nor but because into over "
    "up down out off again still ever now these those here all both each own same such until "
    "during before after exactly question"
)
TALK = FILLERS | frozenset(_TALK.split())
"""Words that a question may hold whatever it asks for."""

ABOUT = 0.5
"""Share of a question's content, weighed by rarity, that a fact must hold."""
IN_ANSWER = 0.75
"""What a word counts that stands in the answer of a fact only."""

_SENTENCES = re.compile(r"(?<=[.!?…])\s+")
_REFUSAL = re.compile(r"(?:no|not|never|none|nothing|neither|nope)\b", re.IGNORECASE)


@lru_cache(maxsize=8192)
def content(text: str) -> tuple[str, ...]:
    """Stems of the words that tell what a text is about, in order."""
    return tuple(s for word in normalise(text).split() if (s := stem(word)) not in TALK)


def sentences(text: str) -> list[str]:
    """Sentences, with their end marks."""
    return [s for s in _SENTENCES.split(text.strip()) if s]


def denies(answer: str) -> bool:
    """Whether an answer begins with a no: it tells what is not so, or next to nothing."""
    return bool(_REFUSAL.match(answer.strip()))


def holds(reply: str, answer: str, share: float = 0.6) -> bool:
    """Whether ``reply`` tells what ``answer`` does: its words, or ``share`` of its content."""
    said, wanted = f" {normalise(reply)} ", f" {normalise(answer)} "
    words = set(content(answer))
    if not words:
        return said == wanted
    return wanted in said or len(words & set(content(reply))) >= share * len(words)


class Index:
    """Finds what a question is about, by words alone: rare ones count more, ``log(1 + N / n)`` for
    a word in ``n`` of ``N`` facts, and words of the fact's question more than those of its answer.

    Args:
        facts: those that can be found; the order decides between equals.
    """

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._asked = [frozenset(content(fact.question)) for fact in facts]
        self._told = [frozenset(content(fact.answer)) for fact in facts]
        self._exact = [normalise(fact.question) for fact in facts]
        pairs = zip(self._asked, self._told, strict=True)
        self._often = Counter(word for asked, told in pairs for word in asked | told)

    def find(self, question: str) -> list[int]:
        """Positions of facts that ``question`` is about, best first; those that ask in the very
        same words are in front."""
        key, words = normalise(question), set(content(question))
        same = [i for i, exact in enumerate(self._exact) if key and exact == key]
        scores = {i: self._score(words, i) for i in range(len(self._exact)) if i not in same}
        like = [i for i, score in scores.items() if score > 0]
        return [*same, *sorted(like, key=lambda i: (-scores[i], i))]

    def _score(self, words: set[str], fact: int) -> float:
        """How much of the question the fact holds, and a little for how much of the fact is asked
        for; 0 if it is not about it."""
        total = self._weight(words)
        in_question = self._weight(words & self._asked[fact])
        in_answer = self._weight(words & (self._told[fact] - self._asked[fact]))
        found = in_question + IN_ANSWER * in_answer
        if not total or found < ABOUT * total:
            return 0.0
        return found / total + 0.2 * in_question / (self._weight(self._asked[fact]) or 1.0)

    def _weight(self, words: set[str] | frozenset[str]) -> float:
        count = len(self._exact)
        return math.fsum(math.log(1 + count / self._often.get(word, 1)) for word in sorted(words))
