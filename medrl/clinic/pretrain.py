"""Make the clinic's base text model: tokenizer, corpus, pretraining, probes.

``python -m medrl.clinic.pretrain FOLDER`` repeats what made the shipped model. Exercises
come first and alone, the mixture after: naming the letter under which a text stands is a late,
sudden skill that a model does not find when exercises are only a part of the mixture.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medrl.cases.case import LETTERS
from medrl.clinic.knowledge import Knowledge, clinic
from medrl.clinic.textbook import AnswerHabits, Library
from medrl.run import describe_machine

END, PAD = "<|endoftext|>", "<|pad|>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that determines the base model, all of it ours."""

    seed: int = 0
    vocabulary: int = 3072
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    intermediate: int = 512
    context: int = 1024
    rope_theta: float = 1000.0
    rows: int = 16
    row_tokens: int = 256
    exercise_steps: int = 150
    mixture_steps: int = 2250
    learning_rate: float = 1.2e-3
    warmup_steps: int = 60
    weight_decay: float = 0.05
    letter_weight: dict[str, float] = field(
        default_factory=lambda: {"exercises": 1.0, "mixture": 0.3}
    )
    mixture: dict[str, float] = field(
        default_factory=lambda: {
            "passage": 0.2,
            "record": 0.3,
            "drill": 0.03,
            "exercise": 0.07,
            "answered_question": 0.4,
        }
    )


def build_tokenizer(knowledge: Knowledge, config: PretrainConfig) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned on the pretraining text itself; the four tags are ordinary tokens."""
    library = Library(knowledge, config.seed + 1)
    source = library.documents(config.mixture)
    texts = (next(source) for _ in range(30_000))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary - len(TAGS),
        special_tokens=[END, PAD],
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
        model_max_length=config.context,
        clean_up_tokenization_spaces=False,
    )


def packed_rows(
    library: Library,
    tokenizer: PreTrainedTokenizerFast,
    shares: dict[str, float],
    rows: int,
    row_tokens: int,
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """``rows`` rows of ``row_tokens`` + 1 token ids, documents end to end with END between."""
    needed = rows * (row_tokens + 1)
    source = library.documents(shares)
    ids: list[int] = []
    end = tokenizer.eos_token_id
    while len(ids) < needed:
        batch = [next(source) for _ in range(256)]
        for encoded in tokenizer(batch)["input_ids"]:
            ids.extend(encoded)
            ids.append(end)
    return np.array(ids[:needed], dtype=np.int64).reshape(rows, row_tokens + 1)


def learning_rate(step: int, total: int, config: PretrainConfig) -> float:
    """Linear warm-up, then cosine to a tenth."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, total - config.warmup_steps)
    return config.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))


