"""The default sampler: plain PyTorch, the learner's own weights, nothing to synchronise.

Each prompt is read once, whatever the number of answers. All rows that are being written form one
row of tokens for the model, so prompts of different lengths cost no padding outside of attention.
Rows that have ended leave; when enough places are free, answers that waited take them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from medrl.attention import DecodeCache, read_prompts
from medrl.prompt import Media
from medrl.sampling.rows import Rows
from medrl.sampling.sampler import Completion, SamplingParams, TokenIds

REFILL_BELOW = 0.5
"""Waiting answers move in when no more than this share of ``max_rows`` is taken."""


class TorchSampler:
    """Samples from a ``transformers`` causal language model.

    An answer depends on its own random numbers only: ``max_rows`` and the company it is written in
    change nothing but rounding.

    Args:
        model: the policy; its current weights are used at every call.
        stop_ids: token ids that end an answer.
        decode: text of token ids; needed for stop strings only.
        max_rows: most answers written at the same time.
    """

    exact = True

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        stop_ids: Sequence[int],
        decode: Callable[[Sequence[int]], str] | None = None,
        max_rows: int = 256,
    ) -> None:
        self.model, self.decode, self.max_rows = model, decode, max_rows
        self.stop_ids = torch.tensor(sorted(set(stop_ids)))

    def refresh(self) -> None:
        """Nothing to do: the weights are the learner's own."""

    @torch.inference_mode()
    def sample(
        self,
        prompts: Sequence[TokenIds],
        answers_per_prompt: int,
        params: SamplingParams,
        generator: torch.Generator,
        media: Sequence[Media | None] = (),
    ) -> list[list[Completion]]:
        """See :class:`medrl.sampling.sampler.Sampler`.

        Raises:
            ValueError: stop strings, but no ``decode`` to look for them with.
        """
        if params.stop and self.decode is None:
            raise ValueError("stop strings need the sampler's decode function")
        total = len(prompts) * answers_per_prompt
        if not total:
            return [[] for _ in prompts]
        was_training = self.model.training
        self.model.eval()
        uniform_NT = torch.rand(
            (total, params.max_new_tokens if params.temperature else 1),
            generator=generator,
            dtype=torch.float64,
            device=generator.device,
        ).to(self.model.device)
        images = media or [None] * len(prompts)
        job = _Job(self, prompts, images, answers_per_prompt, params, uniform_NT)
        done = job.run()
        self.model.train(was_training)
        numbers = range(answers_per_prompt)
        return [[done[p * len(numbers) + n] for n in numbers] for p in range(len(prompts))]


class _Job:
    """One call of ``sample``. Answer ``n`` to prompt ``p`` of G has the number ``p * G + n``."""

    def __init__(
        self,
        sampler: TorchSampler,
        prompts: Sequence[TokenIds],
        media: Sequence[Media | None],
        answers: int,
        params: SamplingParams,
        uniform_NT: torch.Tensor,
    ) -> None:
        self.prompts, self.media = prompts, media
        self.answers, self.max_rows, self.uniform_NT = answers, sampler.max_rows, uniform_NT
        self.rows = Rows(sampler.model, sampler.stop_ids, sampler.decode, params)
        # Prompts of like length follow each other; the longest first, so that a lack of memory
        # shows at once.
        self.waiting = sorted(range(len(prompts)), key=lambda p: (-len(prompts[p]), p))
        self.answered = 0  # answers already begun of the prompt at the head of ``waiting``

    def run(self) -> dict[int, Completion]:
        """Write everything."""
        done: dict[int, Completion] = {}
        while True:
            if self.waiting and len(self.rows) <= REFILL_BELOW * self.max_rows:
                self._refill()
            if not len(self.rows):
                return done
            done |= self.rows.step()

    def _refill(self) -> None:
        """Read waiting prompts and let their answers begin in the free places."""
        free = self.max_rows - len(self.rows)
        # As many answers of each prompt as there is room for; a prompt with more than max_rows
        # answers is read again for the rest.
        answers = min(self.answers - self.answered, free)
        count = 1 if self.answered or answers < self.answers else free // answers
        chosen = self.waiting[:count]
        fresh = [
            p * self.answers + n
            for p in chosen
            for n in range(self.answered, self.answered + answers)
        ]
        self.answered += answers
        if self.answered == self.answers:
            self.waiting, self.answered = self.waiting[count:], 0
        prompts, media = [self.prompts[p] for p in chosen], [self.media[p] for p in chosen]
        prefill, hidden_PD = read_prompts(self.rows.trunk, prompts, media, self.rows.device)
        logits_RV = self.rows.logits(hidden_PD).repeat_interleave(answers, 0)
        self.rows.add(fresh, DecodeCache(prefill, answers), logits_RV, self.uniform_NT[fresh])
