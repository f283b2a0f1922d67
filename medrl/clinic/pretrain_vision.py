"""Make the clinic's base vision-language model: tokenizer, lessons about phantoms, training.

``python -m medrl.clinic.pretrain_vision FOLDER`` repeats what made the shipped model: a Qwen2-VL of
a few million parameters. Lessons without pictures come first and alone, since naming the letter of
an option is a late, sudden skill; then whole reports, which tell the most of a picture by the word;
then everything.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from medrl.attention import install
from medrl.cases.case import LETTERS
from medrl.clinic.making import (
    END,
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
from medrl.clinic.phantoms.pretraining import SHARES, Lesson, LessonHabits, Lessons
from medrl.learning.groups import Origin
from medrl.learning.layout import Member, lay_out
from medrl.learning.logprobs import hidden_states, token_log_probs
from medrl.run import describe_machine
from medrl.vision.families import family_of
from medrl.vision.sight import Sight

IMAGE, VIDEO, START, STOP = "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
TEXT_LESSONS = {"letters": 0.8, "reading": 0.1, "rule": 0.1}
"""What comes first: lessons without pictures."""
REPORTS = {"report": 0.85, "letters": 0.15}
"""What comes next. Short answers alone taught a picture's content several times slower."""


@dataclass(frozen=True)
class VisionConfig:
    """Everything that determines the base model, all of it ours."""

    seed: int = 0
    vocabulary: int = 1536
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    intermediate: int = 512
    context: int = 1024
    rope_theta: float = 1000.0
    eye_width: int = 128
    eye_layers: int = 4
    eye_heads: int = 4
    patch: int = 8
    merge: int = 2
    most_pixels: int = 256 * 256
    lessons: int = 64
    text_steps: int = 200
    report_steps: int = 800
    steps: int = 1850
    letter_weight: tuple[float, float, float] = (0.5, 0.0, 0.1)
    learning_rate: float = 1.2e-3
    warmup_steps: int = 60
    weight_decay: float = 0.05


def framed(lesson: Lesson) -> tuple[str, str]:
    """Prompt and answer of a lesson, both as the exams write them."""
    if lesson.prompt.endswith("Assistant:"):
        return lesson.prompt, lesson.answer
    answer = lesson.answer if lesson.answer.startswith("<") else f" {lesson.answer}"
    return f"User: {lesson.prompt}\nAssistant:", answer


def build_tokenizer(habits: LessonHabits, config: VisionConfig) -> PreTrainedTokenizerFast:
    """The tokenizer, learned on the lessons themselves."""
    lessons = Lessons(config.seed + 1, habits).lessons(SHARES)
    texts = ("".join(framed(lesson)) for lesson in islice(lessons, 30_000))
    marks = (IMAGE, VIDEO, START, STOP)
    return learn_tokenizer(texts, config.vocabulary, config.context, marks)


def build_model(
    tokenizer: PreTrainedTokenizerFast, config: VisionConfig
) -> Qwen2VLForConditionalGeneration:
    """A small Qwen2-VL from its config, weights drawn anew, its text half set up to look up."""
    torch.manual_seed(config.seed)
    known = tokenizer.get_vocab()
    half = config.hidden // config.heads // 2
    axes = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]  # time, row, column
    model = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            text_config={
                "vocab_size": len(tokenizer),
                "hidden_size": config.hidden,
                "intermediate_size": config.intermediate,
                "num_hidden_layers": config.layers,
                "num_attention_heads": config.heads,
                "num_key_value_heads": config.heads,
                "max_position_embeddings": config.context,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": config.rope_theta,
                    "mrope_section": axes,
                },
                "tie_word_embeddings": True,
                "bos_token_id": tokenizer.eos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            },
            vision_config={
                "depth": config.eye_layers,
                "embed_dim": config.eye_width,
                "hidden_size": config.hidden,
                "num_heads": config.eye_heads,
                "mlp_ratio": 4,
                "patch_size": config.patch,
                "spatial_merge_size": config.merge,
                "temporal_patch_size": 1,
            },
            tie_word_embeddings=True,
            image_token_id=known[IMAGE],
            video_token_id=known[VIDEO],
            vision_start_token_id=known[START],
            vision_end_token_id=known[STOP],
        )
    )
    letters = tokenizer(list(LETTERS[:5]), add_special_tokens=False)["input_ids"]
    prepare_lookup(model.model.language_model, [ids[0] for ids in letters], config.rope_theta)
    return model


def build_processor(config: VisionConfig) -> Qwen2VLImageProcessorPil:
    """The image processor: pictures keep their size up to ``most_pixels``."""
    side = config.patch * config.merge
    return Qwen2VLImageProcessorPil(
        patch_size=config.patch,
        merge_size=config.merge,
        temporal_patch_size=1,
        size={"shortest_edge": side**2, "longest_edge": config.most_pixels},
    )