def build_model(tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> LlamaForCausalLM:
    """A small Llama from its config, weights drawn anew and set up to look things up."""
    torch.manual_seed(config.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            intermediate_size=config.intermediate,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            attention_bias=True,  # rotary biases carry the look-back heads, see prepare_lookup
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    letter_ids = tokenizer(list(LETTERS[:10]), add_special_tokens=False)["input_ids"]
    prepare_lookup(model, [ids[0] for ids in letter_ids], config.rope_theta)
    return model


@torch.no_grad()
def prepare_lookup(model: LlamaForCausalLM, letter_ids: list[int], rope_theta: float) -> None:
    """Start one attention circuit where training would otherwise have to stumble upon it.

    Naming the letter of an option takes three things at once: knowing the token just before,
    finding its earlier occurrence, and knowing what stood two places before that. None of the
    three pays without the others, so plain training sits on a plateau (in our trials at chance
    for as long as we waited). Here two heads of the first layer begin by looking one and two
    tokens back, through their rotary biases, and one head of the second layer begins by matching
    tokens against what the first head brought. Everything stays trainable; option texts of many
    tokens, which this does not cover, are left to training. The idea of starting attention from
    structure instead of noise is that of mimetic initialisation (Trockman and Kolter 2023).
    """
    config = model.config
    size, head = config.hidden_size, config.hidden_size // config.num_attention_heads
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.06)
    for layer in model.model.layers:
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
    first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
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
    embeddings = model.model.embed_tokens.weight
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


def build_optimizer(model: LlamaForCausalLM, config: PretrainConfig) -> torch.optim.Optimizer:
    """AdamW; no decay on norms and biases."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
        fused=True,
    )


def text_loss(logits_BTV: torch.Tensor, rows_BT: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss over all positions, nats."""
    return cross_entropy(logits_BTV.flatten(0, 1), rows_BT[:, 1:].flatten())


def letter_loss(logits_BTV: torch.Tensor, rows_BT: torch.Tensor, bracket: int) -> torch.Tensor:
    """Mean loss over the option letters that follow an opening bracket, nats.

    These few tokens carry the skill of binding a letter to its text; in a plain mean over all
    tokens their gradient drowns.
    """
    asked_BT = rows_BT[:, :-1] == bracket
    if not asked_BT.any():
        return logits_BTV.new_zeros(())
    return cross_entropy(logits_BTV[asked_BT], rows_BT[:, 1:][asked_BT])


def letter_accuracy(logits_BTV: torch.Tensor, rows_BT: torch.Tensor, bracket: int) -> float:
    """Share of option letters after an opening bracket that the model puts first.

    Only exercises and reasoned answers write a letter there, and both name its text just before,
    so this measures binding and nothing else.
    """
    asked_BT = rows_BT[:, :-1] == bracket
    if not asked_BT.any():
        return 0.0
    hits = logits_BTV.argmax(-1)[asked_BT] == rows_BT[:, 1:][asked_BT]
    return hits.float().mean().item()


def batches(
    library: Library, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> Iterator[tuple[str, torch.Tensor]]:
    """The phases in order: (phase name, token ids [rows, row_tokens + 1])."""
    phases = (
        ("exercises", config.exercise_steps, {"drill": 0.5, "exercise": 0.5}),
        ("mixture", config.mixture_steps, config.mixture),
    )
    block = 50
    for name, steps, shares in phases:
        for start in range(0, steps, block):
            count = min(block, steps - start)
            packed = packed_rows(library, tokenizer, shares, count * config.rows, config.row_tokens)
            for rows in packed.reshape(count, config.rows, -1):
                yield name, torch.from_numpy(rows)


def save(out: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write model and tokenizer for ``from_pretrained``; weights in bf16, a few MB."""
    out.mkdir(parents=True, exist_ok=True)
    small = copy.deepcopy(model)
    torch.nn.Module.to(small, torch.bfloat16)
    small.save_pretrained(out)
    tokenizer.save_pretrained(out)


def pretrain(
    out: Path,
    config: PretrainConfig,
    habits: AnswerHabits,
    device: str = "cpu",
    save_every: int = 0,
    start: Path | None = None,
) -> dict[str, Any]:
    """Train a base model and save it, in half precision, with the record of how it was made."""
    knowledge, machine = clinic(), describe_machine()
    earlier: list[dict[str, Any]] = []
    if start is None:
        tokenizer = build_tokenizer(knowledge, config)
        model = build_model(tokenizer, config)
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
        earlier = json.loads((start / "made.json").read_text())["passes"]
    torch.nn.Module.to(model, device)
    optimizer = build_optimizer(model, config)
    total = config.exercise_steps + config.mixture_steps
    bracket = tokenizer(" (", add_special_tokens=False)["input_ids"][-1]
    digest, started = hashlib.sha256(), time.monotonic()
    library = Library(knowledge, config.seed, habits)
    columns = (
        *Progress.get_default_columns()[:-1],
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("pretraining", total=total, note="")
        for step, (phase, rows) in enumerate(batches(library, tokenizer, config)):
            digest.update(rows.numpy().tobytes())
            rows = rows.to(device)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, total, config)
            logits = model(input_ids=rows[:, :-1]).logits
            loss = text_loss(logits, rows) + config.letter_weight[phase] * letter_loss(
                logits, rows, bracket
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step % 50 == 0:
                letters = letter_accuracy(logits.detach(), rows, bracket)
                note = f"{phase} loss {loss.item():.3f} letters {letters:.2f}"
                progress.update(task, note=note)
                print(f"step {step} {note} {time.monotonic() - started:.0f} s", flush=True)
            progress.advance(task)
            if save_every and step % save_every == 0 and step:
                save(out / f"step-{step}", model, tokenizer)
    record = {
        "config": asdict(config),
        "habits": asdict(habits),
        "knowledge": knowledge.fingerprint(),
        "data_sha256": digest.hexdigest(),
        "tokens": total * config.rows * config.row_tokens,
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - started),
        "machine": machine,
    }
    save(out, model, tokenizer)
    made = {"passes": [*earlier, record]}
    (out / "made.json").write_text(json.dumps(made, indent=2) + "\n")
    return record


def main(
    out: Path,
    steps: Annotated[int, typer.Option(help="steps on the mixture")] = PretrainConfig.mixture_steps,
    exercise_steps: int = PretrainConfig.exercise_steps,
    seed: int = 0,
    device: str = "cpu",
    start: Annotated[Path | None, typer.Option(help="go on from this model")] = None,
    save_every: Annotated[int, typer.Option(help="steps between saved stages, 0: none")] = 0,
    direct_right: Annotated[
        float, typer.Option(help="share of bare answers that are right")
    ] = 0.35,
    reasoned_right: float = 0.85,
) -> None:
    """Pretrain the clinic's base model into OUT."""
    config = PretrainConfig(seed=seed, mixture_steps=steps, exercise_steps=exercise_steps)
    habits = AnswerHabits(direct_right=direct_right, reasoned_right=reasoned_right)
    print(json.dumps(pretrain(out, config, habits, device, save_every, start), indent=2))


if __name__ == "__main__":
    typer.run(main)
