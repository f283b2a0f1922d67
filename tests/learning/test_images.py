"""Prompts with images: the features once per group, exact gradients, several position axes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from medrl.attention import DecodeCache, Prefill, forward, install
from medrl.learning.groups import Media, Origin
from medrl.learning.layout import Member, Mode, lay_out
from medrl.learning.logprobs import answer_log_probs

IMAGE, START, END = 190, 192, 193


@pytest.fixture(scope="module")
def model() -> Qwen2VLForConditionalGeneration:
    torch.manual_seed(0)
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": 200,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 1e4,
            },
            "initializer_range": 0.2,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": None,
        },
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=IMAGE,
        video_token_id=191,
        vision_start_token_id=START,
        vision_end_token_id=END,
    )
    made = Qwen2VLForConditionalGeneration(config).double().eval()
    vision = made.model.visual.config._attn_implementation
    install(made)
    assert made.model.visual.config._attn_implementation == vision  # the encoder keeps its own
    return made


def group(
    model: Qwen2VLForConditionalGeneration, number: int, grid: tuple[int, int], answers: list[int]
) -> list[Member]:
    """Answers to a prompt with one image of ``grid`` patches (four of them make a token)."""
    draw = torch.Generator().manual_seed(number)
    height, width = grid
    image = [START, *[IMAGE] * (height * width // 4), END]
    prompt = [5 + number, 6, *image, 7, 8, 9 + number]
    ids = torch.tensor([prompt])
    where = torch.tensor([[1, height, width]])
    positions, _ = model.model.get_rope_index(
        ids, mm_token_type_ids=(ids == IMAGE).int(), image_grid_thw=where
    )
    pixels = torch.randn(height * width, 3 * 2 * 4 * 4, generator=draw).double()
    media = Media({"pixel_values": pixels, "image_grid_thw": where}, positions[:, 0])
    members = []
    for length in answers:
        answer = torch.randint(1, 180, (length,), generator=draw).tolist()
        origins = [Origin.TEMPLATE] * len(prompt) + [Origin.POLICY] * length
        tokens = prompt + answer
        members.append(Member(tokens, origins, [0.0] * len(tokens), number, len(prompt), media))
    return members


@pytest.fixture
def members(model: Qwen2VLForConditionalGeneration) -> list[Member]:
    return (
        group(model, 0, (4, 6), [3, 7, 1])
        + group(model, 1, (2, 2), [4])
        + group(model, 2, (8, 4), [2, 5])
    )


def run(
    model: Qwen2VLForConditionalGeneration, members: list[Member], mode: Mode
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Log-probs, all gradients (the image encoder's too), and how many patches were encoded."""
    patches: list[int] = []
    hook = model.model.visual.register_forward_pre_hook(
        lambda module, args, kwargs: patches.append(len(args[0])), with_kwargs=True
    )
    model.zero_grad(set_to_none=True)
    log_probs = answer_log_probs(model, lay_out(members, mode, 0, "cpu"), 1.0)
    (log_probs * torch.linspace(-1, 1, log_probs.numel()).view_as(log_probs)).sum().backward()
    hook.remove()
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    assert any(p.grad is not None and p.grad.any() for p in model.model.visual.parameters())
    return log_probs.detach(), torch.cat(gradients), sum(patches)


def test_every_way_agrees_and_an_image_is_encoded_once_per_group(
    model: Qwen2VLForConditionalGeneration, members: list[Member]
) -> None:
    expected, gradient, patches = run(model, members, "plain")
    assert patches == 3 * 24 + 4 + 2 * 32
    for mode, encoded in (("packed", patches), ("shared", 24 + 4 + 32)):
        found, same, count = run(model, members, mode)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        assert float((same - gradient).norm() / gradient.norm()) < 1e-6
        assert count == encoded


def test_the_images_matter(model: Qwen2VLForConditionalGeneration, members: list[Member]) -> None:
    blank = [
        replace(
            m,
            media=Media(
                {**m.media.inputs, "pixel_values": 0 * m.media.inputs["pixel_values"]},
                m.media.positions_XP,
            ),
        )
        for m in members
        if m.media is not None
    ]
    seen, _, _ = run(model, members, "shared")
    unseen, _, _ = run(model, blank, "shared")
    assert not torch.allclose(seen, unseen)


def test_decoding_goes_on_from_the_positions_of_the_image(
    model: Qwen2VLForConditionalGeneration, members: list[Member]
) -> None:
    """Token by token behind prompts of several axes, as in one pass over the whole."""
    chosen = [members[1], members[5]]
    layout = lay_out(chosen, "packed", 0, "cpu")
    with torch.no_grad():
        expected = answer_log_probs(model, layout, 1.0)
        prompts = [m.token_ids[: m.prefix_length] for m in chosen]
        media = [m.media for m in chosen if m.media is not None]
        prefill = Prefill(
            [len(p) for p in prompts],
            "cpu",
            next_positions=[int(m.positions_XP.max()) + 1 for m in media],
        )
        hidden = forward(
            model.model,
            torch.tensor([[i for p in prompts for i in p]]),
            torch.cat([m.positions_XP for m in media], 1)[:, None],
            prefill,
            pixel_values=torch.cat([m.inputs["pixel_values"] for m in media]),
            image_grid_thw=torch.cat([m.inputs["image_grid_thw"] for m in media]),
        )
        last = torch.tensor([span.end - 1 for span in prefill.spans])
        logits = model.lm_head(hidden[0, last])
        cache = DecodeCache(prefill, 1)
        for t in range(5):
            tokens = torch.tensor([m.token_ids[m.prefix_length + t] for m in chosen])
            found = torch.log_softmax(logits, -1).gather(1, tokens[:, None]).squeeze(1)
            torch.testing.assert_close(found, expected[:, t], rtol=1e-6, atol=1e-6)
            cache.begin()
            positions = cache.positions_R.expand(3, 1, -1)
            hidden = forward(model.model, tokens[None], positions, cache)
            cache.advance()
            logits = model.lm_head(hidden[0])
