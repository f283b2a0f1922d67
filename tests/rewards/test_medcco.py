"""MedCCO's open reward out of the terms there are, and its known weakness."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from medrl.rewards.encoder import SentenceEncoder
from medrl.rewards.overlap import bleu_1, rouge_1, words
from medrl.rewards.reward import Reward, RewardSpec
from medrl.rewards.similarity import token_f1
from medrl.rewards.term import RewardContext
from tests.rewards.conftest import phrase, reply, told
from tests.rewards.test_similarity import save_encoder

LAMBDA = 0.7


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def pay(context: RewardContext, encoder: Path, answer: str, gold: str, guard: bool) -> float:
    kinds = ["phrase"]
    terms = [
        {"term": "overlap", "weight": LAMBDA, "kinds": kinds, "guard": guard},
        {
            "term": "similarity",
            "weight": 1 - LAMBDA,
            "kinds": kinds,
            "compare": "tokens",
            "encoder": str(encoder),
            "guard": guard,
        },
    ]
    reward = Reward(RewardSpec.model_validate({"malformed": None, "terms": terms}), context)
    assert (reward.low, reward.high) == (0.0, 1.0)
    [paid] = reward.pay([reply(told(answer), phrase(gold))])
    assert paid.value is not None
    return paid.value


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("The left, pleural effusion.", "pleural effusion"),
        ("no pneumonia", "pneumonia"),
        ("left effusion", "right effusion"),
        ("gout", "pneumonia"),
    ],
)
def test_two_weighted_terms_are_the_formula(
    answer: str, gold: str, context: RewardContext, encoder: Path
) -> None:
    said, wanted = words(answer), words(gold)
    bert = SentenceEncoder(str(encoder), torch.device("cpu"))
    similar = token_f1(*(bert.encode([text])[0] for text in (answer, gold)))
    overlap = (bleu_1(said, wanted) + rouge_1(said, wanted)) / 2
    by_hand = LAMBDA * overlap + (1 - LAMBDA) * similar
    assert pay(context, encoder, answer, gold, guard=False) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize(
    ("answer", "gold", "overlap"),
    [
        ("no pneumonia", "pneumonia", (1 / 2 + 2 / 3) / 2),
        ("left effusion", "right effusion", 1 / 2),
        ("no left pleural effusion", "left pleural effusion", (3 / 4 + 6 / 7) / 2),
    ],
)
def test_opposites_are_paid_but_for_the_guard(
    answer: str, gold: str, overlap: float, context: RewardContext, encoder: Path
) -> None:
    """A known weakness of the reward, and what mends it."""
    assert pay(context, encoder, answer, gold, guard=False) >= LAMBDA * overlap
    assert pay(context, encoder, answer, gold, guard=True) == 0.0
    assert pay(context, encoder, gold, gold, guard=True) == pytest.approx(1.0, abs=1e-5)
