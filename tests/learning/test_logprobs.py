"""Log-probs of policy tokens: chunked or not the same, and no gradient from anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from medrl.learning import logprobs
from medrl.learning.critic import Critic
from medrl.learning.layout import Layout, Member, Mode, answer_grid, lay_out
from medrl.learning.logprobs import answer_log_probs, hidden_states, token_log_probs
from medrl.learning.objectives.ppo import policy_loss, value_loss
from medrl.learning.objectives.weights import token_weights
from medrl.learning.policy import Policy
from tests.learning.conftest import LoadTiny
from tests.tiny import ARCHITECTURES, random_members

GROUPS = [(5, [6, 9, 1]), (20, [14])]
MODES: tuple[Mode, ...] = ("plain", "packed", "shared")


def gradients(policy: Policy) -> Iterator[tuple[str, torch.Tensor]]:
    for name, parameter in policy.model.named_parameters():
        if parameter.grad is not None:
            yield name, parameter.grad.clone()
    policy.model.zero_grad(set_to_none=True)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_chunks_change_neither_values_nor_gradients(
    architecture: str, load_tiny: LoadTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_tiny(architecture)
    layout = lay_out(random_members(0, GROUPS), "shared", policy.pad_id, policy.device)
    vocabulary = policy.model.get_output_embeddings().weight.shape[0]

    def run() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        out = answer_log_probs(policy.model, layout, 0.9)
        out.pow(2).sum().backward()
        return out.detach(), dict(gradients(policy))

    whole, expected = run()
    assert expected
    for chunk in (0, 1, 7, 30):  # 30 policy tokens: many chunks, the last one short, and one
        monkeypatch.setattr(logprobs, "CHUNK_LOGITS", chunk * vocabulary)
        cut, found = run()
        torch.testing.assert_close(cut, whole, rtol=1e-6, atol=1e-6)
        assert found.keys() == expected.keys()
        for name, gradient in found.items():
            scale = float(expected[name].abs().max())
            torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5 * scale)


def test_logits_are_never_all_there_at_once(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest tensor the head makes does not grow with the number of policy tokens."""
    sizes: list[int] = []
    real = logprobs.head_logits

    def counting(*args: object) -> torch.Tensor:
        logits: torch.Tensor = real(*args)
        sizes.append(logits.numel())
        return logits

    monkeypatch.setattr(logprobs, "head_logits", counting)
    monkeypatch.setattr(logprobs, "CHUNK_LOGITS", 8 * 400)
    for length in (40, 400):
        layout = lay_out(random_members(0, [(5, [length])]), "packed", 0, "cpu")
        answer_log_probs(policy.model, layout, 1.0).sum().backward()
    policy.model.zero_grad(set_to_none=True)
    assert max(sizes) <= 8 * 400
    assert len(sizes) > 100  # each chunk forwards and backwards


# --- nothing trained that was not sampled --------------------------------------------------------


def loss_of(
    policy: Policy, critic: Critic, members: list[Member], layout: Layout, hidden: torch.Tensor
) -> torch.Tensor:
    mask, behaviour = answer_grid(members, policy.device)
    weights = token_weights(mask, "response")
    log_probs = layout.grid(token_log_probs(policy.model, hidden, layout.targets_N, 1.0))
    torch.manual_seed(0)
    advantages, returns = torch.randn(2, *weights.shape)
    loss, _ = policy_loss(log_probs, behaviour, advantages, weights, 0.9, 9.0)
    values = layout.grid(critic(layout, hidden))
    return loss + value_loss(values, torch.zeros_like(values), returns, weights, 0.5)


@pytest.mark.parametrize("mode", MODES)
def test_environment_and_template_tokens_have_exactly_zero_gradient(
    mode: Mode, load_tiny: LoadTiny
) -> None:
    """Hidden states that predict no policy token are not even read, so what they say of the next
    token cannot be trained; those that do are exactly the ones in front of policy tokens."""
    policy = load_tiny()
    critic = Critic(policy.model, "shared")
    torch.nn.init.normal_(critic.head.weight)
    members = random_members(0, GROUPS)
    layout = lay_out(members, mode, policy.pad_id, policy.device)
    kept: list[torch.Tensor] = []

    def keep(module: object, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    hook = policy.model.base_model.norm.register_forward_hook(keep)
    loss_of(policy, critic, members, layout, hidden_states(policy.model, layout)).backward()
    hook.remove()
    [hidden] = kept
    assert hidden.grad is not None
    gradient = hidden.grad.flatten(0, 1)
    predicts = torch.zeros(len(gradient), dtype=torch.bool)
    predicts[layout.predicting_N] = True
    assert (gradient[~predicts] == 0).all()
    assert (gradient[predicts] != 0).any(-1).float().mean() > 0.5  # but for clipped ones
    flat = layout.tokens_RS.flatten()
    for target, place in zip(layout.targets_N.tolist(), layout.predicting_N.tolist(), strict=True):
        assert 0 <= place < len(flat) and target in {m for x in members for m in x.token_ids}


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_token_is_context_and_never_a_target(mode: Mode, policy: Policy) -> None:
    members = random_members(0, GROUPS)
    layout = lay_out(members, mode, policy.pad_id, policy.device)
    targets = [m.token_ids[t] for m in members for t in m.written]
    assert layout.targets_N.tolist() == targets
    assert not {t for m in members for t in m.written if m.origins[t].name != "POLICY"}


@pytest.mark.parametrize("mode", MODES)
def test_what_follows_the_last_policy_token_changes_no_gradient(
    mode: Mode, load_tiny: LoadTiny
) -> None:
    policy = load_tiny()
    critic = Critic(policy.model, "shared")
    members = random_members(0, GROUPS)
    changed = [replace(m, token_ids=[*m.token_ids[:-1], 7]) for m in members]
    assert changed != members
    found = []
    for some in (members, changed):
        layout = lay_out(some, mode, policy.pad_id, policy.device)
        loss_of(policy, critic, some, layout, hidden_states(policy.model, layout)).backward()
        found.append(dict(gradients(policy)))
    assert found[0]
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name
