"""Make the clinic's base text model: tokenizer, corpus, pretraining, probes.

``python -m medrl.clinic.pretrain FOLDER`` repeats what made the shipped model. Exercises
come first and alone, the mixture after: naming the letter under which a text stands is a late,
sudden skill that a model does not find when exercises are only a part of the mixture.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medrl.cases.case import LETTERS
from medrl.clinic.knowledge import Knowledge, clinic
from medrl.clinic.making import (
    build_optimizer,
    descend,
    learn_tokenizer,
    load_start,
    prepare_lookup,
    progress_bar,
    rate,
    save,
    write_passes,
)
from medrl.clinic.textbook import AnswerHabits, Library
from medrl.run import describe_machine


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
    """The tokenizer, learned on the pretraining text itself."""
    source = Library(knowledge, config.seed + 1).documents(config.mixture)
    texts = (next(source) for _ in range(30_000))
    return learn_tokenizer(texts, config.vocabulary, config.context)


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
    prepare_lookup(model.model, [ids[0] for ids in letter_ids], config.rope_theta)
    return model


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
        tokenizer, model, earlier = load_start(start, LlamaForCausalLM)
    torch.nn.Module.to(model, device)
    optimizer = build_optimizer(model, config.learning_rate, config.weight_decay)
    total = config.exercise_steps + config.mixture_steps
    bracket = tokenizer(" (", add_special_tokens=False)["input_ids"][-1]
    digest, started = hashlib.sha256(), time.monotonic()
    library = Library(knowledge, config.seed, habits)
    with progress_bar() as progress:
        task = progress.add_task("pretraining", total=total, note="")
        for step, (phase, rows) in enumerate(batches(library, tokenizer, config)):
            digest.update(rows.numpy().tobytes())
            rows = rows.to(device)
            logits = model(input_ids=rows[:, :-1]).logits
            loss = text_loss(logits, rows) + config.letter_weight[phase] * letter_loss(
                logits, rows, bracket
            )
            descend(optimizer, loss, rate(step, total, config.learning_rate, config.warmup_steps))
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
    write_passes(out, [*earlier, record])
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
