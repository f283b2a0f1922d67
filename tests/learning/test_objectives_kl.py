"""The KL estimators, against sums over every word of a small vocabulary."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medrl.learning.objectives.kl import Estimator, kl_estimate, kl_loss


def categoricals(seed: int, spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a policy and of a reference over five words."""
    torch.manual_seed(seed)
    logits, ref_logits = spread * torch.randn(2, 5, dtype=torch.float64)
    return logits.requires_grad_(), ref_logits


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of two vectors of logits."""
    log_p, log_q = p.log_softmax(0), q.log_softmax(0)
    return (log_p.exp() * (log_p - log_q)).sum()


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        ("k1", [math.log(2), -math.log(2)]),
        ("k2", [math.log(2) ** 2 / 2, math.log(2) ** 2 / 2]),
        ("k3", [0.5 + math.log(2) - 1, 2 - math.log(2) - 1]),
    ],
)
def test_a_word_twice_and_half_as_likely(estimator: Estimator, expected: list[float]) -> None:
    log_probs = torch.tensor([[math.log(0.2), math.log(0.2)]], dtype=torch.float64)
    reference = torch.tensor([[math.log(0.1), math.log(0.4)]], dtype=torch.float64)
    assert kl_estimate(log_probs, reference, estimator)[0].tolist() == pytest.approx(expected)


@given(st.integers(0, 2**31))
def test_k1_and_k3_are_unbiased_and_k2_is_not(seed: int) -> None:
    logits, ref_logits = categoricals(seed)
    log_p, log_ref = logits.detach().log_softmax(0), ref_logits.log_softmax(0)
    true = divergence(logits.detach(), ref_logits)
    mean = {
        name: (log_p.exp() * kl_estimate(log_p[None], log_ref[None], name)[0]).sum()
        for name in ("k1", "k2", "k3")
    }
    torch.testing.assert_close(mean["k1"], true)
    torch.testing.assert_close(mean["k3"], true)
    assert not torch.isclose(mean["k2"], true, rtol=1e-6)
    for name in ("k2", "k3"):
        assert (kl_estimate(log_p[None], log_ref[None], name) >= 0).all()


def test_k2_is_nearly_unbiased_for_a_small_step() -> None:
    logits, _ = categoricals(0)
    logits = logits.detach()
    step = torch.tensor([1.0, -0.5, 0.3, 0.0, -0.8], dtype=torch.float64)
    errors = []
    for size in (1e-1, 1e-2):
        log_p, log_ref = logits.log_softmax(0), (logits + size * step).log_softmax(0)
        mean = (log_p.exp() * kl_estimate(log_p[None], log_ref[None], "k2")[0]).sum()
        true = divergence(logits, logits + size * step)
        errors.append(abs((mean - true) / true).item())
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.2)  # the bias is of higher order


@given(st.integers(0, 2**31))
def test_the_expected_gradients_of_the_estimators(seed: int) -> None:
    logits, ref_logits = categoricals(seed)
    log_p, log_ref = logits.log_softmax(0), ref_logits.log_softmax(0)
    (reverse,) = torch.autograd.grad(divergence(logits, ref_logits), logits, retain_graph=True)
    (forward,) = torch.autograd.grad(divergence(ref_logits, logits), logits, retain_graph=True)
    for name, expected in (("k1", torch.zeros_like(reverse)), ("k2", reverse), ("k3", forward)):
        # every word once, weighed by how often it is drawn: the weights carry no gradient
        loss = kl_loss(log_p[None], log_ref[None], log_p.exp().detach()[None], name)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)
    assert not torch.allclose(reverse, forward, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_gradients_agree_with_finite_differences(estimator: Estimator) -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    reference, weights = torch.randn(2, 2, 6, dtype=torch.float64).unbind()
    assert torch.autograd.gradcheck(
        lambda x: kl_loss(x, reference, weights.abs(), estimator), log_probs
    )


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_where_the_policies_agree_nothing_pulls(estimator: Estimator) -> None:
    log_probs = torch.tensor([[-0.1, -2.0, -30.0]], requires_grad=True)
    estimates = kl_estimate(log_probs, log_probs.detach(), estimator)
    assert not estimates.any()
    assert not torch.autograd.grad(estimates.sum(), log_probs)[0].any()


@pytest.mark.parametrize(
    ("difference", "value", "gradient"),
    [
        (-9.9, math.exp(-9.9) + 9.9 - 1, 1 - math.exp(-9.9)),
        (-10.1, math.exp(-10) + 10 - 1, 0.0),
        (9.9, math.exp(9.9) - 9.9 - 1, 1 - math.exp(9.9)),
        (10.1, math.exp(10) - 10 - 1, 0.0),
        (700.0, math.exp(10) - 10 - 1, 0.0),
    ],
)
def test_k3_stays_finite_far_from_the_reference(
    difference: float, value: float, gradient: float
) -> None:
    log_probs = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    reference = torch.full((1, 1), difference, dtype=torch.float64)
    estimate = kl_estimate(log_probs, reference, "k3")
    assert estimate.item() == pytest.approx(value)
    # d k3 / d l = 1 - exp(l_ref - l)
    assert torch.autograd.grad(estimate, log_probs)[0].item() == pytest.approx(gradient)


def test_k3_of_a_small_step_survives_single_precision() -> None:
    step = 2.0**-12
    estimate = kl_estimate(torch.tensor([[-1.0]]), torch.tensor([[-1.0 + step]]), "k3")
    assert estimate.item() == pytest.approx(step**2 / 2, rel=1e-2)


def test_kl_loss_is_the_weighted_sum() -> None:
    log_probs = torch.tensor([[-1.0, -2.0, -3.0]], dtype=torch.float64)
    reference = torch.tensor([[-1.5, -1.0, 9.0]], dtype=torch.float64)
    weights = torch.tensor([[0.25, 0.75, 0.0]], dtype=torch.float64)
    assert kl_loss(log_probs, reference, weights, "k1").item() == pytest.approx(0.125 - 0.75)
    assert kl_loss(log_probs, reference, weights, "k2").item() == pytest.approx(
        0.25 * 0.125 + 0.75 * 0.5
    )
