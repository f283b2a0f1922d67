"""The clipped policy loss and importance factors: by hand, and what each variant is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medrl.learning.advantages import group_advantages, leave_one_out_advantages
from medrl.learning.objectives.importance import Level, truncated_importance
from medrl.learning.objectives.ppo import Ratio, policy_loss
from medrl.learning.objectives.weights import Aggregation, token_weights
from medrl.stages import DrGRPOStage, GroupStage, GRPOStage


def double(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# --- one ratio per token -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "passes_gradient"),
    [
        (1.0, 2.0, -2.0, True),
        (1.1, 2.0, -2.2, True),
        (1.5, 2.0, -2.6, False),  # good and already likelier: held at 1 + clip_high = 1.3
        (0.5, 2.0, -1.0, True),  # good and less likely: free to come back
        (0.5, -2.0, 1.8, False),  # bad and already rarer: held at 1 - clip_low = 0.9
        (1.5, -2.0, 3.0, True),  # bad and likelier: free to come back
        (0.95, -2.0, 1.9, True),
        # either side of the boundaries, and beyond them where the other sign is held
        (1.3 - 1e-9, 2.0, -2.6, True),
        (1.3 + 1e-9, 2.0, -2.6, False),
        (0.9 + 1e-9, -2.0, 1.8, True),
        (0.9 - 1e-9, -2.0, 1.8, False),
        (1.3 + 1e-9, -2.0, 2.6, True),
        (0.9 - 1e-9, 2.0, -1.8, True),
    ],
)
def test_policy_loss_of_one_token(
    ratio: float, advantage: float, expected: float, passes_gradient: bool
) -> None:
    log_probs = double([math.log(ratio) - 1]).requires_grad_()
    loss, clipped = policy_loss(
        log_probs, double([-1.0]), double([advantage]), double([1.0]), clip_low=0.1, clip_high=0.3
    )
    loss.backward()
    assert loss.item() == pytest.approx(expected)
    assert clipped.item() == (not passes_gradient)
    assert log_probs.grad is not None
    # d(-rho A)/dl = -rho A where the clip is not in the way.
    assert log_probs.grad.item() == pytest.approx(-ratio * advantage if passes_gradient else 0.0)


def test_policy_loss_sums_weighted_tokens() -> None:
    ratios, advantages = double([1.0, 1.5], [0.5, 1.0]), double([1.0, 1.0], [-1.0, 4.0])
    weights = double([0.5, 0.25], [0.25, 0.0])
    loss, clipped = policy_loss(
        ratios.log(), torch.zeros_like(ratios), advantages, weights, 0.2, 0.2
    )
    # 0.5 * 1 + 0.25 * 1.2 + 0.25 * (-0.8) + 0 * 4; the second and third tokens are clipped
    assert loss.item() == pytest.approx(-(0.5 + 0.3 - 0.2))
    assert clipped.item() == pytest.approx(0.5)


@given(
    seed=st.integers(0, 2**31),
    clip_low=st.floats(0, 0.5),
    clip_high=st.floats(0, 0.5),
    dual_clip=st.none() | st.floats(1.01, 4),
    sequence=st.booleans(),
)
def test_policy_loss_is_the_formula(
    seed: int, clip_low: float, clip_high: float, dual_clip: float | None, sequence: bool
) -> None:
    rng = np.random.default_rng(seed)
    new, old, advantages = rng.normal(size=(3, 4, 5))
    correction = rng.uniform(0, 2, size=(4, 5))
    mask = (np.arange(5) < rng.integers(0, 6, size=(4, 1))).astype(float)
    expected, count = 0.0, max(1, mask.sum())
    for b in range(4):
        length = int(mask[b].sum())
        for t in range(length):
            rho = math.exp(new[b, t] - old[b, t])
            if sequence:
                rho = math.prod(math.exp(new[b, s] - old[b, s]) for s in range(length))
                rho **= 1 / length
            held = min(max(rho, 1 - clip_low), 1 + clip_high)
            cost = max(-rho * advantages[b, t], -held * advantages[b, t])
            if dual_clip is not None and advantages[b, t] < 0:
                cost = min(cost, -dual_clip * advantages[b, t])
            expected += correction[b, t] * cost / count
    tensors = [torch.tensor(x) for x in (new, old, advantages, mask / count)]
    loss, _ = policy_loss(
        *(tensors[0], tensors[1], tensors[2], tensors[3], clip_low, clip_high),
        dual_clip=dual_clip,
        ratio="sequence" if sequence else "token",
        correction_BA=torch.tensor(correction),
    )
    assert loss.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("dual_clip", [None, 1.5])
def test_gradients_agree_with_finite_differences(ratio: Ratio, dual_clip: float | None) -> None:
    torch.manual_seed(0)
    old, advantages, correction = randn(3, 3, 6).unbind()
    weights = torch.rand(3, 6, dtype=torch.float64)
    weights[0, 4:], weights[1, 1:] = 0, 0
    new = (old + 0.5 * randn(3, 6)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: policy_loss(
            *(x, old, advantages, weights, 0.2, 0.3),
            dual_clip=dual_clip,
            ratio=ratio,
            correction_BA=correction.exp(),
        )[0],
        new,
    )


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@given(seed=st.integers(0, 2**31))
def test_at_ratio_one_the_gradient_is_that_of_reinforce(ratio: Ratio, seed: int) -> None:
    torch.manual_seed(seed)
    logits = randn(2, 4, 7).requires_grad_()  # two answers of four tokens over seven words
    tokens = torch.randint(7, (2, 4, 1))
    log_probs = logits.log_softmax(-1).gather(-1, tokens).squeeze(-1)
    mask, advantages = double([1, 1, 1, 1], [1, 1, 0, 0]), randn(2, 1)
    weights = token_weights(mask, "response")
    loss, clipped = policy_loss(
        log_probs, log_probs.detach(), advantages, weights, 0.2, 0.2, ratio=ratio
    )
    reinforce = -(weights * advantages * log_probs).sum()
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits, retain_graph=True),
        torch.autograd.grad(reinforce, logits),
        rtol=0,
        atol=1e-12,
    )
    assert clipped.item() == 0


def test_one_advantage_per_answer_is_that_advantage_on_all_its_tokens() -> None:
    torch.manual_seed(0)
    new, old, weights = randn(3, 2, 4).unbind()
    advantages = randn(2, 1)
    narrow = policy_loss(new, old, advantages, weights.abs(), 0.2, 0.2)
    wide = policy_loss(new, old, advantages.expand(2, 4), weights.abs(), 0.2, 0.2)
    assert narrow == wide


def test_a_correction_scales_each_token_and_is_a_constant() -> None:
    new = double([math.log(1.1), math.log(1.5), 0.0]).requires_grad_()
    correction = double([0.5, 2.0, math.inf]).requires_grad_()
    weights = double([0.5, 0.5, 0.0])
    old, advantage = torch.zeros(1, 3, dtype=torch.float64), double([1.0])
    loss, clipped = policy_loss(new, old, advantage, weights, 0.2, 0.2, correction_BA=correction)
    assert loss.item() == pytest.approx(-0.5 * (0.5 * 1.1 + 2.0 * 1.2))
    assert clipped.item() == 0.5  # of the weight, whatever the correction
    up, none = torch.autograd.grad(loss, (new, correction), allow_unused=True)
    assert up[0].tolist() == pytest.approx([-0.5 * 0.5 * 1.1, 0.0, 0.0])
    assert none is None


# --- dual clip -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "passes_gradient"),
    [
        (2.9, -2.0, 5.8, True),
        (3.1, -2.0, 6.0, False),  # c |A| = 3 * 2
        (1e6, -2.0, 6.0, False),
        (0.5, -2.0, 1.6, False),  # the first clip still holds what became rarer
        (1e6, 2.0, -2.4, False),  # good tokens know only the first clip
        (0.5, 2.0, -1.0, True),
    ],
)
def test_dual_clip_of_one_token(
    ratio: float, advantage: float, expected: float, passes_gradient: bool
) -> None:
    log_probs = double([math.log(ratio) - 1]).requires_grad_()
    loss, clipped = policy_loss(
        log_probs, double([-1.0]), double([advantage]), double([1.0]), 0.2, 0.2, dual_clip=3.0
    )
    loss.backward()
    assert loss.item() == pytest.approx(expected)
    assert clipped.item() == (not passes_gradient)
    assert log_probs.grad is not None
    assert log_probs.grad.item() == pytest.approx(-ratio * advantage if passes_gradient else 0.0)


@pytest.mark.parametrize("dual_clip", [1.0, 0.0, -3.0, math.nan])
def test_a_dual_clip_that_would_bite_at_ratio_one_is_refused(dual_clip: float) -> None:
    one = double([1.0])
    with pytest.raises(ValueError, match="dual_clip"):
        policy_loss(one, one, one, one, 0.2, 0.2, dual_clip=dual_clip)


# --- one ratio per answer ------------------------------------------------------------------------


@given(st.integers(0, 2**31))
def test_on_answers_of_one_token_both_ratios_are_the_same(seed: int) -> None:
    torch.manual_seed(seed)
    new, old, advantages = randn(3, 5, 1).unbind()
    weights = token_weights(torch.ones(5, 1), "response")
    arguments = (new, old, advantages, weights, 0.2, 0.3)
    for token, sequence in zip(
        policy_loss(*arguments), policy_loss(*arguments, ratio="sequence"), strict=True
    ):
        assert torch.equal(token, sequence)


def test_the_sequence_ratio_by_hand() -> None:
    """Ratios 2 and 1/2 cancel in the geometric mean; token by token both are clipped."""
    new = double([math.log(2.0), math.log(0.5), 0.0]).requires_grad_()
    old, weights = torch.zeros(1, 3, dtype=torch.float64), double([0.5, 0.5, 0.0])
    loss, clipped = policy_loss(new, old, double([1.0]), weights, 0.2, 0.2, ratio="sequence")
    loss.backward()
    assert loss.item() == pytest.approx(-1.0)
    assert clipped.item() == 0
    # s = exp((l1 + l2) / 2) = 1, so each token gets half of the answer's gradient
    assert new.grad is not None
    assert new.grad[0].tolist() == pytest.approx([-0.5, -0.5, 0.0])

    held, clipped = policy_loss(new + 0.5, old, double([1.0]), weights, 0.2, 0.2, ratio="sequence")
    assert held.item() == pytest.approx(-1.2)
    assert clipped.item() == 1  # the whole answer or nothing of it


# --- what the aggregations do --------------------------------------------------------------------


def gradient_per_token(aggregation: Aggregation) -> torch.Tensor:
    """Of four equally wrong answers of 1, 2, 4 and 8 tokens, on their first tokens."""
    mask = (torch.arange(8) < torch.tensor([[1], [2], [4], [8]])).double()
    log_probs = torch.full((4, 8), -1.0, dtype=torch.float64, requires_grad=True)
    weights = token_weights(mask, aggregation, 8)
    policy_loss(log_probs, log_probs.detach(), double([-1.0]), weights, 0.2, 0.2)[0].backward()
    assert log_probs.grad is not None
    assert not log_probs.grad[mask == 0].any()
    return log_probs.grad[:, 0]


def test_a_mean_inside_each_response_makes_long_wrong_answers_cheap() -> None:
    by_response = gradient_per_token("response")
    torch.testing.assert_close(by_response, double([1 / 4, 1 / 8, 1 / 16, 1 / 32])[0])
    for aggregation, each in (("constant", 1 / 4 / 8), ("token", 1 / 15)):
        torch.testing.assert_close(
            gradient_per_token(aggregation), torch.full((4,), each, dtype=torch.float64)
        )


@pytest.mark.parametrize(
    ("stage", "short", "long"),
    [(GRPOStage, 1 / 10, 1 / 100), (DrGRPOStage, 1 / 200, 1 / 200)],
)
def test_a_token_of_a_long_wrong_answer_pulls_less_under_grpo_only(
    stage: type[GroupStage], short: float, long: float
) -> None:
    """Two wrong answers of 10 and 100 tokens, of at most 200, with the same advantage -1."""
    aggregation = stage.model_fields["aggregation"].default
    mask = (torch.arange(100) < torch.tensor([[10], [100]])).double()
    log_probs = torch.full((2, 100), -1.0, dtype=torch.float64, requires_grad=True)
    weights = token_weights(mask, aggregation, 200)
    policy_loss(log_probs, log_probs.detach(), -mask, weights, 0.2, 0.2)[0].backward()
    assert log_probs.grad is not None
    pull = 2 * log_probs.grad  # the loss is a mean over the two
    torch.testing.assert_close(pull, mask * double([short], [long]))


@pytest.mark.parametrize("reward", [-1.0, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_group_of_equal_rewards_gives_no_gradient(reward: float, ratio: Ratio) -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 5, 7, requires_grad=True)
    log_probs = logits.log_softmax(-1)[..., 0]
    rewards, group = torch.full((6,), reward), torch.tensor([0, 0, 0, 1, 1, 1])
    for advantages in (
        group_advantages(rewards, group, "std"),
        group_advantages(rewards, group, "none"),
        leave_one_out_advantages(rewards, group),
    ):
        weights = token_weights(torch.ones(6, 5), "token")
        old = (log_probs + 0.3 * torch.randn(6, 5)).detach()
        loss, _ = policy_loss(log_probs, old, advantages[:, None], weights, 0.2, 0.2, ratio=ratio)
        (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert not gradient.any()
        assert loss.item() == 0


# --- truncated importance sampling ---------------------------------------------------------------


def test_truncated_importance_by_hand() -> None:
    learner = double([0.0, math.log(0.5), math.log(0.9)], [math.log(0.2), 0.0, 0.0])
    sampler = double([math.log(0.1), math.log(0.8), math.nan], [math.log(0.4), math.nan, 0.0])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    token = truncated_importance(learner, sampler, mask, 2.0, "token")
    torch.testing.assert_close(token, double([2.0, 0.625, 0.0], [0.5, 0.0, 0.0]))
    sequence = truncated_importance(learner, sampler, mask, 7.0, "sequence")
    torch.testing.assert_close(sequence, double([6.25, 6.25, 0.0], [0.5, 0.0, 0.0]))
    capped = truncated_importance(learner, sampler, mask, 2.0, "sequence")
    torch.testing.assert_close(capped, double([2.0, 2.0, 0.0], [0.5, 0.0, 0.0]))


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_importance_never_exceeds_its_cap_and_carries_no_gradient(level: Level) -> None:
    learner = torch.full((1, 3), 900.0, requires_grad=True)  # exp(900) is infinite
    factors = truncated_importance(learner, torch.zeros(1, 3), torch.ones(1, 3), 1.7, level)
    assert torch.equal(factors, torch.full((1, 3), 1.7))
    assert not factors.requires_grad


@pytest.mark.parametrize("missing", [math.nan, -math.inf])
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_sampler_that_left_tokens_without_a_number_is_refused(
    missing: float, level: Level
) -> None:
    sampler = double([missing, 0.0, missing], [missing, missing, 0.0])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match=r"on 3 of 4 policy tokens"):
        truncated_importance(torch.zeros(2, 3), sampler, mask, 2.0, level)


@pytest.mark.parametrize("cap", [0.0, -1.0, math.nan])
def test_a_cap_that_keeps_nothing_is_refused(cap: float) -> None:
    with pytest.raises(ValueError, match="cap"):
        truncated_importance(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), cap, "token")


def test_without_a_cap_the_correction_undoes_another_sampler() -> None:
    """The gradient over all answers of two tokens, weighed as the sampler draws them."""
    torch.manual_seed(3)
    logits, foreign = randn(3).requires_grad_(), randn(3)
    payoff = randn(3, 3)
    joint = logits.softmax(0)[:, None] * logits.softmax(0)
    (true,) = torch.autograd.grad((joint * payoff).sum(), logits, retain_graph=True)
    answers = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    log_probs, sampled = logits.log_softmax(0)[answers], foreign.log_softmax(0)[answers]
    weights = sampled.sum(1, keepdim=True).exp().expand(9, 2)
    for cap, unbiased in ((math.inf, True), (1.0, False)):
        factors = truncated_importance(log_probs, sampled, torch.ones(9, 2), cap, "sequence")
        loss, _ = policy_loss(
            *(log_probs, log_probs.detach(), payoff.reshape(9, 1), weights, 0.2, 0.2),
            correction_BA=factors,
        )
        (gradient,) = torch.autograd.grad(-loss, logits, retain_graph=True)
        assert torch.allclose(gradient, true, rtol=0, atol=1e-12) == unbiased
