"""Tiny random models of ordinary architectures, with a tokenizer trained on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BloomConfig,
    CohereConfig,
    DeepseekV3Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Olmo2Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    StableLmConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from medrl.cases.case import Case, Provenance, Reference
from medrl.grading.verdict import Outcome, Verdict
from medrl.learning.groups import Episode, Group, Origin
from medrl.learning.layout import Member
from medrl.sampling.sampler import StopReason

ARCHITECTURES = ("qwen2", "llama", "gemma2", "gpt2")
ALL_ARCHITECTURES = (
    *ARCHITECTURES,
    "qwen3",
    "gemma3",
    "mistral",
    "phi",
    "olmo2",
    "cohere",
    "granite",
    "deepseek",
)
"""What every way of computing must agree on; among them sliding windows, soft caps, shared and own
heads, grouped queries, keys and values of different widths, and experts."""
END = "<|endoftext|>"
CONTEXT = 1024
USUAL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,
    "pad_token_id": None,
}
"""What nearly all configurations of a decoder take."""

_LINES = (
    "User: A 54-year-old man comes with chest pain and shortness of breath for two days.",
    "Which of the following is the most likely diagnosis? What is the next best step?",
    "A. aspirin\nB. insulin\nC. surgery\nD. rest",
    "Reason in <think></think>, then give the letter in <answer></answer>.",
    "Assistant: <think>the fever and the cough suggest pneumonia</think><answer>B</answer>",
)


@lru_cache(maxsize=1)
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 400 tokens; the think tags are plain text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_LINES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END)


def config(architecture: str) -> PreTrainedConfig:
    """Two layers of 32; weights wide enough that the next token is far from uniform."""
    vocabulary, end = len(tokenizer()), tokenizer().eos_token_id
    if architecture == "gpt2":
        return GPT2Config(
            vocab_size=vocabulary,
            n_positions=CONTEXT,
            n_embd=32,
            n_layer=2,
            n_head=4,
            initializer_range=0.2,
            resid_pdrop=0.1,
            bos_token_id=end,
            eos_token_id=end,
        )
    kinds: dict[str, tuple[Callable[..., PreTrainedConfig], dict[str, Any]]] = {
        "qwen2": (Qwen2Config, {"tie_word_embeddings": True}),
        "llama": (LlamaConfig, {"tie_word_embeddings": False}),
        "gemma2": (Gemma2Config, {"head_dim": 8, "sliding_window": 6}),
        "gemma3": (Gemma3TextConfig, {"head_dim": 8, "sliding_window": 6}),
        "qwen3": (Qwen3Config, {"head_dim": 8}),
        "mistral": (MistralConfig, {"sliding_window": 5}),
        "phi": (PhiConfig, {}),
        "olmo2": (Olmo2Config, {}),
        "stablelm": (StableLmConfig, {}),
        "bloom": (BloomConfig, {}),
        "deepseek": (
            DeepseekV3Config,
            {
                "num_key_value_heads": 4,
                "q_lora_rank": 16,
                "kv_lora_rank": 16,
                "qk_rope_head_dim": 4,
                "qk_nope_head_dim": 8,
                "v_head_dim": 8,
                "n_routed_experts": 4,
                "n_group": 1,
                "topk_group": 1,
                "num_experts_per_tok": 2,
                "moe_intermediate_size": 32,
                "first_k_dense_replace": 1,
            },
        ),
        "cohere": (CohereConfig, {"logit_scale": 0.25}),
        "granite": (GraniteConfig, {"logits_scaling": 4.0}),
    }
    kind, extra = kinds[architecture]
    ids = {"vocab_size": vocabulary, "bos_token_id": end, "eos_token_id": end}
    return kind(**USUAL | ids | extra)


def save_tiny(architecture: str, folder: Path) -> Path:
    """A model folder as ``transformers`` writes it; the same weights every time."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config(architecture))
    model.generation_config.eos_token_id = tokenizer().eos_token_id
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def case(gold: str = "B", name: str = "case-1", question: str = "What helps?", **more: Any) -> Case:
    """A question with four options."""
    options = ("aspirin", "insulin", "surgery", "rest")
    return Case(name, question, Reference("option", gold, options), Provenance("toy"), **more)


