"""What a model reads before it answers: text as tokens, and the images among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """The images of a prompt, as the model's own processor made them.

    Attributes:
        inputs: tensors by the name of the model's argument (``pixel_values``, ...); none for a
            prompt without images.
        positions_XP: position ids of the P tokens of the prompt on X axes; what follows the prompt
            goes on from their largest, the same on every axis.
        axis: along which the inputs of several prompts are joined.
    """

    inputs: Mapping[str, torch.Tensor]
    positions_XP: torch.Tensor
    axis: int = 0

    @property
    def next_position(self) -> int:
        """Position of the first token behind the prompt."""
        return int(self.positions_XP.max()) + 1

    def positions(self, start: int, end: int) -> torch.Tensor:
        """Position ids [X, end - start] of some tokens of a text that begins with the prompt."""
        axes, length = self.positions_XP.shape
        after = torch.arange(max(0, end - length)) + self.next_position
        return torch.cat([self.positions_XP, after.expand(axes, -1)], 1)[:, start:end]


def positions(media: Media | None, start: int, end: int) -> torch.Tensor:
    """Position ids [X, end - start]; X is 1 without media."""
    return torch.arange(start, end)[None] if media is None else media.positions(start, end)


def join_media(
    media: Sequence[Media | None], device: torch.device | str
) -> dict[str, torch.Tensor]:
    """The inputs of several prompts, in the order in which their tokens stand."""
    found: dict[str, list[torch.Tensor]] = {}
    for one in media:
        for name, value in one.inputs.items() if one else ():
            found.setdefault(name, []).append(value)
    axis = next((one.axis for one in media if one), 0)
    return {name: torch.cat(values, axis).to(device) for name, values in found.items()}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text that is to be answered; equal where text, tokens and the very same images are.

    Attributes:
        text: what is asked, without images and the frame of a chat.
        token_ids: what the model reads, each image spelt out in its own tokens.
    """

    text: str
    token_ids: tuple[int, ...]
    media: Media | None = None

    def begun(self, ids: Sequence[int]) -> Prompt:
        """The same with the first tokens of an answer behind it."""
        return replace(self, token_ids=(*self.token_ids, *ids))

    def __len__(self) -> int:
        return len(self.token_ids)
