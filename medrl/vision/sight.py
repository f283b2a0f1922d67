"""The eyes of a policy: pictures and text in, a prompt as the model reads it out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.hub import cached_file

from medrl.errors import DataError, ModelError
from medrl.prompt import Media, Prompt
from medrl.vision.families import Family, family_of

PROCESSOR_FILES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)
"""What a model's folder may say of its processor."""


@dataclass(frozen=True)
class Sight:
    """How a vision-language model takes pictures.

    Attributes:
        home: folder or hub id the model came from.
        model: asked for its configuration and for positions of tokens; it is not run.
        mark: the token that image features replace.
    """

    home: str
    image_processor: Any
    tokenizer: PreTrainedTokenizerBase
    family: Family
    model: PreTrainedModel
    mark: str

    def read(
        self,
        text: str,
        pictures: Sequence[Image.Image],
        chat: bool = False,
        start_ids: Sequence[int] = (),
    ) -> Prompt:
        """A prompt of a text and the pictures in front of it.

        Args:
            chat: it is a user's message in the model's chat template, the answer due.
            start_ids: ids that must stand first; put there if they do not.

        Raises:
            DataError: the text holds the mark of a picture, or the tokenizer does not know it.
        """
        for mark in (self.mark, self.sign):
            if mark in text:
                raise DataError(
                    f"the question holds {mark!r}, the model's mark for a picture",
                    "take it out: pictures are put before the question",
                )
        shown = self._said(text, len(pictures)) if chat else self._shown(text, len(pictures))
        found: dict[str, Any] = {}
        if pictures:
            found = dict(
                self.image_processor(list(pictures), return_tensors="pt", **self.family.asked)
            )
            shown = self._spelt(shown, self.family.spell(self.model.config, self.mark, found))
        ids: list[int] = self.tokenizer(shown, add_special_tokens=False)["input_ids"]
        self._check(ids, shown.count(self.mark))
        if ids[: len(start_ids)] != list(start_ids):
            ids = [*start_ids, *ids]
        inputs = {name: value for name, value in found.items() if name not in self.family.told}
        return Prompt(text, tuple(ids), self._media(torch.tensor(ids), inputs))

    @property
    def sign(self) -> str:
        """What is spelt out for each picture."""
        return self.family.sign(self.mark)

    def _media(self, ids_P: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> Media:
        family = self.family
        seen_P = (ids_P == self.model.config.image_token_id).int()
        return Media(
            inputs,
            family.positions(self.model, ids_P, inputs),
            family.axis,
            {family.kinds: seen_P} if family.kinds else {},
            _runs(seen_P) if family.two_way else None,
        )

    def trial(self) -> Prompt:
        """A short prompt with a picture of noise, to compare ways of computing with."""
        noise = torch.randint(256, (64, 64, 3), generator=torch.Generator().manual_seed(0))
        return self.read("A", [Image.fromarray(noise.to(torch.uint8).numpy())])

    def save(self, folder: Path) -> None:
        """Write all that ``transformers`` needs to build the processor again, as it came."""
        self.tokenizer.save_pretrained(folder)
        for name in PROCESSOR_FILES:
            found = cached_file(self.home, name, _raise_exceptions_for_missing_entries=False)
            if found:
                shutil.copyfile(found, folder / name)

    def _shown(self, text: str, pictures: int) -> str:
        return self.family.frame(self.mark) * pictures + text

    def _said(self, text: str, pictures: int) -> str:
        content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": text}]
        said: Any = [{"role": "user", "content": content}]
        return str(
            self.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
        )

    def _spelt(self, shown: str, pictures: Sequence[str]) -> str:
        """The text with each sign written out.

        Raises:
            DataError: the chat template has left pictures out.
        """
        parts = shown.split(self.sign)
        if len(parts) != len(pictures) + 1:
            raise DataError(
                f"the chat template shows {len(parts) - 1} of {len(pictures)} pictures",
                "use model.chat: false, or a model whose chat template knows pictures",
            )
        return parts[0] + "".join(p + rest for p, rest in zip(pictures, parts[1:], strict=True))

    def _check(self, ids: Sequence[int], features: int) -> None:
        """There must be a token for every feature.

        Raises:
            DataError: there are others.
        """
        there = sum(i == self.model.config.image_token_id for i in ids)
        if there != features:
            raise DataError(
                f"the prompt has {there} image tokens, its pictures make {features} features",
                "tokenizer and model do not belong together: use the one saved with the model",
            )


def _runs(seen_P: torch.Tensor) -> torch.Tensor:
    """Number of the run of ones that each token belongs to, or -1."""
    begins_P = seen_P.diff(prepend=seen_P.new_zeros(1)) == 1
    return (begins_P.cumsum(0) - 1).masked_fill(seen_P == 0, -1)


def load_sight(path: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Sight:
    """The image processor saved with a vision-language model.

    Raises:
        ModelError: there is none, or the model's family is not known.
    """
    family = family_of(model.config)
    try:
        # Pillow's way of resizing: pictures then do not depend on whether torchvision is there.
        processor = AutoImageProcessor.from_pretrained(path, backend="pil")
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ModelError(
            f"{path}: the image processor cannot be loaded: {str(error).splitlines()[0]}",
            "save it beside the model: processor.save_pretrained(folder)",
        ) from error
    mark = tokenizer.convert_ids_to_tokens(model.config.image_token_id)
    return Sight(path, processor, tokenizer, family, model, str(mark))