def member(sight: Sight, lesson: Lesson, number: int) -> Member:
    """A lesson as tokens; only its answer is learned."""
    text, answer = framed(lesson)
    prompt = sight.read(text, [picture.open() for picture in lesson.pictures])
    ids = [*sight.tokenizer(answer, add_special_tokens=False)["input_ids"]]
    ids.append(sight.tokenizer.convert_tokens_to_ids(END))
    origins = [Origin.TEMPLATE] * len(prompt) + [Origin.POLICY] * len(ids)
    tokens = (*prompt.token_ids, *ids)
    return Member(tokens, origins, (), number, len(prompt), prompt.media)


def batches(habits: LessonHabits, config: VisionConfig) -> Iterator[tuple[float, list[Lesson]]]:
    """Weight of letters and lessons of every step: text alone, then reports, then everything."""
    lessons = Lessons(config.seed, habits)
    phases = (
        (config.text_steps, TEXT_LESSONS),
        (config.report_steps, REPORTS),
        (config.steps, SHARES),
    )
    for weight, (steps, shares) in zip(config.letter_weight, phases, strict=True):
        source = lessons.lessons(shares)
        for _ in range(steps):
            yield weight, list(islice(source, config.lessons))


def lesson_loss(
    model: Qwen2VLForConditionalGeneration,
    members: Sequence[Member],
    bracket: int,
    letter_weight: float,
) -> torch.Tensor:
    """Mean loss over the tokens of all answers and, weighted, over option letters behind an opening
    bracket, nats: these few bind a letter to its text, and drown in the mean over all tokens."""
    layout = lay_out(members, "packed", 0, model.device)
    hidden_ND = hidden_states(model, layout)
    loss_N = -token_log_probs(model, hidden_ND, layout.targets_N, 1.0)
    letter_N = layout.tokens_RS.flatten()[layout.predicting_N] == bracket
    letters = loss_N[letter_N].mean() if letter_N.any() else loss_N.new_zeros(())
    return loss_N.mean() + letter_weight * letters


def pretrain(
    out: Path,
    config: VisionConfig,
    habits: LessonHabits,
    device: str = "cpu",
    start: Path | None = None,
) -> dict[str, Any]:
    """Train a base model, or go on with the one in ``start``, and save it in half precision with
    the record of how it was made, pass by pass."""
    machine, digest, started = describe_machine(), hashlib.sha256(), time.monotonic()
    earlier: list[dict[str, Any]] = []
    if start is None:
        tokenizer = build_tokenizer(habits, config)
        model = build_model(tokenizer, config)
    else:
        tokenizer, model, earlier = load_start(start, Qwen2VLForConditionalGeneration)
    processor = build_processor(config)
    torch.nn.Module.to(model, device)
    install(model)
    sight = Sight(str(out), processor, tokenizer, family_of(model.config), model, IMAGE)
    optimizer = build_optimizer(model, config.learning_rate, config.weight_decay)
    bracket = tokenizer(" (", add_special_tokens=False)["input_ids"][-1]
    total, tokens = config.text_steps + config.report_steps + config.steps, 0
    with progress_bar() as progress:
        task = progress.add_task("pretraining", total=total, note="")
        for step, (letter_weight, lessons) in enumerate(batches(habits, config)):
            members = [member(sight, lesson, i) for i, lesson in enumerate(lessons)]
            for lesson, one in zip(lessons, members, strict=True):
                shown = [picture.fingerprint for picture in lesson.pictures]
                digest.update(repr((shown, one.token_ids)).encode())
                tokens += one.length
            loss = lesson_loss(model, members, bracket, letter_weight)
            descend(optimizer, loss, rate(step, total, config.learning_rate, config.warmup_steps))
            if step % 50 == 0:
                note = f"loss {loss.item():.3f}"
                progress.update(task, note=note)
                print(f"step {step} {note} {time.monotonic() - started:.0f} s", flush=True)
            progress.advance(task)
    record = {
        "config": asdict(config),
        "habits": asdict(habits),
        "data_sha256": digest.hexdigest(),
        "tokens": tokens,
        "parameters": model.num_parameters(),
        "seconds": round(time.monotonic() - started),
        "machine": machine,
    }
    save(out, model, tokenizer)
    processor.save_pretrained(out)
    write_passes(out, [*earlier, record])
    return record


def main(
    out: Path,
    steps: Annotated[int, typer.Option(help="steps on everything")] = VisionConfig.steps,
    report_steps: int = VisionConfig.report_steps,
    text_steps: int = VisionConfig.text_steps,
    seed: int = 0,
    device: str = "cpu",
    start: Annotated[Path | None, typer.Option(help="go on from this model")] = None,
) -> None:
    """Pretrain the clinic's base vision-language model into OUT."""
    config = VisionConfig(seed=seed, steps=steps, report_steps=report_steps, text_steps=text_steps)
    print(json.dumps(pretrain(out, config, LessonHabits(), device, start), indent=2))


if __name__ == "__main__":
    typer.run(main)
