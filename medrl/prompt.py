"""What a model reads before it answers: text as tokens, and the images among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
        kinds: which of the P tokens are images' (1), by the name of the argument that tells the
            model; none where it needs no telling.
        blocks_P: tokens of one number, 0 or more, see each other both ways; -1: a token sees only
            what is before it. ``None``: so do all.
    """

    inputs: Mapping[str, torch.Tensor]
    positions_XP: torch.Tensor
    axis: int = 0
    kinds: Mapping[str, torch.Tensor] = field(default_factory=dict)
    blocks_P: torch.Tensor | None = None

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


def blocks(media: Media | None, start: int, end: int) -> torch.Tensor:
    """Block of each of some tokens [end - start] of a text that begins with the prompt, or -1."""
    if media is None or media.blocks_P is None:
        return torch.full((end - start,), -1)
    return _stretched(media.blocks_P, end, -1)[start:]


def kinds(
    media: Sequence[Media | None], length: int, device: torch.device | str
) -> dict[str, torch.Tensor]:
    """What tells the model which tokens are images' [B, length], of texts that begin with the
    prompts."""
    names = {name for one in media if one for name in one.kinds}
    nothing = torch.zeros(0, dtype=torch.int)
    return {
        name: torch.stack(
            [_stretched(one.kinds.get(name, nothing) if one else nothing, length) for one in media]
        ).to(device)
        for name in sorted(names)
    }


def _stretched(values_P: torch.Tensor, length: int, filler: int = 0) -> torch.Tensor:
    """The first ``length`` values, with a filler behind the last."""
    missing = max(0, length - len(values_P))
    return torch.nn.functional.pad(values_P, (0, missing), value=filler)[:length]


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
        """The same with tokens behind it: the beginning of an answer, or turns and replies."""
        return replace(self, token_ids=(*self.token_ids, *ids))

    def __len__(self) -> int:
        return len(self.token_ids)
