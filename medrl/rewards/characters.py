"""Texts as vectors of their letters: an encoder without a model, for rehearsals.

Where BERTScore compares words by their contextual vectors, this compares them by the character
n-grams they share (as in Bojanowski et al. 2017, but counted, not learned). It knows spelling and
not meaning: "haemorrhage" is near "haemorrhages" and as far from "bleeding" as any other word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import torch
from torch.nn.functional import normalize

from medrl.rewards.encoder import Encoded
from medrl.rewards.overlap import words

SHORTEST, LONGEST = 2, 4
"""Letters of an n-gram; the ends of a word count as letters."""
DIMENSIONS = 4096
"""Places that n-grams are hashed to; two that share one are rare in short answers."""


def n_grams(word: str) -> list[str]:
    """All n-grams of ``<word>``, repeated as often as they occur."""
    marked = f"<{word}>"
    return [
        marked[i : i + n] for n in range(SHORTEST, LONGEST + 1) for i in range(len(marked) - n + 1)
    ]


class CharacterEncoder:
    """Every word of a text, and the text as the sum of its words."""

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """One encoding per text; a text without words has no tokens and a vector of zeros."""
        return [self._one(words(text)) for text in texts]

    def _one(self, said: Sequence[str]) -> Encoded:
        counts_TD = torch.zeros(len(said), DIMENSIONS)
        for t, word in enumerate(said):
            for gram, count in Counter(n_grams(word)).items():
                counts_TD[t, crc32(gram.encode()) % DIMENSIONS] += count
        return Encoded(normalize(counts_TD.sum(0), dim=0), normalize(counts_TD, dim=-1))
