"""What averaging within each answer does to lengths, in expectation.

The policy goes on or stops, token after token, with one chance of stopping. All its answers are
listed, so that expectations are sums. All of them are wrong (advantage -1), or all are right.
"""

from __future__ import annotations

import pytest
import torch

from medrl.learning.objectives.ppo import policy_loss
from medrl.learning.objectives.weights import Aggregation, token_weights

LONGEST = 12


def answers(stop: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of answers of 1 to ``LONGEST`` tokens: log-probs of their tokens, and which are theirs; the
    last possible one is never chosen."""
    at = torch.arange(LONGEST)
    last = at[:, None]
    log_probs = torch.where(at < last, torch.log1p(-stop), stop.log()) * (at < LONGEST - 1)
    return log_probs, (at <= last).double()


def pull(aggregation: Aggregation, advantage: float, stop: float) -> tuple[float, float]:
    """Which way descent moves the chance of stopping, and the slope of ``A E[1 / |o|]``."""
    chance = torch.tensor(stop, dtype=torch.float64, requires_grad=True)
    log_probs, mask = answers(chance)
    probability = (log_probs * mask).sum(1).exp()
    assert probability.sum().item() == pytest.approx(1)
    expected = advantage * probability.detach()[:, None] * LONGEST * mask  # weights divide by it
    weights = token_weights(mask, aggregation, LONGEST)
    loss, _ = policy_loss(log_probs, log_probs.detach(), expected, weights, 0.2, 0.2)
    (descent,) = torch.autograd.grad(loss, chance, retain_graph=True)
    shortness = advantage * (probability / mask.sum(1)).sum()
    (slope,) = torch.autograd.grad(shortness, chance)
    return -descent.item(), slope.item()


@pytest.mark.parametrize("stop", [0.1, 0.3, 0.7])
def test_grpo_makes_wrong_answers_longer_and_right_ones_shorter(stop: float) -> None:
    """Its expected gradient is that of ``A E[1 / |o|]``, though nothing is paid for length."""
    for advantage in (-1.0, 1.0):
        moved, slope = pull("response", advantage, stop)
        assert moved == pytest.approx(slope)
        assert moved * advantage > 0  # wrong: stops less; right: stops more


@pytest.mark.parametrize("aggregation", ["constant", "token"])
def test_weights_that_are_the_same_for_all_tokens_leave_lengths_alone(
    aggregation: Aggregation,
) -> None:
    for advantage in (-1.0, 1.0):
        assert pull(aggregation, advantage, 0.3)[0] == pytest.approx(0, abs=1e-12)
