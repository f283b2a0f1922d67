"""Losses on whole answers and the length penalty: by hand, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medrl.learning.objectives.overlong import overlong_penalty
from medrl.learning.objectives.preferences import bradley_terry_loss, dpo_loss, verifier_loss


def double(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def drawn(seed: int, count: int) -> list[torch.Tensor]:
    torch.manual_seed(seed)
    return list(torch.randn(count, 6, dtype=torch.float64).unbind())


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


# --- direct preference optimisation --------------------------------------------------------------


def test_dpo_by_hand() -> None:
    losses, margins = dpo_loss(
        double(-2.0, -5.0), double(-4.0, -3.0), double(-3.0, -4.0), double(-3.0, -4.5), 0.5
    )
    # (1 - (-1)) / 2 = 1 and (-1 - 1.5) / 2 = -1.25
    assert margins.tolist() == pytest.approx([1.0, -1.25])
    assert losses.tolist() == pytest.approx([-math.log(sigmoid(1.0)), -math.log(sigmoid(-1.25))])


@given(st.integers(0, 2**31), st.floats(0.01, 5))
def test_dpo_where_policy_and_reference_agree(seed: int, beta: float) -> None:
    chosen, rejected = (x.requires_grad_() for x in drawn(seed, 2))
    losses, margins = dpo_loss(chosen, rejected, chosen.detach(), rejected.detach(), beta)
    assert losses.tolist() == pytest.approx([math.log(2)] * 6)
    assert not margins.any()
    # - beta (1 - sigma(0)) on the chosen answer, and its opposite on the rejected one
    up, down = torch.autograd.grad(losses.sum(), (chosen, rejected))
    assert up.tolist() == pytest.approx([-beta / 2] * 6)
    assert torch.equal(up, -down)


@given(st.integers(0, 2**31), st.floats(0.01, 5))
def test_dpo_pulls_hardest_where_it_is_most_wrong(seed: int, beta: float) -> None:
    chosen, rejected, ref_chosen, ref_rejected = drawn(seed, 4)
    chosen.requires_grad_()
    losses, margins = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta)
    (gradient,) = torch.autograd.grad(losses.sum(), chosen)
    assert gradient.tolist() == pytest.approx([-beta * sigmoid(-m) for m in margins.tolist()])
    assert not margins.requires_grad


def test_dpo_gradients_agree_with_finite_differences() -> None:
    tensors = [x.requires_grad_() for x in drawn(0, 4)]
    assert torch.autograd.gradcheck(lambda *x: dpo_loss(*x, beta=0.7)[0], tensors)


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_dpo_needs_a_positive_beta(beta: float) -> None:
    with pytest.raises(ValueError, match="beta"):
        dpo_loss(*drawn(0, 4), beta=beta)


# --- reward models and verifiers -----------------------------------------------------------------


def test_bradley_terry_by_hand() -> None:
    losses = bradley_terry_loss(double(1.0, 0.0, 0.0), double(0.0, 0.0, 2.0))
    expected = [-math.log(sigmoid(1.0)), math.log(2), -math.log(sigmoid(-2.0))]
    assert losses.tolist() == pytest.approx(expected)


@given(st.integers(0, 2**31))
def test_dpo_is_bradley_terry_on_implied_rewards(seed: int) -> None:
    chosen, rejected, ref_chosen, ref_rejected = drawn(seed, 4)
    losses, _ = dpo_loss(chosen, rejected, ref_chosen, ref_rejected, 0.3)
    implied = bradley_terry_loss(0.3 * (chosen - ref_chosen), 0.3 * (rejected - ref_rejected))
    torch.testing.assert_close(losses, implied)


@pytest.mark.parametrize("labels_as", [torch.bool, torch.int64, torch.float64])
def test_verifier_loss_by_hand(labels_as: torch.dtype) -> None:
    labels = torch.tensor([1, 0, 1]).to(labels_as)
    losses = verifier_loss(double(2.0, 2.0, 0.0), labels)
    expected = [-math.log(sigmoid(2.0)), -math.log(sigmoid(-2.0)), math.log(2)]
    assert losses.tolist() == pytest.approx(expected)


@given(st.floats(-6, 6), st.floats(0, 1))
def test_verifier_loss_is_cross_entropy(logit: float, label: float) -> None:
    z = double(logit).requires_grad_()
    loss = verifier_loss(z, double(label))
    right = sigmoid(logit)
    assert loss.item() == pytest.approx(
        -label * math.log(right) - (1 - label) * math.log(1 - right), abs=1e-9
    )
    (gradient,) = torch.autograd.grad(loss, z)
    assert gradient.item() == pytest.approx(right - label, abs=1e-12)


def test_reward_losses_agree_with_finite_differences() -> None:
    chosen, rejected = (x.requires_grad_() for x in drawn(0, 2))
    assert torch.autograd.gradcheck(bradley_terry_loss, (chosen, rejected))
    labels = double(0, 1, 1, 0, 1, 0.3)
    assert torch.autograd.gradcheck(lambda x: verifier_loss(x, labels), chosen)


def test_hopeless_cases_stay_finite() -> None:
    """In single precision sigma(-200) is 0, and its logarithm would be infinite."""
    far, near = torch.tensor([-200.0]).requires_grad_(), torch.zeros(1)
    losses = (
        bradley_terry_loss(far, near),
        dpo_loss(far, near, near, near, 1.0)[0],
        verifier_loss(far, torch.ones(1)),
    )
    for loss in losses:
        assert loss.item() == pytest.approx(200)
        assert torch.autograd.grad(loss, far)[0].item() == pytest.approx(-1)


# --- length penalty ------------------------------------------------------------------------------


def test_the_penalty_falls_from_the_buffer_to_the_limit() -> None:
    lengths = torch.tensor([0, 80, 81, 90, 99, 100, 101, 5000])
    penalties = overlong_penalty(lengths, limit=100, buffer=20)
    expected = [0.0, 0.0, -0.05, -0.5, -0.95, -1.0, -1.0, -1.0]
    assert penalties.tolist() == pytest.approx(expected)
    assert penalties.dtype == torch.float32


@pytest.mark.parametrize("buffer", [0, -1, 101])
def test_a_buffer_outside_the_limit_is_refused(buffer: int) -> None:
    with pytest.raises(ValueError, match="buffer"):
        overlong_penalty(torch.tensor([5]), limit=100, buffer=buffer)
