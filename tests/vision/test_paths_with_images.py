"""Prompts with images: the features once per group, exact gradients, several position axes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from medrl.errors import ModelError
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, lay_out
from medrl.learning.logprobs import answer_log_probs, hidden_states, token_log_probs
from medrl.learning.policy import Policy, checkpoint_layers
from medrl.prompt import Media, Prompt, kinds
from medrl.sampling.sampler import SamplingParams, sample
from medrl.sampling.torch_sampler import TorchSampler
from medrl.vision.families import Gemma3
from tests.learning.test_paths import assert_paths_agree, loss_and_gradient
from tests.sampling.contract import generated
from tests.tiny_vision import SEEING, noise
from tests.vision.conftest import LoadSeeing


def prompts_of(policy: Policy) -> list[Prompt]:
    """One picture, two of other sizes, none, one that is wide."""
    return [
        policy.prompt("What helps?", [noise(0)]),
        policy.prompt("Which is larger?", [noise(1, 16, 16), noise(2, 40, 24)]),
        policy.prompt("Reason, then give the letter."),
        policy.prompt("A", [noise(3, 48, 16)]),
    ]


def members_of_prompts(
    prompts: list[Prompt], answers: tuple[tuple[int, ...], ...] = ((3, 7, 1), (4,), (2, 5), (1, 6))
) -> list[Member]:
    """Answers of random tokens, some of them interrupted by the environment."""
    draw = torch.Generator().manual_seed(0)
    members = []
    for number, (prompt, lengths) in enumerate(zip(prompts, answers, strict=True)):
        for length in lengths:
            ids = torch.randint(1, 300, (length,), generator=draw).tolist()
            origins = [Origin.TEMPLATE] * len(prompt) + [Origin.POLICY] * length
            if length > 4:
                origins[len(prompt) + 2] = Origin.ENVIRONMENT
            tokens = (*prompt.token_ids, *ids)
            zeros = [0.0] * len(tokens)
            members.append(Member(tokens, origins, zeros, number, len(prompt), prompt.media))
    return members


def cast(members: list[Member], dtype: torch.dtype) -> list[Member]:
    """Pixels in another arithmetic."""

    def media(one: Media | None) -> Media | None:
        if one is None:
            return None
        inputs = {n: v.to(dtype) if v.is_floating_point() else v for n, v in one.inputs.items()}
        return replace(one, inputs=inputs)

    return [replace(m, media=media(m.media)) for m in members]


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
def test_loss_and_gradient_agree(kind: str, dtype: torch.dtype, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    model = policy.model.to(dtype)
    members = cast(members_of_prompts(prompts_of(policy)), dtype)
    assert_paths_agree(model, members, dtype)
    of_eyes = [n for n, p in model.named_parameters() if p.grad is not None and "vis" in n]
    assert of_eyes, "the gradient does not reach the image encoder"


@pytest.mark.parametrize("kind", SEEING)
def test_an_image_is_encoded_once_per_group(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    members = members_of_prompts(prompts_of(policy))
    encoder: Any = policy.model.base_model
    encoder = next(m for n, m in encoder.named_children() if "vis" in n)
    counts = {}
    for mode in ("packed", "shared"):
        seen: list[int] = []
        hook = encoder.register_forward_pre_hook(
            lambda module, args, kwargs, seen=seen: seen.append(
                len(kwargs["pixel_values"] if "pixel_values" in kwargs else args[0])
            ),
            with_kwargs=True,
        )
        with torch.no_grad():
            answer_log_probs(policy.model, lay_out(members, mode, 0, "cpu"), 1.0)
        hook.remove()
        counts[mode] = sum(seen)
    pictures = [m.media for m in members if m.media]
    groups = {m.group: m.media for m in members if m.media}

    def size(media: Media) -> int:
        pixels = media.inputs.get("pixel_values")
        return 0 if pixels is None else pixels.shape[media.axis]

    assert counts["packed"] == sum(map(size, pictures))
    assert counts["shared"] == sum(map(size, groups.values())) < counts["packed"]


@pytest.mark.parametrize("kind", SEEING)
def test_the_images_matter(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    seen, other = (policy.prompt("What helps?", [noise(seed)]) for seed in (0, 9))
    assert seen.token_ids == other.token_ids
    first, second = (
        answer_log_probs(
            policy.model, lay_out(members_of_prompts([p], ((3,),)), "shared", 0, "cpu"), 1.0
        )
        for p in (seen, other)
    )
    assert not torch.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize("kind", SEEING)
def test_sampled_log_probs_are_the_learners(kind: str, load_seeing: LoadSeeing) -> None:
    """Token by token behind pictures, with places that are filled again, as in one pass."""
    policy = load_seeing(kind)
    prompts = prompts_of(policy)
    sampler = TorchSampler(policy.model, policy.stop_ids, max_rows=4)
    params = SamplingParams(12, 0.8)
    found = sample(sampler, prompts, 3, params, torch.Generator().manual_seed(0))
    members, wanted = [], []
    for number, (prompt, answers) in enumerate(zip(prompts, found, strict=True)):
        for answer in answers:
            ids = (*prompt.token_ids, *answer.token_ids)
            origins = [Origin.TEMPLATE] * len(prompt) + [Origin.POLICY] * len(answer.token_ids)
            members.append(Member(ids, origins, [], number, len(prompt), prompt.media))
            wanted += answer.log_probs
    with torch.no_grad():
        layout = lay_out(members, "plain", 0, "cpu")
        hidden_ND = hidden_states(policy.model, layout)
        log_probs_N = token_log_probs(policy.model, hidden_ND, layout.targets_N, 0.8)
    torch.testing.assert_close(log_probs_N, torch.tensor(wanted), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", SEEING)
def test_greedy_is_what_transformers_generates(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    prompts = prompts_of(policy)
    sampler = TorchSampler(policy.model, policy.stop_ids)
    found = sample(sampler, prompts, 1, SamplingParams(12, 0.0), torch.Generator())
    marks = [policy.model.config.image_token_id]
    for prompt, [answer] in zip(prompts, found, strict=True):
        assert prompt.media is not None
        shown = prompt.media.inputs | kinds([prompt.media], len(prompt), "cpu")
        theirs = generated(policy, prompt.token_ids, 12, **shown, suppress_tokens=marks)
        assert answer.token_ids == theirs


@pytest.mark.parametrize("kind", SEEING)
def test_checkpointed_layers_give_the_same(kind: str, load_seeing: LoadSeeing) -> None:
    policy = load_seeing(kind)
    members = members_of_prompts(prompts_of(policy))
    expected = loss_and_gradient(policy.model, members, "plain")
    checkpoint_layers(policy.model)
    for mode in ("plain", "packed", "shared"):
        found = loss_and_gradient(policy.model, members, mode)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.norm()))


def test_a_family_that_is_not_known_to_see_both_ways_is_refused(
    load_seeing: LoadSeeing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Gemma3, "two_way", False)
    with pytest.raises(ModelError, match="the packed path gives logits that differ"):
        load_seeing("gemma3")


def test_text_alone_has_no_blocks(load_seeing: LoadSeeing) -> None:
    policy = load_seeing("gemma3")
    seen, said = policy.prompt("What helps?", [noise(0), noise(1)]), policy.prompt("What helps?")
    assert seen.media is not None and seen.media.blocks_P is not None
    assert [int((seen.media.blocks_P == n).sum()) for n in range(-1, 3)] == [
        len(seen) - 32,
        16,
        16,
        0,
    ]
    for prompt, blocks in ((seen, True), (said, False)):
        layout = lay_out(members_of_prompts([prompt], ((3, 2),)), "shared", 0, "cpu")
        assert layout.structure is not None
        assert (layout.structure.blocks_S is not None) == blocks


@pytest.mark.parametrize("kind", SEEING)
def test_a_begun_answer_goes_on_behind_the_image(kind: str, load_seeing: LoadSeeing) -> None:
    """A forced beginning reads like the same tokens sampled."""
    policy = load_seeing(kind)
    prompt = policy.prompt("What helps?", [noise(0)])
    sampler = TorchSampler(policy.model, ())
    greedy = SamplingParams(6, 0.0)
    [[whole]] = sample(sampler, [prompt], 1, greedy, torch.Generator())
    [[rest]] = sample(
        sampler, [prompt.begun(whole.token_ids[:2])], 1, SamplingParams(4, 0.0), torch.Generator()
    )
    assert rest.token_ids == whole.token_ids[2:]


def test_the_mark_of_a_picture_is_never_written(load_seeing: LoadSeeing) -> None:
    policy = load_seeing("qwen2_vl")
    mark = policy.model.config.image_token_id
    with torch.no_grad():  # a model that wants to write nothing else
        policy.model.get_output_embeddings().weight[mark] = (
            50 * policy.model.get_output_embeddings().weight.abs().max()
        )
    prompt = policy.prompt("What helps?", [noise(0)])
    sampler = TorchSampler(policy.model, ())
    answers = sample(
        sampler, [prompt], 8, SamplingParams(10, 1.0), torch.Generator().manual_seed(0)
    )
    assert all(mark not in a.token_ids for a in answers[0])
    assert all(0 <= e < 20 for a in answers[0] for e in a.entropies)
