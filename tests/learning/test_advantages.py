"""Token rewards, GAE, whitening and group advantages against independent sums."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from medrl.learning.advantages import (
    Scale,
    gae,
    group_advantages,
    leave_one_out_advantages,
    live_groups,
    token_rewards,
    whiten,
)

Drawn = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@st.composite
def token_tables(draw: st.DrawFn) -> Drawn:
    """Rewards, values and a mask of answers padded at the right, [B, A] in double precision."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 9)))
    lengths = rng.integers(0, shape[1] + 1, size=(shape[0], 1))
    mask = (np.arange(shape[1]) < lengths).astype(np.int64)
    rewards, values = rng.normal(size=(2, *shape))
    return torch.tensor(rewards * mask), torch.tensor(values), torch.tensor(mask)


def with_garbage(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The same numbers where the mask is 1, and what no sum could survive where it is 0."""
    return torch.where(mask.bool(), values, math.inf)


# --- token rewards -------------------------------------------------------------------------------


def test_the_reward_stands_on_the_last_policy_token_alone() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    same = torch.zeros(4, 4)
    rewards = token_rewards(torch.tensor([2.0, -1.0, 5.0, 3.0]), same, same, mask, 0.1)
    expected = torch.zeros(4, 4)
    expected[0, 2], expected[1, 0], expected[3, 3] = 2.0, -1.0, 3.0
    assert torch.equal(rewards, expected)


def test_drifting_from_the_reference_costs() -> None:
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    policy, reference = torch.tensor([[-1.0, -3.0, -1.0]]), torch.tensor([[-1.5, -2.0, -9.0]])
    rewards = token_rewards(torch.tensor([1.0]), policy, reference, mask, 0.1)
    # likelier than under the reference: -0.1 * 0.5; less likely: + 0.1 * 1, and the reward
    torch.testing.assert_close(rewards, torch.tensor([[-0.05, 1.1, 0.0]]))


def test_token_rewards_leave_their_arguments_alone() -> None:
    log_probs, mask = torch.full((1, 3), -1.0), torch.ones(1, 3)
    before = log_probs.clone()
    token_rewards(torch.tensor([1.0]), log_probs, log_probs, mask, 0.5)
    assert torch.equal(log_probs, before) and torch.equal(mask, torch.ones(1, 3))


@given(token_tables())
def test_padding_has_no_say(table: Drawn) -> None:
    rewards, values, mask = table
    reward, filled = rewards.sum(1), with_garbage(values, mask)
    plain, soiled = values * mask, with_garbage(rewards, mask)
    # the sign keeps the two apart: infinity less infinity is not a number
    assert torch.equal(
        token_rewards(reward, filled, -filled, mask, 0.1),
        token_rewards(reward, plain, -plain, mask, 0.1),
    )
    assert torch.equal(whiten(filled, mask), whiten(plain, mask))
    for ours, expected in zip(
        gae(soiled, filled, mask, 0.9, 0.8), gae(rewards, plain, mask, 0.9, 0.8), strict=True
    ):
        assert torch.equal(ours, expected)
        assert not ours[mask == 0].any()


# --- generalised advantage estimation ------------------------------------------------------------


@settings(max_examples=40)
@given(token_tables(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_discounted_sum_of_errors_over_policy_tokens(
    table: Drawn, gamma: float, lam: float
) -> None:
    rewards, values, mask = table
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    expected = torch.zeros_like(rewards)
    for b in range(len(mask)):
        places = mask[b].nonzero().flatten().tolist()
        following = [*(values[b, p].item() for p in places[1:]), 0.0][: len(places)]
        deltas = [
            rewards[b, p].item() + gamma * after - values[b, p].item()
            for p, after in zip(places, following, strict=True)
        ]
        for k, place in enumerate(places):
            expected[b, place] = sum(
                (gamma * lam) ** (j - k) * deltas[j] for j in range(k, len(deltas))
            )
    torch.testing.assert_close(advantages, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(returns, (expected + values) * mask, rtol=0, atol=1e-9)


@settings(max_examples=40)
@given(token_tables())
def test_gae_at_the_extremes(table: Drawn) -> None:
    rewards, values, mask = table
    myopic, _ = gae(rewards, values, mask, gamma=0.0, lam=1.0)
    torch.testing.assert_close(myopic, (rewards - values) * mask)
    monte_carlo, returns = gae(rewards, values, mask, gamma=1.0, lam=1.0)
    to_come = rewards.flip(1).cumsum(1).flip(1)  # what is still to be had
    torch.testing.assert_close(returns, to_come * mask)
    torch.testing.assert_close(monte_carlo, (to_come - values) * mask)


def test_gae_of_three_tokens_by_hand() -> None:
    rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 0.4, 0.2]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3), gamma=0.9, lam=0.5)
    third = 1 - 0.2
    second = 0.9 * 0.2 - 0.4 + 0.45 * third
    first = 0.9 * 0.4 - 0.5 + 0.45 * second
    torch.testing.assert_close(advantages, torch.tensor([[first, second, third]]))
    torch.testing.assert_close(returns, advantages + values)


@given(token_tables(), st.integers(1, 3))
def test_gae_does_not_depend_on_where_an_answer_begins(table: Drawn, shift: int) -> None:
    padded = [torch.nn.functional.pad(part, (shift, 0)) for part in table]
    advantages, returns = gae(padded[0], padded[1], padded[2], 0.9, 0.7)
    expected = gae(table[0], table[1], table[2], 0.9, 0.7)
    assert torch.equal(advantages[:, shift:], expected[0])
    assert torch.equal(returns[:, shift:], expected[1])
    assert not advantages[:, :shift].any() and not returns[:, :shift].any()


def test_gae_leaves_its_arguments_alone_and_carries_no_gradient() -> None:
    for shape in ((1, 3), (3, 1)):  # transposing these copies nothing
        rewards, values = torch.ones(shape), torch.full(shape, 0.5, requires_grad=True)
        advantages, returns = gae(rewards, values, torch.ones(shape), 0.9, 0.8)
        assert torch.equal(rewards, torch.ones(shape))
        assert torch.equal(values.detach(), torch.full(shape, 0.5))
        assert not advantages.requires_grad and not returns.requires_grad


# --- whitening -----------------------------------------------------------------------------------


def test_whiten_by_hand() -> None:
    values, mask = (
        torch.tensor([[1.0, 2.0, 100.0], [3.0, 7.0, 7.0]]),
        torch.tensor([[1, 1, 0], [1, 0, 0]]),
    )
    torch.testing.assert_close(
        whiten(values, mask), torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    )


@given(st.integers(0, 2**31), st.integers(2, 30))
def test_whitened_numbers_have_mean_zero_and_unbiased_variance_one(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    values = torch.tensor(rng.normal(5, 3, size=(2, count)))
    mask = torch.zeros(2, count)
    mask[0], mask[1, ::2] = 1, 1
    kept = whiten(values, mask)[mask.bool()]
    variance = values[mask.bool()].var().item()
    assert kept.mean().item() == pytest.approx(0, abs=1e-9)
    # 1 but for the 1e-8 that guards the division; few draws may lie close together
    assert kept.var().item() == pytest.approx(variance / (variance + 1e-8), rel=1e-9)


def test_whitening_one_token_or_none_gives_zero() -> None:
    assert not whiten(torch.tensor([[3.0, 4.0]]), torch.tensor([[1, 0]])).any()
    assert not whiten(torch.tensor([[3.0, 4.0]]), torch.tensor([[0, 0]])).any()
    assert not whiten(torch.full((1, 4), 0.7), torch.ones(1, 4)).abs().gt(1e-2).any()


# --- groups --------------------------------------------------------------------------------------


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Rewards and group numbers; sizes differ, numbers have gaps, rows are shuffled."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    numbers = draw(
        st.lists(st.integers(-9, 99), min_size=len(sizes), max_size=len(sizes), unique=True)
    )
    rewards = st.sampled_from([-1.0, 0.0, 0.1, 0.3, 1.0]) | st.floats(-2, 2)
    rows = [
        (draw(rewards), number)
        for number, size in zip(numbers, sizes, strict=True)
        for _ in range(size)
    ]
    rows = draw(st.permutations(rows))
    return [reward for reward, _ in rows], [number for _, number in rows]


def as_tensors(table: tuple[list[float], list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(table[0], dtype=torch.float64), torch.tensor(table[1])


def test_group_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 7.0, 1.0, 2.0])
    group = torch.tensor([3, 3, 3, 8, 5, 5])
    third = 1 / 3
    mean_free = torch.tensor([1 - third, -third, -third, 7.0, -0.5, 0.5])
    # unbiased: sqrt((4/9 + 1/9 + 1/9) / 2) and sqrt((1/4 + 1/4) / 1); alone: 1
    std = torch.tensor([third**0.5, third**0.5, third**0.5, 1.0, 0.5**0.5, 0.5**0.5])
    torch.testing.assert_close(group_advantages(rewards, group, "none"), mean_free)
    torch.testing.assert_close(group_advantages(rewards, group, "std"), mean_free / (std + 1e-6))


@given(groups())
def test_group_advantages_are_the_formulas(table: tuple[list[float], list[int]]) -> None:
    rewards, group = as_tensors(table)
    expected: dict[str, list[float]] = {"none": [], "std": [], "others": []}
    for i, (reward, number) in enumerate(zip(*table, strict=True)):
        mates = [r for r, n in zip(*table, strict=True) if n == number]
        others = [r for j, (r, n) in enumerate(zip(*table, strict=True)) if n == number and j != i]
        alone = len(mates) == 1
        mean = 0.0 if alone else statistics.fmean(mates)
        std = 1.0 if alone else math.sqrt(sum((r - mean) ** 2 for r in mates) / len(others))
        expected["none"].append(reward - mean)
        expected["std"].append((reward - mean) / (std + 1e-6))
        expected["others"].append(reward - (statistics.fmean(others) if others else 0.0))
    for name, ours in {
        "none": group_advantages(rewards, group, "none"),
        "std": group_advantages(rewards, group, "std"),
        "others": leave_one_out_advantages(rewards, group),
    }.items():
        # nearly equal rewards are divided by 1e-6, and their rounding errors with them
        torch.testing.assert_close(
            ours, torch.tensor(expected[name], dtype=torch.float64), rtol=1e-6, atol=1e-8
        )


@given(groups())
def test_leave_one_out_is_g_over_g_minus_one_times_mean_centred(
    table: tuple[list[float], list[int]],
) -> None:
    rewards, group = as_tensors(table)
    size = torch.tensor([table[1].count(number) for number in table[1]])
    factor = torch.where(size > 1, size / (size - 1).clamp(min=1), 1.0)
    torch.testing.assert_close(
        leave_one_out_advantages(rewards, group), factor * group_advantages(rewards, group, "none")
    )


@given(st.floats(-3, 3, width=32), st.integers(2, 9), st.floats(-3, 3, width=32))
@example(0.1, 3, 0.7)  # three times 0.1, divided by 3, is not 0.1 in single precision
def test_equal_rewards_give_exactly_zero(reward: float, size: int, other: float) -> None:
    rewards = torch.tensor([reward] * size + [other, other + 1])
    group = torch.tensor([1] * size + [0, 0])
    for advantages in (
        group_advantages(rewards, group, "std"),
        group_advantages(rewards, group, "none"),
        leave_one_out_advantages(rewards, group),
    ):
        assert not advantages[:size].any()
        assert advantages[size:].all()
    assert live_groups(rewards, group).tolist() == [False] * size + [True, True]


def test_a_group_is_live_if_one_reward_differs_and_never_alone() -> None:
    rewards = torch.tensor([1.0, 0.5, 1.0, 0.5, 2.0, 1.0])
    assert live_groups(rewards, torch.tensor([4, 2, 4, 2, 9, 4])).tolist() == [False] * 6
    assert (
        live_groups(rewards, torch.tensor([4, 2, 2, 4, 9, 7])).tolist() == [True] * 4 + [False] * 2
    )


@pytest.mark.parametrize("scale", ["std", "none"])
def test_no_episodes_no_advantages(scale: Scale) -> None:
    nothing, none = torch.zeros(0), torch.zeros(0, dtype=torch.long)
    assert group_advantages(nothing, none, scale).shape == (0,)
    assert leave_one_out_advantages(nothing, none).shape == (0,)
    assert live_groups(nothing, none).shape == (0,)


def test_leave_one_out_gives_the_true_policy_gradient() -> None:
    """Over all samples of two and three actions from four, weighed by their probability."""
    logits = torch.tensor([0.3, -0.8, 1.1, 0.0], dtype=torch.float64, requires_grad=True)
    payoff = torch.tensor([1.0, -1.0, 0.2, 0.7], dtype=torch.float64)
    (true,) = torch.autograd.grad((logits.softmax(0) * payoff).sum(), logits)
    for size in (2, 3):
        one_group = torch.zeros(size, dtype=torch.long)
        unbiased, shrunk = torch.zeros_like(true), torch.zeros_like(true)
        for actions in itertools.product(range(4), repeat=size):
            chosen = torch.tensor(actions)
            log_probs = logits.log_softmax(0)[chosen]
            weight, rewards = log_probs.sum().exp().detach() / size, payoff[chosen]
            for total, advantages in (
                (unbiased, leave_one_out_advantages(rewards, one_group)),
                (shrunk, group_advantages(rewards, one_group, "none")),
            ):
                gain = weight * (advantages * log_probs).sum()
                total += torch.autograd.grad(gain, logits, retain_graph=True)[0]
        torch.testing.assert_close(unbiased, true)
        # a mean that holds the answer itself shrinks the gradient, but does not turn it
        torch.testing.assert_close(shrunk, true * (size - 1) / size)
