"""Meaning in common with the reference answer, as a text encoder sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from medrl.grading.format import Format
from medrl.rewards.answer_part import answer_text
from medrl.rewards.characters import CharacterEncoder
from medrl.rewards.encoder import MINILM, Encoded, SentenceEncoder, encoder_folder
from medrl.rewards.guard import contradiction
from medrl.rewards.term import Answer, RewardContext, Score, Term, TermSpec

Compare = Literal["sentence", "tokens"]

CHARACTERS = "characters"
"""The encoder that needs no model."""

CACHED = 4096
"""References whose vectors are kept."""


def cosine(said: Encoded, wanted: Encoded) -> float:
    """Cosine of the two texts, in [0, 1]: a negative one counts as 0, because texts that have
    nothing to do with each other lie around 0 and not at -1."""
    return float((said.sentence_D @ wanted.sentence_D).clamp(0, 1))


def token_f1(said: Encoded, wanted: Encoded) -> float:
    """BERTScore's F1 (Zhang et al. 2020) in [0, 1], without idf weights and baseline: every token
    is matched with the most similar one of the other text, a negative mean counts as 0."""
    if not len(said.tokens_TD) or not len(wanted.tokens_TD):
        return 0.0
    similar_TT = said.tokens_TD @ wanted.tokens_TD.T
    precision, recall = similar_TT.amax(1).mean(), similar_TT.amax(0).mean()
    if precision + recall <= 0:
        return 0.0
    return float((2 * precision * recall / (precision + recall)).clamp(0, 1))


class Encoder(Protocol):
    """Turns texts into vectors."""

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One encoding per text, in order."""
        ...


class Similarity:
    """Similarity of the answer part and the reference."""

    low: float = 0.0
    high: float = 1.0

    def __init__(self, encoder: Encoder, compare: Compare, format: Format, guard: bool) -> None:
        self.encoder, self.format, self.guard = encoder, format, guard
        self.compare = cosine if compare == "sentence" else token_f1
        self._references: dict[str, Encoded] = {}

    def score(self, answers: Sequence[Answer]) -> list[Score]:
        """See :class:`medrl.rewards.term.Term`."""
        texts = [answer_text(a.text, self.format) for a in answers]
        references = [a.case.reference.gold_text for a in answers]
        why = [
            contradiction(text, reference) if self.guard else ""
            for text, reference in zip(texts, references, strict=True)
        ]
        needed = list(dict.fromkeys(t for t, w in zip(texts, why, strict=True) if t and not w))
        said = dict(zip(needed, self.encoder.encode(needed), strict=True))
        return [
            Score(0.0, reason or "there is no answer part")
            if reason or not text
            else self._score(said[text], self._reference(reference))
            for text, reference, reason in zip(texts, references, why, strict=True)
        ]

    def _score(self, said: Encoded, wanted: Encoded) -> Score:
        value = self.compare(said, wanted)
        return Score(value, f"similarity {value:.2f}")

    def _reference(self, text: str) -> Encoded:
        """Encoded alone: a resumed run, whose cache is empty, must find the same bits."""
        if text not in self._references:
            if len(self._references) >= CACHED:
                self._references.pop(next(iter(self._references)))
            self._references[text] = self.encoder.encode([text])[0]
        return self._references[text]


class SimilaritySpec(TermSpec):
    """Similarity of the answer part to the reference's text by a sentence encoder (the semantic
    half of MedCCO's open reward).

    Encoders do not tell clinical opposites apart, which ``guard`` mends in part.
    """

    term: Literal["similarity"]
    encoder: str = MINILM
    """``minilm`` (extra ``similarity``), a folder or hub id of an encoder, safetensors only; or
    ``characters``: n-grams of letters, without a model."""
    compare: Compare = "sentence"
    """``sentence``: cosine of the whole texts (ours). ``tokens``: BERTScore's F1 (MedCCO)."""
    guard: bool = False
    """Contradictions (negation, side, opposites) earn 0: see :mod:`medrl.rewards.guard`."""

    def check(self) -> None:
        """See :class:`TermSpec`."""
        if self.encoder != CHARACTERS:
            encoder_folder(self.encoder)

    def build(self, context: RewardContext) -> Term:
        """See :class:`TermSpec`."""
        return Similarity(self._encoder(context), self.compare, context.grader.format, self.guard)

    def _encoder(self, context: RewardContext) -> Encoder:
        if self.encoder == CHARACTERS:
            return CharacterEncoder()
        folder = context.model_folder(encoder_folder(self.encoder))
        return SentenceEncoder(folder, context.policy.device)
