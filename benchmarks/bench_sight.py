"""The benchmarks' model with eyes: bench_model.py's decoder behind an image encoder of a family.

A picture is a square of ``side`` x ``side`` image tokens, 16 x 16 pixels each, and is a phantom of
the clinic. The encoder has as many layers as the decoder and two thirds of its width, as in the
clinic's own base model. What a family does with a picture:

- ``qwen2_vl``: four patches per image token, merged behind the encoder.
- ``idefics3``: the same, the picture being one tile.
- ``llava``: one patch per image token.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_model import ModelSize, text_config, word_tokenizer, write_stages
from transformers import (
    AutoModelForImageTextToText,
    Idefics3Config,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2VLConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.processing_llava import LlavaProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from medrl.clinic.phantoms.asking import Asker
from medrl.clinic.phantoms.phantom import MODALITIES, save

TOKEN_PIXELS = 16
"""Height and width of what one image token stands for."""
FRAME = {
    "qwen2_vl": ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"),
    "idefics3": ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    "llava": ("<image>",),
}
"""Marks of each family; the first stands for an image token."""
TEMPLATE = (
    "{% for m in messages %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}MARK{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)
"""Of a chat that is the question and nothing else, as medrl shows it without ``chat``."""


def save_seeing(
    folder: Path,
    family: str,
    size: ModelSize,
    side: int,
    mean_length: float | None,
    seed: int = 0,
) -> Path:
    """Write model, tokenizer and image processor, see :func:`bench_model.save_model`.

    Args:
        family: a key of ``FRAME``.
        side: image tokens along a side of a picture.
    """
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(size, FRAME[family])
    config, image_processor = _MAKERS[family](size, side, tokenizer)
    model = AutoModelForImageTextToText.from_config(config)
    write_stages(model, size, mean_length)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    for part in (model, tokenizer, image_processor):
        part.save_pretrained(folder)
    return folder


def _text(size: ModelSize, family: str, kind: str) -> dict[str, Any]:
    return text_config(size, len(FRAME[family])) | {"model_type": kind}


def _ids(tokenizer: PreTrainedTokenizerFast, family: str) -> list[int]:
    found = [tokenizer.convert_tokens_to_ids(mark) for mark in FRAME[family]]
    return [i for i in found if isinstance(i, int)]


def _eye(size: ModelSize) -> tuple[int, int]:
    """Width and heads of the encoder."""
    heads = max(1, size.hidden * 2 // 3 // 32)
    return 32 * heads, heads


def _square_eye(size: ModelSize, pixels: int) -> dict[str, Any]:
    """An encoder of pictures of one size, named as CLIP and its kin name it."""
    width, heads = _eye(size)
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": heads,
        "image_size": pixels,
    }


def _qwen2_vl(
    size: ModelSize, side: int, tokenizer: PreTrainedTokenizerFast
) -> tuple[PreTrainedConfig, Any]:
    image, start, end, video = _ids(tokenizer, "qwen2_vl")
    width, heads = _eye(size)
    patch, pixels = TOKEN_PIXELS // 2, (side * TOKEN_PIXELS) ** 2
    half = size.hidden // size.heads // 2
    axes = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]  # time, row, column
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": axes}
    config = Qwen2VLConfig(
        text_config=_text(size, "qwen2_vl", "qwen2_vl_text") | {"rope_parameters": rope},
        vision_config={
            "depth": size.layers,
            "embed_dim": width,
            "hidden_size": size.hidden,
            "num_heads": heads,
            "mlp_ratio": 4,
            "patch_size": patch,
            "spatial_merge_size": 2,
            "temporal_patch_size": 1,
        },
        tie_word_embeddings=False,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return config, Qwen2VLImageProcessorPil(
        patch_size=patch,
        merge_size=2,
        temporal_patch_size=1,
        size={"shortest_edge": pixels, "longest_edge": pixels},
    )


def _idefics3(
    size: ModelSize, side: int, tokenizer: PreTrainedTokenizerFast
) -> tuple[PreTrainedConfig, Any]:
    pixels = side * TOKEN_PIXELS
    config = Idefics3Config(
        text_config=_text(size, "idefics3", "llama"),
        vision_config=_square_eye(size, pixels) | {"patch_size": TOKEN_PIXELS // 2},
        scale_factor=2,
        image_token_id=_ids(tokenizer, "idefics3")[0],
        tie_word_embeddings=False,
    )
    edge = {"longest_edge": pixels}
    return config, Idefics3ImageProcessorPil(size=edge, max_image_size=edge)


def _llava(
    size: ModelSize, side: int, tokenizer: PreTrainedTokenizerFast
) -> tuple[PreTrainedConfig, Any]:
    pixels = side * TOKEN_PIXELS
    eye = _square_eye(size, pixels)
    eye |= {"model_type": "clip_vision_model", "patch_size": TOKEN_PIXELS}
    eye |= {"projection_dim": eye["hidden_size"]}
    eye["num_hidden_layers"] += 1  # the last but one is what is looked at
    config = LlavaConfig(
        text_config=_text(size, "llava", "llama"),
        vision_config=eye,
        image_token_index=_ids(tokenizer, "llava")[0],
        image_seq_length=side * side,
        tie_word_embeddings=False,
    )
    crop = {"height": pixels, "width": pixels}
    return config, CLIPImageProcessorPil(size={"shortest_edge": pixels}, crop_size=crop)


_Maker = Callable[[ModelSize, int, PreTrainedTokenizerFast], tuple[PreTrainedConfig, Any]]
_MAKERS: dict[str, _Maker] = {"qwen2_vl": _qwen2_vl, "idefics3": _idefics3, "llava": _llava}


class _WithoutVideo(Qwen2VLProcessor):
    """That of Qwen2-VL without its video half, which cannot be loaded without torchvision."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
        self.image_token, _, _, self.video_token = FRAME["qwen2_vl"]
        self.image_token_id, _, _, self.video_token_id = _ids(tokenizer, "qwen2_vl")
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


def official_processor(image_processor: Any, tokenizer: Any, config: PreTrainedConfig) -> Any:
    """The processor of pictures and text that ``transformers`` has for a model of these parts."""
    family = config.model_type
    if family == "qwen2_vl":
        mark = "<|vision_start|><|image_pad|><|vision_end|>"
        return _WithoutVideo(image_processor, tokenizer, TEMPLATE.replace("MARK", mark))
    template = TEMPLATE.replace("MARK", "<image>")
    eye = config.vision_config
    if family == "idefics3":
        tokens = (eye.image_size // eye.patch_size // config.scale_factor) ** 2
        return Idefics3Processor(
            image_processor, tokenizer, image_seq_len=tokens, chat_template=template
        )
    return LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=eye.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )


def draw_pictures(folder: Path, count: int, side: int, seed: int) -> list[Path]:
    """Files of phantoms, all kinds in turn, so large that they become ``side`` tokens a side."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, asker = random.Random(seed), Asker("train", pixels=side * TOKEN_PIXELS)
    looks = {name: list(modality.combinations()) for name, modality in MODALITIES.items()}
    paths = []
    for number in range(count):
        name = list(looks)[number % len(looks)]
        paths.append(folder / f"{number}.png")
        save(asker.draw(name, rng.choice(looks[name]), rng), paths[-1])
    return paths
