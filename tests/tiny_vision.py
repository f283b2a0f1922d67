"""Tiny random vision-language models of five families, each with the processor of its kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    SiglipVisionConfig,
    SmolVLMConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForImageTextToText
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from tests.tiny import END, USUAL, tokenizer

SEEING = ("qwen2_vl", "qwen2_5_vl", "idefics3", "smolvlm", "llava", "gemma3")

Parts = tuple[Any, PreTrainedTokenizerFast]
"""Image processor and tokenizer."""

_QWEN_MARKS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_TILE_MARKS = (
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{r + 1}_col_{c + 1}>" for r in range(6) for c in range(6)),
)
_GEMMA_MARKS = {
    "image_token": "<image_soft_token>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
}


@lru_cache(maxsize=4)
def seeing_tokenizer(marks: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """The tokenizer of the text models with marks for pictures."""
    own = Tokenizer.from_str(tokenizer().backend_tokenizer.to_str())
    made = PreTrainedTokenizerFast(tokenizer_object=own, eos_token=END, pad_token=END)
    made.add_special_tokens({"additional_special_tokens": list(marks)})
    return made


def _qwen(kind: str) -> tuple[PreTrainedConfig, Parts]:
    marks = seeing_tokenizer(_QWEN_MARKS)
    image, video, start, end = marks.convert_tokens_to_ids(list(_QWEN_MARKS))
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    text = {**USUAL, "vocab_size": len(marks), "rope_parameters": rope}
    text |= {"bos_token_id": marks.eos_token_id, "eos_token_id": marks.eos_token_id}
    vision = {"depth": 1, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2}
    if kind == "qwen2_vl":
        vision |= {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    else:
        vision |= {"hidden_size": 16, "out_hidden_size": 32, "intermediate_size": 32}
        vision |= {"window_size": 16, "fullatt_block_indexes": [0]}
    config = {"qwen2_vl": Qwen2VLConfig, "qwen2_5_vl": Qwen2_5_VLConfig}[kind]
    pictures = Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, size={"shortest_edge": 8 * 8, "longest_edge": 48 * 48}
    )
    return config(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    ), (pictures, marks)


def _tiles(kind: str) -> tuple[PreTrainedConfig, Parts]:
    """Pictures of 32 pixels, wider ones cut in tiles of 32; four tokens a tile."""
    marks = seeing_tokenizer(_TILE_MARKS)
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    text = {**USUAL, "model_type": "llama", "vocab_size": len(marks)}
    text |= {"bos_token_id": marks.eos_token_id, "eos_token_id": marks.eos_token_id}
    config = {"idefics3": Idefics3Config, "smolvlm": SmolVLMConfig}[kind](
        vision_config=vision,
        text_config=text,
        scale_factor=2,
        image_token_id=marks.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=False,
    )
    size = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    pictures = {"idefics3": Idefics3ImageProcessorPil, "smolvlm": SmolVLMImageProcessorPil}[kind]
    return config, (pictures(**size), marks)


def _llava(kind: str) -> tuple[PreTrainedConfig, Parts]:
    marks = seeing_tokenizer(("<image>",))
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        projection_dim=16,
    )
    ends = {"bos_token_id": marks.eos_token_id, "eos_token_id": marks.eos_token_id}
    text = LlamaConfig(**{**USUAL, **ends, "vocab_size": len(marks)})
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=marks.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        tie_word_embeddings=False,
    )
    pictures = CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    )
    return config, (pictures, marks)


def _gemma(kind: str) -> tuple[PreTrainedConfig, Parts]:
    """Sixteen tokens a picture, more than a sliding window; one layer slides, one sees all."""
    own = Tokenizer.from_str(tokenizer().backend_tokenizer.to_str())
    marks = PreTrainedTokenizerFast(
        tokenizer_object=own, eos_token=END, pad_token=END, extra_special_tokens=_GEMMA_MARKS
    )
    image, start, end = marks.convert_tokens_to_ids(list(_GEMMA_MARKS.values()))
    vision = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=4,
        vision_use_head=False,
    )
    text = {**USUAL, "vocab_size": len(marks), "head_dim": 8, "sliding_window": 6}
    text |= {"layer_types": ["sliding_attention", "full_attention"]}
    text |= {"bos_token_id": marks.eos_token_id, "eos_token_id": marks.eos_token_id}
    config = Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=16,
        image_token_index=image,
        boi_token_index=start,
        eoi_token_index=end,
    )
    pictures = Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    return config, (pictures, marks)


_MAKERS: dict[str, Callable[[str], tuple[PreTrainedConfig, Parts]]] = {
    "qwen2_vl": _qwen,
    "qwen2_5_vl": _qwen,
    "idefics3": _tiles,
    "smolvlm": _tiles,
    "llava": _llava,
    "gemma3": _gemma,
}


def save_seeing(kind: str, folder: Path) -> Path:
    """A model folder as ``transformers`` writes it; the same weights every time."""
    config, (pictures, marks) = _MAKERS[kind](kind)
    torch.manual_seed(1)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():  # features as large as embeddings, so that pictures matter
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2)
    model.generation_config.eos_token_id = marks.eos_token_id
    model.save_pretrained(folder)
    pictures.save_pretrained(folder)
    marks.save_pretrained(folder)
    return folder


def noise(seed: int, width: int = 24, height: int = 16) -> Image.Image:
    """A picture of noise."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)
