"""What must be known of a family of vision-language models beyond what ``transformers`` tells.

A model's own image processor turns pictures into tensors that nobody here looks into. A family says
what stands for a picture in a text and in its tokens, along which axis tensors of several prompts
are joined, and which positions tokens have.

The processors of ``transformers`` that take text too are not used: those of Qwen2-VL and SmolVLM
load their video half first, which needs torchvision. What they write is the oracle of our tests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from medrl.errors import ModelError

Inputs = Mapping[str, torch.Tensor]


class Family(ABC):
    """A family of vision-language models.

    Attributes:
        axis: along which the inputs of several prompts are joined.
        asked: what its image processor is asked for besides tensors.
        told: of what it gives, what the model does not take.
        kinds: argument by which the model is told which tokens are images', if it must be.
        two_way: tokens of one image see each other, not only those before them.
    """

    axis: int = 0
    asked: Mapping[str, Any] = MappingProxyType({})
    told: tuple[str, ...] = ()
    kinds: str | None = None
    two_way: bool = False

    def sign(self, mark: str) -> str:
        """What is spelt out for each picture, given the token that image features replace."""
        return mark

    def frame(self, mark: str) -> str:
        """What stands for one picture in a text: its sign and what is around it."""
        return self.sign(mark)

    @abstractmethod
    def spell(self, config: PreTrainedConfig, mark: str, found: Mapping[str, Any]) -> list[str]:
        """What the sign of each picture becomes, with as many marks as it has features.

        Args:
            found: what the image processor made of the pictures.
        """

    def positions(
        self, model: PreTrainedModel, ids_P: torch.Tensor, inputs: Inputs
    ) -> torch.Tensor:
        """Position ids [X, P] of a prompt's tokens; here they are simply counted, X = 1."""
        return torch.arange(len(ids_P))[None]


class Qwen2VL(Family):
    """Qwen2-VL and Qwen2.5-VL: pictures of any shape; positions in time, row and column."""

    kinds = "mm_token_type_ids"

    def frame(self, mark: str) -> str:
        """Between tokens that say where a picture begins and ends."""
        return f"<|vision_start|>{mark}<|vision_end|>"

    def spell(self, config: PreTrainedConfig, mark: str, found: Mapping[str, Any]) -> list[str]:
        """A square of ``spatial_merge_size`` patches a side makes a feature."""
        side = int(config.vision_config.spatial_merge_size)
        return [
            mark * (patches // side**2) for patches in found["image_grid_thw"].prod(-1).tolist()
        ]

    def positions(
        self, model: PreTrainedModel, ids_P: torch.Tensor, inputs: Inputs
    ) -> torch.Tensor:
        """The model's own three axes."""
        if not inputs:
            return torch.arange(len(ids_P)).expand(3, -1)
        seen_1P = (ids_P == model.config.image_token_id).int()[None]
        trunk: Any = model.base_model
        found_X1P, _ = trunk.get_rope_index(
            ids_P[None], mm_token_type_ids=seen_1P, image_grid_thw=inputs["image_grid_thw"]
        )
        positions_XP: torch.Tensor = found_X1P[:, 0]
        return positions_XP


class Idefics3(Family):
    """Idefics3 and SmolVLM: a picture is cut into tiles of one size, the whole stands behind."""

    axis = 1  # tensors are [1, tiles, ...]
    asked = MappingProxyType({"return_row_col_info": True})
    told = ("rows", "cols")

    def spell(self, config: PreTrainedConfig, mark: str, found: Mapping[str, Any]) -> list[str]:
        """Each tile with its place; ``scale_factor`` squared patches make a feature."""
        height, width = found["pixel_values"].shape[-2:]
        patch = int(config.vision_config.patch_size)
        tile = mark * ((height // patch) * (width // patch) // int(config.scale_factor) ** 2)
        edge = "<fake_token_around_image>"
        texts = []
        for rows, columns in zip(found["rows"][0], found["cols"][0], strict=True):
            lines = [
                "".join(f"{edge}<row_{r + 1}_col_{c + 1}>{tile}" for c in range(columns)) + "\n"
                for r in range(rows)
            ]
            whole = f"{edge}<global-img>{tile}{edge}"
            texts.append("".join(lines) + "\n" * bool(lines) + whole)
        return texts


class Llava(Family):
    """LLaVA 1.5: every picture is brought to one square, every patch of it is a feature."""

    def spell(self, config: PreTrainedConfig, mark: str, found: Mapping[str, Any]) -> list[str]:
        """One per patch; ``full`` keeps the encoder's class token, ``default`` drops it."""
        pictures, _, height, width = found["pixel_values"].shape
        patch = int(config.vision_config.patch_size)
        own = int(config.vision_feature_select_strategy == "full")
        return [mark * ((height // patch) * (width // patch) + own)] * pictures


class Gemma3(Family):
    """Gemma 3 and MedGemma: one square, always as many tokens, which see each other both ways."""

    asked = MappingProxyType({"do_pan_and_scan": False})  # as its processor decides
    told = ("num_crops",)
    kinds = "token_type_ids"
    two_way = True

    def sign(self, mark: str) -> str:
        """Chat templates write the token that begins an image."""
        return "<start_of_image>"

    def spell(self, config: PreTrainedConfig, mark: str, found: Mapping[str, Any]) -> list[str]:
        """On lines of its own."""
        image = f"\n\n<start_of_image>{mark * int(config.mm_tokens_per_image)}<end_of_image>\n\n"
        return [image] * len(found["pixel_values"])


FAMILIES: dict[str, Family] = {
    "qwen2_vl": Qwen2VL(),
    "qwen2_5_vl": Qwen2VL(),
    "idefics3": Idefics3(),
    "smolvlm": Idefics3(),
    "llava": Llava(),
    "gemma3": Gemma3(),
}
"""By ``model_type`` of the model's configuration."""


def family_of(config: PreTrainedConfig) -> Family:
    """The family of a model that sees.

    Raises:
        ModelError: none that we know.
    """
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"vision-language models of type {config.model_type!r} are not known",
            f"use one of {', '.join(FAMILIES)}, or add its family in medrl/vision/families.py",
        )
    return FAMILIES[config.model_type]
