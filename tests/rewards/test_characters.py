"""The encoder of letters: n-grams by hand, and what it can and cannot see."""

from __future__ import annotations

import pytest
import torch

from medrl.rewards.characters import CharacterEncoder, n_grams
from medrl.rewards.encoder import Encoded
from medrl.rewards.similarity import SimilaritySpec, cosine, token_f1
from medrl.rewards.term import RewardContext
from tests.rewards.conftest import phrase, reply, told, values


def encoded(*texts: str) -> list[Encoded]:
    return CharacterEncoder().encode(texts)


def test_n_grams_by_hand() -> None:
    assert n_grams("a") == ["<a", "a>", "<a>"]
    assert n_grams("left") == [
        *("<l", "le", "ef", "ft", "t>"), *("<le", "lef", "eft", "ft>"), *("<lef", "left", "eft>"),
    ]  # fmt: skip


def test_the_similarity_of_two_words_by_hand() -> None:
    # 6 and 9 n-grams, each once; common are <a, ab, <ab.
    one, other = encoded("ab", "abc")
    assert token_f1(one, other) == pytest.approx(3 / (6 * 9) ** 0.5)
    assert cosine(one, other) == pytest.approx(3 / (6 * 9) ** 0.5)


def test_a_text_is_the_sum_of_its_words_and_its_tokens_are_words() -> None:
    both, left, lung = encoded("The left, LUNG!", "left", "lung")
    assert len(both.tokens_TD) == 2
    torch.testing.assert_close(both.tokens_TD, torch.cat([left.tokens_TD, lung.tokens_TD]))
    [nothing] = encoded("...")
    assert len(nothing.tokens_TD) == 0 and not nothing.sentence_D.any()
    assert token_f1(nothing, left) == cosine(nothing, left) == 0.0


def test_spelling_counts_and_meaning_does_not() -> None:
    one, plural, other = encoded("haemorrhage", "haemorrhages", "bleeding")
    assert token_f1(one, plural) > 0.8 and token_f1(one, other) < 0.1


def test_the_term_needs_no_model(context: RewardContext) -> None:
    spec = SimilaritySpec(term="similarity", encoder="characters", compare="tokens")
    spec.check()
    gold, term = phrase("left lung"), spec.build(context)
    found = values(term, *(reply(told(text), gold) for text in ("left lung", "right lung", "")))
    assert found[0] == pytest.approx(1) and found[2] == 0.0
    assert found[1] is not None and 0.4 < found[1] < 0.7
