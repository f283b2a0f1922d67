"""The default sampler: plain PyTorch, the learner's own weights, nothing to synchronise.

Each prompt is read once, whatever the number of answers. All rows that are being written form one
row of tokens for the model, so prompts of different lengths cost no padding outside of attention.
Rows that have ended leave; when enough places are free, answers that waited take them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from medrl.attention import DecodeCache, forward, read_prompts
from medrl.model import causal_lm, head_logits
from medrl.prompt import Media
from medrl.sampling.drawing import draw
from medrl.sampling.sampler import Completion, SamplingParams, StopReason, TokenIds

COMPACT_BELOW = 0.85
"""Ended rows are thrown out when no more than this share of the rows is still being written:
each throwing-out copies the keys of those that stay."""
REFILL_BELOW = 0.5
"""Waiting answers move in when no more than this share of ``max_rows`` is taken."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """Which answer to which prompt a row writes."""

    prompt: int
    number: int


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
        return [
            [done[_Answer(p, n)] for n in range(answers_per_prompt)] for p in range(len(prompts))
        ]


class _Job:
    """One call of ``sample``.

    Shapes: R rows, being written (live) or ended and not thrown out yet. The state holds of each
    row its logits [R, V], random numbers, tokens, log-probs and entropies [R, T], how many there
    are [R] and whether it is live [R].
    """

    def __init__(
        self,
        sampler: TorchSampler,
        prompts: Sequence[TokenIds],
        media: Sequence[Media | None],
        answers: int,
        params: SamplingParams,
        uniform_NT: torch.Tensor,
    ) -> None:
        self.sampler, self.prompts, self.media = sampler, prompts, media
        self.params, self.answers, self.uniform_NT = params, answers, uniform_NT
        self.device = sampler.model.device
        self.stop_ids = sampler.stop_ids.to(self.device)
        self.trunk = causal_lm(sampler.model).base_model
        # Prompts of like length follow each other; the longest first, so that a lack of memory
        # shows at once.
        self.waiting = sorted(range(len(prompts)), key=lambda p: (-len(prompts[p]), p))
        self.answered = 0  # answers already begun of the prompt at the head of ``waiting``
        self.done: dict[_Answer, Completion] = {}
        self.rows: list[_Answer] = []
        self.state: dict[str, torch.Tensor] = {}
        self.cache: DecodeCache

    def run(self) -> dict[_Answer, Completion]:
        """Write everything."""
        while True:
            if self.waiting and len(self.rows) <= REFILL_BELOW * self.sampler.max_rows:
                self._refill()
            if not self.rows:
                return self.done
            self._step()

    def _refill(self) -> None:
        """Read waiting prompts and let their answers begin in the free places."""
        free = self.sampler.max_rows - len(self.rows)
        # As many answers of each prompt as there is room for; a prompt with more than max_rows
        # answers is read again for the rest.
        answers = min(self.answers - self.answered, free)
        count = 1 if self.answered or answers < self.answers else free // answers
        chosen = self.waiting[:count]
        fresh = [
            _Answer(p, n) for p in chosen for n in range(self.answered, self.answered + answers)
        ]
        self.answered += answers
        if self.answered == self.answers:
            self.waiting, self.answered = self.waiting[count:], 0

        cache, logits_PV = self._read(chosen, answers)
        index_R = torch.tensor(
            [a.prompt * self.answers + a.number for a in fresh], device=self.device
        )
        limit = self.params.max_new_tokens
        state = {
            "logits": logits_PV.repeat_interleave(answers, 0),
            "uniform": self.uniform_NT[index_R],
            "count": torch.zeros_like(index_R),
            "live": torch.ones_like(index_R, dtype=torch.bool),
            "tokens": index_R.new_zeros((len(fresh), limit)),
            "log_probs": logits_PV.new_zeros((len(fresh), limit), dtype=torch.float32),
            "entropies": logits_PV.new_zeros((len(fresh), limit), dtype=torch.float32),
        }
        if self.rows:
            self.cache.join(cache)
            state = {name: torch.cat([self.state[name], new]) for name, new in state.items()}
        else:
            self.cache = cache
        self.state, self.rows = state, self.rows + fresh

    def _read(self, chosen: Sequence[int], answers: int) -> tuple[DecodeCache, torch.Tensor]:
        """Prefill: (cache with ``answers`` rows per prompt, logits [P, V] of the first token)."""
        prompts = [self.prompts[p] for p in chosen]
        media = [self.media[p] for p in chosen]
        prefill, hidden_PD = read_prompts(self.trunk, prompts, media, self.device)
        return DecodeCache(prefill, answers), self._logits(hidden_PD)

    def _logits(self, hidden_RD: torch.Tensor) -> torch.Tensor:
        return head_logits(self.sampler.model, hidden_RD)

    def _step(self) -> None:
        """Draw a token for every row, record what has ended, feed the rest."""
        state = self.state
        row_R = torch.arange(len(self.rows), device=self.device)
        # An ended row goes on until it is thrown out; what it writes lands in its last place.
        place_R = state["count"].clamp(max=state["tokens"].shape[1] - 1)
        uniform_R = state["uniform"][row_R, place_R.clamp(max=state["uniform"].shape[1] - 1)]
        tokens_R, log_probs_R, entropies_R = draw(state["logits"], self.params, uniform_R)
        state["tokens"][row_R, place_R] = tokens_R
        state["log_probs"][row_R, place_R] = log_probs_R
        state["entropies"][row_R, place_R] = entropies_R
        state["count"] += 1

        at_end_R = torch.isin(tokens_R, self.stop_ids)
        in_text_R = self._stop_strings() if self.params.stop else torch.zeros_like(at_end_R)
        ended_R = at_end_R | in_text_R | (state["count"] >= self.params.max_new_tokens)
        ended_R &= state["live"]
        if ended_R.any():
            self._record(ended_R, at_end_R, in_text_R)
            state["live"] &= ~ended_R
            live = state["live"].nonzero().squeeze(1)
            if len(live) <= COMPACT_BELOW * len(self.rows):
                tokens_R = tokens_R[live]
                self._throw_out_all_but(live)
        if self.rows:
            self.cache.begin()
            positions_R = self.cache.positions_R
            hidden_1RD = forward(self.trunk, tokens_R[None], positions_R[None], self.cache)
            self.cache.advance()
            self.state["logits"] = self._logits(hidden_1RD[0])

    def _record(
        self, ended_R: torch.Tensor, at_end_R: torch.Tensor, in_text_R: torch.Tensor
    ) -> None:
        """Turn rows that have ended into completions."""
        ended = ended_R.nonzero().squeeze(1)
        columns = ("count", "tokens", "log_probs", "entropies")
        counts, tokens, log_probs, entropies = (self.state[c][ended].tolist() for c in columns)
        ends, texts = at_end_R[ended].tolist(), in_text_R[ended].tolist()
        for i, row in enumerate(ended.tolist()):
            cut = StopReason.TEXT if texts[i] else StopReason.LENGTH
            n = counts[i]
            self.done[self.rows[row]] = Completion(
                tuple(tokens[i][:n]),
                tuple(log_probs[i][:n]),
                tuple(entropies[i][:n]),
                StopReason.END if ends[i] else cut,
            )

    def _throw_out_all_but(self, live: torch.Tensor) -> None:
        self.rows = [self.rows[i] for i in live.tolist()]
        self.state = {name: x[live] for name, x in self.state.items()}
        if self.rows:
            self.cache.keep(live)

    def _stop_strings(self) -> torch.Tensor:
        """Which rows [R] have just written one of the stop strings."""
        assert self.sampler.decode is not None
        longest = max(len(text.encode()) for text in self.params.stop)
        found = []
        for tokens, count in zip(
            self.state["tokens"].tolist(), self.state["count"].tolist(), strict=True
        ):
            tail = self.sampler.decode(tokens[max(0, count - longest - 1) : count])
            found.append(any(text in tail for text in self.params.stop))
        return torch.tensor(found, device=self.device)
