"""Plain, packed and shared: one loss, one gradient, on every architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from medrl.attention import GroupedRow, Rule
from medrl.errors import ModelError
from medrl.learning.critic import Critic
from medrl.learning.layout import Member, Mode, lay_out
from medrl.learning.logprobs import answer_log_probs, hidden_states, token_log_probs
from medrl.learning.paths import install_paths
from medrl.learning.policy import checkpoint_layers
from tests.tiny import ALL_ARCHITECTURES, random_members, tokenizer

# Unequal lengths, a group of one, one-token answers (which share the whole computation).
GROUPS = [(9, [5, 1, 12, 3]), (4, [7]), (13, [1, 2, 30, 8]), (1, [6, 4])]
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4, torch.bfloat16: 5e-2}
Load = Callable[..., Any]


@pytest.fixture
def load(tiny: Callable[[str], Path]) -> Load:
    """A tiny model that takes layouts, in the given arithmetic."""

    def loaded(architecture: str, dtype: torch.dtype = torch.float32) -> Any:
        model = AutoModelForCausalLM.from_pretrained(tiny(architecture), dtype=torch.float32)
        install_paths(model, len(tokenizer()))
        return model.to(dtype).eval()

    return loaded


def loss_and_gradient(model: Any, members: list[Member], mode: Mode) -> torch.Tensor:
    """A loss that hangs on every policy token differently, and all gradients, in one vector.

    The value head reads the same hidden states, so the value pass is checked as well.
    """
    critic = Critic(model, "shared").to(next(model.parameters()).dtype)
    torch.nn.init.constant_(critic.head.weight, 0.3)
    model.zero_grad(set_to_none=True)
    layout = lay_out(members, mode, 0, "cpu")
    hidden_ND = hidden_states(model, layout)
    log_probs_BA = layout.grid(token_log_probs(model, hidden_ND, layout.targets_N, 0.7))
    values_BA = layout.grid(critic(layout, hidden_ND))
    weights_BA = torch.linspace(-1, 1, log_probs_BA.numel()).view(layout.shape).double()
    loss = (log_probs_BA.double() * weights_BA + values_BA.double().square() * weights_BA).sum()
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return torch.cat([loss.detach()[None], *(g.double() for g in gradients)])


def assert_paths_agree(model: Any, members: list[Member], dtype: torch.dtype) -> None:
    expected = loss_and_gradient(model, members, "plain")
    assert expected[1:].any()
    for mode in ("packed", "shared"):
        found = loss_and_gradient(model, members, mode)
        assert found.shape == expected.shape
        for part in (slice(0, 1), slice(1, None)):
            error = (found[part] - expected[part]).norm() / expected[part].norm()
            assert float(error) < TOLERANCE[dtype], (mode, part)


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
def test_on_every_architecture(architecture: str, dtype: torch.dtype, load: Load) -> None:
    if architecture == "deepseek" and dtype is torch.float64:
        model = load(architecture, torch.float32)  # experts are routed by fp32 scores in any case
        assert_paths_agree(model, random_members(1, GROUPS), torch.float32)
        return
    assert_paths_agree(load(architecture, dtype), random_members(0, GROUPS), dtype)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gpt2"])
def test_in_bf16(architecture: str, load: Load) -> None:
    model = load(architecture)
    with torch.autocast("cpu", torch.bfloat16):
        assert_paths_agree(model, random_members(0, GROUPS), torch.bfloat16)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma3", "phi"])
def test_with_lora(architecture: str, load: Load) -> None:
    model = load(architecture, torch.float64)
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    adapted.eval()
    assert_paths_agree(adapted, random_members(0, GROUPS), torch.float64)


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "gpt2", "mistral"])
def test_with_gradient_checkpointing(architecture: str, load: Load) -> None:
    members = random_members(0, GROUPS)
    expected = loss_and_gradient(load(architecture), members, "plain")
    model = load(architecture)
    checkpoint_layers(model)
    seen: list[int] = []
    attention = next(m for m in model.modules() if type(m).__name__.endswith("Attention"))
    attention.register_forward_hook(lambda *_: seen.append(1))
    for mode in ("plain", "packed", "shared"):
        seen.clear()
        found = loss_and_gradient(model, members, mode)
        assert len(seen) == 2  # once forwards, once more backwards
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.norm()))


def with_blocks(row: GroupedRow) -> GroupedRow:
    """The same row; in spans long enough the second to fourth token see each other both ways,
    and so do the last two."""
    blocks_S = torch.full((row.spans[-1].end,), -1)
    for span in row.spans:
        if span.length > 3:
            blocks_S[span.start + 1 : span.start + 4] = 0
        if span.length > 6:
            blocks_S[span.end - 2 : span.end] = 1
    return GroupedRow(row.spans, "cpu", blocks_S)


@pytest.mark.parametrize("window", [None, 2, 3, 7, 12, 40])
@pytest.mark.parametrize("both_ways", [False, True])
def test_windows_of_any_size(window: int | None, both_ways: bool) -> None:
    """Attention alone, against brute force over who may see whom."""
    members = random_members(0, GROUPS)
    layout = lay_out(members, "shared", 0, "cpu")
    assert layout.structure is not None
    row = with_blocks(layout.structure) if both_ways else layout.structure
    torch.manual_seed(0)
    tokens = layout.tokens
    query = torch.randn(1, 4, tokens, 8, dtype=torch.float64)
    key, value = torch.randn(2, 1, 2, tokens, 8, dtype=torch.float64)
    found = row.attend(0, query, key, value, Rule(0.3, window))
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for span in row.spans:
        before = [] if span.context is None else path(row, span.context)
        places = [*before, *range(span.start, span.end)]
        for t in range(span.start, span.end):
            own = places.index(t)
            first = 0 if window is None else max(0, own - window + 1)
            seen[t, places[first : own + 1]] = True
            if row.blocks_S is not None and row.blocks_S[t] >= 0:
                for later in range(t + 1, span.end):
                    seen[t, later] = bool(row.blocks_S[later] == row.blocks_S[t])
    scores = (query[0] @ key[0].repeat_interleave(2, 0).transpose(-1, -2)) * 0.3
    weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
    expected = (weights @ value[0].repeat_interleave(2, 0)).transpose(0, 1)
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-9)


def path(row: GroupedRow, number: int) -> range:
    return range(row.spans[number].start, row.spans[number].end)


@pytest.mark.parametrize("kernel", ["merged", "expanded"])
@pytest.mark.parametrize("both_ways", [False, True])
def test_both_kernels_pass_gradcheck(kernel: str, both_ways: bool) -> None:
    layout = lay_out(random_members(0, [(4, [2, 4]), (2, [3])]), "shared", 0, "cpu")
    row = layout.structure
    assert row is not None
    row = with_blocks(row) if both_ways else row
    torch.manual_seed(0)
    query = torch.randn(1, 4, layout.tokens, 4, dtype=torch.float64, requires_grad=True)
    key, value = (
        torch.randn(1, 2, layout.tokens, 4, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    cap = None if kernel == "merged" else 5.0

    def attend(*inputs: torch.Tensor) -> torch.Tensor:
        return row.attend(0, *inputs, Rule(0.5, softcap=cap))

    assert torch.autograd.gradcheck(attend, (query, key, value), atol=1e-6)


@pytest.mark.parametrize("architecture", ["stablelm", "bloom"])
def test_an_architecture_that_does_not_pass_structures_on_is_refused(
    architecture: str, tiny: Callable[[str], Path]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny(architecture))
    with pytest.raises(ModelError, match="not supported yet"):
        install_paths(model, len(tokenizer()))


def test_sharing_computes_each_prefix_once_and_nothing_behind_the_last_policy_token() -> None:
    members = random_members(0, [(20, [5, 1]), (7, [3])], environment=2)
    # read: all before the last policy token. 5 -> 20 + 6, 1 -> 20, 3 -> 7 + 2
    assert [m.length for m in members] == [26, 20, 9]
    assert lay_out(members, "packed", 0, "cpu").tokens == 26 + 20 + 9
    assert lay_out(members, "shared", 0, "cpu").tokens == 20 + 6 + 0 + 9
    assert lay_out(members, "plain", 0, "cpu").tokens == 3 * 26


def test_log_probs_stand_where_the_answers_are(load: Load) -> None:
    """Against the model's own log-softmax, one episode at a time."""
    model, members = load("qwen2"), random_members(3, GROUPS)
    layout = lay_out(members, "shared", 0, "cpu")
    with torch.no_grad():
        log_probs_BA = answer_log_probs(model, layout, 0.7)
        for row, member in zip(log_probs_BA, members, strict=True):
            logits = model(input_ids=torch.tensor([member.token_ids])).logits[0] / 0.7
            full = torch.log_softmax(logits, -1)
            alone = [float(full[t - 1, member.token_ids[t]]) for t in member.written]
            assert row[: len(alone)].tolist() == pytest.approx(alone, abs=1e-4)
            assert not row[len(alone) :].any()
