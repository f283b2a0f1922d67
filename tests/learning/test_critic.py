"""The critic: values where the policy chose, and whose weights the value loss reaches."""

from __future__ import annotations

import pytest
import torch

from medrl.learning.critic import Critic, CriticKind, explained_variance
from medrl.learning.layout import answer_grid, lay_out
from medrl.learning.logprobs import hidden_states
from medrl.learning.policy import Policy, load_trained, trained
from tests.learning.conftest import LoadTiny
from tests.tiny import random_members


def values_of(policy: Policy, critic: Critic) -> tuple[torch.Tensor, torch.Tensor]:
    members = random_members(0, [(4, [6, 2]), (9, [3])])
    layout = lay_out(members, "shared", policy.pad_id, policy.device)
    values = layout.grid(critic(layout, hidden_states(policy.model, layout)))
    return values, answer_grid(members, policy.device)[0].bool()


@pytest.mark.parametrize("kind", ["shared", "copy"])
def test_values_start_at_zero_and_stand_only_where_the_policy_chose(
    kind: CriticKind, load_tiny: LoadTiny
) -> None:
    policy = load_tiny()
    critic = Critic(policy.model, kind)
    values, where = values_of(policy, critic)
    assert values.shape == where.shape and not values.any()
    torch.nn.init.normal_(critic.head.weight)
    values, where = values_of(policy, critic)
    assert values[where].all() and not values[~where].any()


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_value_gradient_reaches_the_policy_only_through_a_shared_trunk(
    architecture: str, load_tiny: LoadTiny
) -> None:
    policy = load_tiny(architecture)
    kinds: dict[CriticKind, bool] = {"shared": True, "copy": False}
    for kind, reaches in kinds.items():
        critic = Critic(policy.model, kind)
        torch.nn.init.normal_(critic.head.weight)
        policy.model.zero_grad(set_to_none=True)
        values_of(policy, critic)[0].sum().backward()
        assert any(p.grad is not None for p in policy.trainable()) is reaches
        assert any(p.grad is not None for n, p in critic.named_parameters() if "trunk" in n) is (
            not reaches
        )


def test_a_copy_keeps_the_policy_it_was_made_from(load_tiny: LoadTiny) -> None:
    policy = load_tiny()
    critic = Critic(policy.model, "copy")
    torch.nn.init.normal_(critic.head.weight)
    before, _ = values_of(policy, critic)
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.mul_(1.5)
    after, _ = values_of(policy, critic)
    assert torch.equal(before, after)


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_what_is_stored_of_a_critic_restores_it(lora_rank: int, load_tiny: LoadTiny) -> None:
    policy = load_tiny(lora_rank=lora_rank)
    critic, other = Critic(policy.model, "copy"), Critic(policy.model, "copy")
    with torch.no_grad():
        for parameter in critic.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    load_trained(other, trained(critic))
    mine, _ = values_of(policy, critic)
    theirs, _ = values_of(policy, other)
    assert mine.any() and torch.equal(mine, theirs)
    if lora_rank:  # the frozen base is not stored again and again
        assert not any("base_layer" in name for name in trained(critic))


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([[1.0, 3.0, 9.0], [5.0, 9.0, 9.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # 1, 3, 5: variance 8/3
    off_by_one = torch.tensor([[0.0, 4.0, 0.0], [5.0, 0.0, 0.0]])  # errors 1, -1, 0: variance 2/3
    assert explained_variance(off_by_one, returns, mask) == pytest.approx(3 / 4)
    assert explained_variance(returns, returns, mask) == 1
    assert explained_variance(returns * 0 + 7, returns, mask) == pytest.approx(0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(1 - 4)
    assert explained_variance(returns, torch.ones(2, 3), mask) == 0  # nothing to explain