def verdict(outcome: Outcome = Outcome.WRONG, format_ok: bool = True) -> Verdict:
    """A verdict that says only what is asked."""
    return Verdict(outcome, "", "", format_ok, "tag")


def episode(
    prompt: Sequence[int],
    pieces: Sequence[tuple[Origin, Sequence[int]]],
    reward: float,
    log_prob: float = -2.0,
) -> Episode:
    """An episode of a prompt and pieces of text, each with who wrote it."""
    ids, origins = list(prompt), [Origin.TEMPLATE] * len(prompt)
    for origin, piece in pieces:
        ids += piece
        origins += [origin] * len(piece)
    log_probs = tuple(log_prob if o == Origin.POLICY else 0.0 for o in origins)
    return Episode(tuple(ids), tuple(origins), log_probs, StopReason.END, "", verdict(), reward)


def random_members(
    seed: int, groups: Sequence[tuple[int, Sequence[int]]], environment: int = 2
) -> list[Member]:
    """Groups of (prompt tokens, answer tokens of each member). Answers of more than four tokens
    are interrupted by ``environment`` tokens, and all of them are followed by one."""
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(1, len(tokenizer()), (count,), generator=draw).tolist()

    members = []
    for number, (prompt_length, lengths) in enumerate(groups):
        prompt = ids(prompt_length)
        for length in lengths:
            between = environment if length > 4 else 0
            origins = [Origin.TEMPLATE] * prompt_length + [Origin.POLICY] * (length // 2)
            origins += [Origin.ENVIRONMENT] * between + [Origin.POLICY] * (length - length // 2)
            origins += [Origin.ENVIRONMENT]
            tokens = prompt + ids(len(origins) - prompt_length)
            log_probs = [-4.0 * (o == Origin.POLICY) for o in origins]
            members.append(Member(tokens, origins, log_probs, number, prompt_length))
    return members


def random_episodes(seed: int, lengths: Sequence[tuple[int, int, int]]) -> list[Episode]:
    """Episodes of (prompt, answer, environment) tokens, the answer interrupted halfway by the
    environment and followed by one more of its tokens."""
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(1, len(tokenizer()), (count,), generator=draw).tolist()

    return [
        episode(
            ids(prompt),
            [
                (Origin.POLICY, ids(answer - answer // 2)),
                (Origin.ENVIRONMENT, ids(environment)),
                (Origin.POLICY, ids(answer // 2)),
                (Origin.ENVIRONMENT, ids(1)),
            ],
            float(torch.randint(-1, 2, (1,), generator=draw)),
            log_prob=-4.0 + float(torch.rand(1, generator=draw)),
        )
        for prompt, answer, environment in lengths
    ]


def siblings(seed: int, rewards: Sequence[float]) -> Group:
    """Answers of 3, 5, 7 ... tokens to one prompt, each interrupted by the environment."""
    draw = torch.Generator().manual_seed(seed)

    def ids(count: int) -> list[int]:
        return torch.randint(1, len(tokenizer()), (count,), generator=draw).tolist()

    prompt = ids(9)
    episodes = [
        episode(
            prompt,
            [
                (Origin.POLICY, ids(1 + i)),
                (Origin.ENVIRONMENT, ids(2)),
                (Origin.POLICY, ids(2 + i)),
            ],
            float(reward),
            log_prob=-4.0 + float(torch.rand(1, generator=draw)),
        )
        for i, reward in enumerate(rewards)
    ]
    return Group(case(), "", len(prompt), tuple(episodes))


def grouped(episodes: Sequence[Episode]) -> list[Group]:
    """Each episode a group of its own, without a prefix in common with any other."""
    return [Group(case(), "", 0, (e,)) for e in episodes]
