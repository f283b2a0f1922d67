"""What the clinic's base models are made with: tokenizer, learning rate, first weights."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

Model = TypeVar("Model", bound=PreTrainedModel)

END, PAD = "<|endoftext|>", "<|pad|>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def learn_tokenizer(
    texts: Iterable[str], vocabulary: int, context: int, marks: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned on texts; tags are ordinary tokens, ``marks`` special ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(TAGS),
        special_tokens=[END, PAD, *marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Not "special": they are answer text like any other and must survive decoding.
    tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def rate(step: int, total: int, highest: float, warmup: int) -> float:
    """Learning rate of a step: linear warm-up, then cosine to a tenth."""
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return highest * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


@torch.no_grad()
def prepare_lookup(trunk: Any, letter_ids: list[int], rope_theta: float) -> None:
    """Start one attention circuit where training would otherwise have to stumble upon it.

    Naming the letter of an option takes three things at once: knowing the token just before,
    finding its earlier occurrence, and knowing what stood two places before that. None of the
    three pays without the others, so plain training sits on a plateau (in our trials at chance
    for as long as we waited). Here two heads of the first layer begin by looking one and two
    tokens back, through their rotary biases, and one head of the second layer begins by matching
    tokens against what the first head brought. Everything stays trainable; option texts of many
    tokens, which this does not cover, are left to training. The idea of starting attention from
    structure instead of noise is that of mimetic initialisation (Trockman and Kolter 2023).

    Args:
        trunk: a decoder of the Llama kind without its head, with biases on queries and keys.
    """
    config = trunk.config
    size, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    torch.nn.init.normal_(trunk.embed_tokens.weight, std=0.06)
    for layer in trunk.layers:
        layer.mlp.down_proj.weight.mul_(0.35)
        layer.self_attn.o_proj.weight.mul_(0.35)
    reads = torch.linalg.qr(torch.randn(size, size))[0]
    writes = torch.linalg.qr(torch.randn(size, size))[0]
    read_DH = [reads[i * head : (i + 1) * head] for i in (0, 1)]
    write_DH = [writes[:, i * head : (i + 1) * head] for i in (0, 1)]

    frequency = rope_theta ** (-torch.arange(head // 2) * 2 / head)
    fast = (frequency > 0.08).float()  # slow rotations cannot tell neighbours apart
    slow = ((frequency > 0.02) & (frequency < 0.2)).float()
    nothing = torch.zeros_like(fast)
    first, second = trunk.layers[0].self_attn, trunk.layers[1].self_attn
    rows = [slice(i * head, (i + 1) * head) for i in (0, 1)]

    # Layer 1, head 1: the token just before.
    first.k_proj.bias[rows[0]] += torch.cat([6 * fast, nothing])
    first.q_proj.bias[rows[0]] += torch.cat(
        [6 * fast * frequency.cos(), -6 * fast * frequency.sin()]
    )
    first.v_proj.weight[rows[0]] = read_DH[0]
    first.o_proj.weight[:, rows[0]] = 0.15 * write_DH[0]
    # Layer 1, head 2: the last option letter. Letters share a direction that makes them loud.
    mark_D = torch.nn.functional.normalize(torch.randn(size), dim=0)
    embeddings = trunk.embed_tokens.weight
    embeddings[letter_ids] += 0.06 * size**0.5 * mark_D
    first.k_proj.weight[rows[1]] = torch.outer(torch.cat([slow, nothing]), mark_D)
    first.q_proj.bias[rows[1]] += torch.cat([3 * slow, nothing])
    first.v_proj.weight[rows[1]] = read_DH[1]
    first.o_proj.weight[:, rows[1]] = 0.3 * write_DH[1]
    # Layer 2, head 1: an earlier place, not the present one, that holds the token just before;
    # it brings the letter of that place.
    second.q_proj.weight[rows[0]] = 1.8 * write_DH[0].T
    second.k_proj.weight[rows[0]] = 1.8 * read_DH[0]
    second.q_proj.bias[rows[0]] += torch.cat([-1.5 * slow, nothing])
    second.k_proj.bias[rows[0]] += torch.cat([1.5 * slow, nothing])
    second.v_proj.weight[rows[0]] = write_DH[1].T
    second.o_proj.weight[:, rows[0]] = 0.3 * read_DH[1].T


def build_optimizer(
    model: PreTrainedModel, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; no decay on norms and biases."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, learning_rate: float) -> None:
    """One step down the loss, at a learning rate, the gradient clipped to a norm of 1."""
    loss.backward()
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def progress_bar() -> Progress:
    """A bar with time left and a note (field ``note``) behind it."""
    return Progress(
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )


def load_start(
    start: Path, kind: type[Model]
) -> tuple[PreTrainedTokenizerFast, Model, list[dict[str, Any]]]:
    """A base model to go on with, in full precision, and the records of how it was made."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
    model = kind.from_pretrained(start, dtype=torch.float32)
    return tokenizer, model, json.loads((start / "made.json").read_text())["passes"]


def write_passes(out: Path, passes: Sequence[dict[str, Any]]) -> None:
    """Say beside a base model how it was made, pass by pass."""
    (out / "made.json").write_text(json.dumps({"passes": list(passes)}, indent=2) + "\n")


def save(out: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write model and tokenizer for ``from_pretrained``; weights in bf16, a few MB."""
    out.mkdir(parents=True, exist_ok=True)
    small = copy.deepcopy(model)
    torch.nn.Module.to(small, torch.bfloat16)
    small.save_pretrained(out)
    tokenizer.save_pretrained(out)
