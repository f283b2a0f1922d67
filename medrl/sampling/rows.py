"""Answers that are being written: rows that draw, record, and leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from medrl.attention import DecodeCache, forward
from medrl.model import causal_lm, head_logits
from medrl.sampling.drawing import draw
from medrl.sampling.sampler import Completion, SamplingParams, StopReason

COMPACT_BELOW = 0.85
"""Ended rows are thrown out when no more than this share of the rows is still being written:
each throwing-out copies the keys of those that stay."""


class Rows:
    """R rows, being written (live) or ended and not thrown out yet.

    The state holds of each row its logits [R, V], random numbers, tokens, log-probs and entropies
    [R, T], how many tokens there are and how many of its own the cache had when it ended [R], and
    whether it is live [R].

    Attributes:
        numbers: whose answer each row is.
        leaving: is given ended rows before they are thrown out: their numbers, and a cache of them
            that has all tokens but the last.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        stop_ids: torch.Tensor,
        decode: Callable[[Sequence[int]], str] | None,
        params: SamplingParams,
        leaving: Callable[[list[int], DecodeCache], None] | None = None,
    ) -> None:
        self.model, self.device = model, model.device
        self.trunk = causal_lm(model).base_model
        self.stop_ids = stop_ids.to(self.device)
        self.decode, self.params, self.leaving = decode, params, leaving
        self.numbers: list[int] = []
        self.state: dict[str, torch.Tensor] = {}
        self.cache: DecodeCache

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def live(self) -> int:
        """How many are still being written."""
        return int(self.state["live"].sum()) if self.numbers else 0

    def logits(self, hidden_RD: torch.Tensor) -> torch.Tensor:
        """Logits [R, V] of what follows last hidden states."""
        return head_logits(self.model, hidden_RD)

    def add(
        self,
        numbers: Sequence[int],
        cache: DecodeCache,
        logits_RV: torch.Tensor,
        uniform_RT: torch.Tensor,
    ) -> None:
        """Let rows begin an answer.

        Args:
            cache: of these rows; it is taken over.
            logits_RV: of the first token of each.
            uniform_RT: in [0, 1), one for each token an answer may have.
        """
        count, limit = len(numbers), self.params.max_new_tokens
        nothing_R = torch.zeros(count, dtype=torch.long, device=self.device)
        fresh = {
            "logits": logits_RV,
            "uniform": uniform_RT,
            "count": nothing_R,
            "fed": nothing_R,
            "live": torch.ones_like(nothing_R, dtype=torch.bool),
            "tokens": nothing_R.new_zeros((count, limit)),
            "log_probs": logits_RV.new_zeros((count, limit), dtype=torch.float32),
            "entropies": logits_RV.new_zeros((count, limit), dtype=torch.float32),
        }
        if self.numbers:
            self.cache.join(cache)
            fresh = {name: torch.cat([self.state[name], new]) for name, new in fresh.items()}
        else:
            self.cache = cache
        self.state, self.numbers = fresh, [*self.numbers, *numbers]

    def step(self) -> dict[int, Completion]:
        """Draw a token for every row, feed those that go on; what has ended, by number."""
        state = self.state
        row_R = torch.arange(len(self.numbers), device=self.device)
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
        done: dict[int, Completion] = {}
        if ended_R.any():
            done = self._completions(ended_R, at_end_R, in_text_R)
            state["live"] &= ~ended_R
            state["fed"] = torch.where(ended_R, self.cache.written_R, state["fed"])
            live = state["live"].nonzero().squeeze(1)
            if len(live) <= COMPACT_BELOW * len(self.numbers):
                tokens_R = tokens_R[live]
                self.throw_out()
        if self.numbers:
            self.cache.begin()
            positions_R = self.cache.positions_R
            hidden_1RD = forward(self.trunk, tokens_R[None], positions_R[None], self.cache)
            self.cache.advance()
            self.state["logits"] = self.logits(hidden_1RD[0])
        return done

    def throw_out(self) -> None:
        """Forget the rows that have ended."""
        live_R = self.state["live"]
        ended = (~live_R).nonzero().squeeze(1)
        if not len(ended):
            return
        if self.leaving is not None:
            numbers = [self.numbers[i] for i in ended.tolist()]
            self.leaving(numbers, self.cache.split(ended, self.state["fed"][ended]))
        live = live_R.nonzero().squeeze(1)
        self.numbers = [self.numbers[i] for i in live.tolist()]
        self.state = {name: x[live] for name, x in self.state.items()}
        if self.numbers:
            self.cache.keep(live)

    def _completions(
        self, ended_R: torch.Tensor, at_end_R: torch.Tensor, in_text_R: torch.Tensor
    ) -> dict[int, Completion]:
        ended = ended_R.nonzero().squeeze(1)
        columns = ("count", "tokens", "log_probs", "entropies")
        counts, tokens, log_probs, entropies = (self.state[c][ended].tolist() for c in columns)
        ends, texts = at_end_R[ended].tolist(), in_text_R[ended].tolist()
        found = {}
        for i, row in enumerate(ended.tolist()):
            cut = StopReason.TEXT if texts[i] else StopReason.LENGTH
            n = counts[i]
            found[self.numbers[row]] = Completion(
                tuple(tokens[i][:n]),
                tuple(log_probs[i][:n]),
                tuple(entropies[i][:n]),
                StopReason.END if ends[i] else cut,
            )
        return found

    def _stop_strings(self) -> torch.Tensor:
        """Which rows [R] have just written one of the stop strings."""
        assert self.decode is not None
        longest = max(len(text.encode()) for text in self.params.stop)
        found = []
        for tokens, count in zip(
            self.state["tokens"].tolist(), self.state["count"].tolist(), strict=True
        ):
            tail = self.decode(tokens[max(0, count - longest - 1) : count])
            found.append(any(text in tail for text in self.params.stop))
        return torch.tensor(found, device=self.device)
