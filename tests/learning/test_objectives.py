"""Token weights, value and supervised losses by hand; what holds for every token loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medrl.learning.objectives.importance import truncated_importance
from medrl.learning.objectives.kl import kl_loss
from medrl.learning.objectives.ppo import policy_loss, value_loss
from medrl.learning.objectives.sft import sft_loss
from medrl.learning.objectives.weights import Aggregation, token_weights


def double(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# --- value loss ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "old", "target", "expected"),
    [
        (1.0, 1.0, 3.0, 2.0),  # (1 - 3)^2 / 2
        (1.4, 1.0, 3.0, 1.28),  # inside the clip: (1.4 - 3)^2 / 2
        (2.0, 1.0, 3.0, 1.125),  # moved towards the return beyond the clip: (1.5 - 3)^2 / 2
        (0.0, 1.0, 3.0, 4.5),  # moved away: the plain error is worse than (0.5 - 3)^2 / 2
        (4.0, 1.0, 0.0, 8.0),
    ],
)
def test_value_loss_of_one_token(value: float, old: float, target: float, expected: float) -> None:
    loss = value_loss(double([value]), double([old]), double([target]), double([1.0]), 0.5)
    assert loss.item() == pytest.approx(expected)


def test_value_loss_weighs_tokens() -> None:
    loss = value_loss(
        double([1.0, 2.0, 9.0]),
        double([1.0, 2.0, 9.0]),
        double([0.0, 0.0, 0.0]),
        double([0.75, 0.25, 0.0]),
        0.5,
    )
    assert loss.item() == pytest.approx(0.5 * (0.75 * 1 + 0.25 * 4))


# --- supervised loss -----------------------------------------------------------------------------


def test_sft_loss_is_the_weighted_negative_log_likelihood() -> None:
    log_probs = double([math.log(0.5), math.log(0.25), math.log(0.1)])
    loss = sft_loss(log_probs, double([0.5, 0.5, 0.0]))
    assert loss.item() == pytest.approx(-0.5 * math.log(0.5) - 0.5 * math.log(0.25))


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    old, target, weights = torch.randn(3, 2, 6, dtype=torch.float64).unbind()
    values = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: value_loss(x, old, target, weights.abs(), 0.5), values
    )
    assert torch.autograd.gradcheck(lambda x: sft_loss(x, weights.abs()), values)


# --- token weights -------------------------------------------------------------------------------


def lengths_mask(*lengths: int, width: int) -> torch.Tensor:
    return (torch.arange(width) < torch.tensor(lengths)[:, None]).double()


def test_a_long_response_weighs_per_token_what_its_aggregation_says() -> None:
    mask = lengths_mask(10, 100, width=120)
    response, token = token_weights(mask, "response"), token_weights(mask, "token")
    assert response[0, 5].item() == pytest.approx(1 / 10 / 2)
    assert response[1, 20].item() == pytest.approx(1 / 100 / 2)
    assert token[0, 5].item() == token[1, 20].item() == pytest.approx(1 / 110)
    constant = token_weights(mask, "constant", 200)
    assert constant[0, 5].item() == constant[1, 20].item() == pytest.approx(1 / 200 / 2)
    for weights in (response, token):
        assert weights.sum().item() == pytest.approx(1)
    assert constant.sum().item() == pytest.approx((10 + 100) / 2 / 200)
    for weights in (response, token, constant):
        assert not weights[mask == 0].any()


@pytest.mark.parametrize("aggregation", ["response", "token", "constant"])
def test_a_response_without_policy_tokens_does_not_count(aggregation: Aggregation) -> None:
    mask = torch.tensor([[0, 0, 0], [1, 1, 0]])
    expected = torch.tensor([[0, 0, 0], [0.5, 0.5, 0]])
    assert torch.equal(token_weights(mask, aggregation, 2), expected)
    assert not token_weights(torch.zeros(2, 3), aggregation, 2).any()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 12))
def test_constant_weights_know_nothing_of_lengths(lengths: list[int], other: int) -> None:
    weights = token_weights(lengths_mask(*lengths, width=12), "constant", 12)
    changed = token_weights(lengths_mask(*lengths[:-1], other, width=12), "constant", 12)
    each = 1 / (len(lengths) * 12)
    torch.testing.assert_close(weights[weights > 0], torch.full_like(weights[weights > 0], each))
    assert torch.equal(weights[:-1], changed[:-1])


@pytest.mark.parametrize("max_length", [None, 0, -3])
def test_constant_weights_need_a_length(max_length: int | None) -> None:
    with pytest.raises(ValueError, match="max_length"):
        token_weights(torch.ones(2, 3), "constant", max_length)


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        (torch.bool, torch.float32),
        (torch.int64, torch.float32),
        (torch.bfloat16, torch.float32),  # counts past 256 would be rounded
        (torch.float64, torch.float64),
    ],
)
def test_weights_are_precise_enough_whatever_the_mask(
    given_as: torch.dtype, expected: torch.dtype
) -> None:
    weights = token_weights(torch.ones(1, 1001).to(given_as), "token")
    assert weights.dtype == expected
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)


# --- what holds for every token loss -------------------------------------------------------------


@dataclass(frozen=True)
class Update:
    """All answers of an update, [B, A] in double precision, padded at the right."""

    new: torch.Tensor
    old: torch.Tensor
    other: torch.Tensor
    advantages: torch.Tensor
    weights: torch.Tensor

    def cut(self, rows: list[int], width: int) -> Update:
        return Update(
            *(
                table[rows, :width]
                for table in (self.new, self.old, self.other, self.advantages, self.weights)
            )
        )


TokenLoss = Callable[[Update], torch.Tensor]

LOSSES: dict[str, TokenLoss] = {
    "policy": lambda u: policy_loss(u.new, u.old, u.advantages, u.weights, 0.2, 0.3)[0],
    "clipped share": lambda u: policy_loss(u.new, u.old, u.advantages, u.weights, 0.2, 0.3)[1],
    "dual clip": lambda u: policy_loss(
        u.new, u.old, u.advantages, u.weights, 0.2, 0.3, dual_clip=1.5
    )[0],
    "sequence": lambda u: policy_loss(
        u.new, u.old, u.advantages, u.weights, 0.2, 0.3, ratio="sequence"
    )[0],
    "corrected": lambda u: policy_loss(
        *(u.new, u.old, u.advantages, u.weights, 0.2, 0.3),
        correction_BA=truncated_importance(u.old, u.other, u.weights != 0, 1.2, "sequence"),
    )[0],
    "value": lambda u: value_loss(u.new, u.old, u.other, u.weights, 0.5),
    "k1": lambda u: kl_loss(u.new, u.other, u.weights, "k1"),
    "k2": lambda u: kl_loss(u.new, u.other, u.weights, "k2"),
    "k3": lambda u: kl_loss(u.new, u.other, u.weights, "k3"),
    "sft": lambda u: sft_loss(u.new, u.weights),
}


@st.composite
def updates(draw: st.DrawFn) -> tuple[Update, list[int]]:
    """An update and its lengths; padding holds numbers as ordinary as the rest."""
    lengths = draw(st.lists(st.integers(0, 6), min_size=2, max_size=5))
    width = max(*lengths, 1)
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    new, old, other, advantages = torch.tensor(
        0.5 * rng.normal(size=(4, len(lengths), width))
    ).unbind()
    aggregation = draw(st.sampled_from(["response", "token", "constant"]))
    weights = token_weights(lengths_mask(*lengths, width=width), aggregation, 7)
    return Update(new, old, other, advantages, weights), lengths


def with_gradient(loss: TokenLoss, update: Update) -> tuple[torch.Tensor, torch.Tensor]:
    new = update.new.clone().requires_grad_()
    value = loss(replace(update, new=new))
    if not value.requires_grad:
        return value, torch.zeros_like(new)
    return value.detach(), torch.autograd.grad(value, new)[0]


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(data=st.data(), drawn=updates())
def test_micro_batches_add_up_to_the_update(
    name: str, data: st.DataObject, drawn: tuple[Update, list[int]]
) -> None:
    update, lengths = drawn
    whole, whole_gradient = with_gradient(LOSSES[name], update)
    rows = data.draw(st.permutations(range(len(lengths))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1))))
    total, gradient = torch.zeros_like(whole), torch.zeros_like(whole_gradient)
    for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        part = rows[start:end]
        width = max(lengths[row] for row in part)  # columns of nothing but padding are left out
        value, part_gradient = with_gradient(LOSSES[name], update.cut(part, width))
        total += value
        gradient[part, :width] += part_gradient
    torch.testing.assert_close(total, whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, whole_gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=25)
@given(
    drawn=updates(),
    seed=st.integers(0, 2**31),
    size=st.sampled_from([1.0, 800.0, 1e300, math.inf]),
)
def test_padding_never_matters(
    name: str, drawn: tuple[Update, list[int]], seed: int, size: float
) -> None:
    assume(math.isfinite(size) or name != "sft")  # a plain product of finite log-probabilities
    update, _ = drawn
    rng = np.random.default_rng(seed)
    garbage = [torch.tensor(rng.choice([-size, size], update.new.shape)) for _ in range(4)]
    tables = (update.new, update.old, update.other, update.advantages)
    soiled = Update(
        *(
            torch.where(update.weights != 0, table, junk)
            for table, junk in zip(tables, garbage, strict=True)
        ),
        update.weights,
    )
    for ours, expected in zip(
        with_gradient(LOSSES[name], soiled), with_gradient(LOSSES[name], update), strict=True
    ):
        assert torch.equal(ours, expected)
    assert not with_gradient(LOSSES[name], soiled)[1][update.weights == 0].any()
