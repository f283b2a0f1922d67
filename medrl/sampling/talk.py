"""Conversations with a policy: its turns, and between them tokens that others write.

Keys and values of a conversation are kept while somebody else is to speak: when the reply is
there, only the reply is read. Replies are read many at a time, when enough of them have come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from medrl.attention import DecodeCache, Extension, forward, read_prompts
from medrl.prompt import Prompt
from medrl.run.seeding import generator
from medrl.sampling.rows import Rows
from medrl.sampling.sampler import Completion, Sampler, SamplingParams, sample
from medrl.sampling.torch_sampler import TorchSampler

READ_BELOW = 0.5
"""Replies are read when no more than this share of the rows that could write is writing."""
READ_TOKENS = 4096
"""Tokens of replies that are read in one pass, unless a single one has more."""


class Talk(Protocol):
    """Conversations that go on at the same time. Number ``p * G + n`` is the n-th of prompt p."""

    @property
    def idle(self) -> bool:
        """Whether nothing can be written until a reply comes."""
        ...

    def step(self) -> Mapping[int, Completion]:
        """Write on; the turns that have ended, by number."""
        ...

    def reply(self, number: int, ids: Sequence[int]) -> None:
        """Let a conversation whose turn has ended read these tokens and take its next turn."""
        ...

    def close(self, number: int) -> None:
        """Forget a conversation whose turn has ended."""
        ...


def start_talk(
    sampler: Sampler,
    prompts: Sequence[Prompt],
    answers_per_prompt: int,
    params: SamplingParams,
    seed: int,
) -> Talk:
    """Begin ``answers_per_prompt`` conversations with each prompt; the policy has the first turn.

    The same weights, arguments and replies give the same turns, whenever the replies come, but for
    rounding: each turn has its own random numbers.

    Args:
        params: of each turn.
    """
    if isinstance(sampler, TorchSampler):
        return KeptTalk(sampler, prompts, answers_per_prompt, params, seed)
    return RereadTalk(sampler, prompts, answers_per_prompt, params, seed)


class RereadTalk:
    """For any sampler: every turn reads its conversation again from the beginning."""

    def __init__(
        self,
        sampler: Sampler,
        prompts: Sequence[Prompt],
        answers_per_prompt: int,
        params: SamplingParams,
        seed: int,
    ) -> None:
        self.sampler, self.params, self.seed, self.waves = sampler, params, seed, 0
        self.said = [prompt for prompt in prompts for _ in range(answers_per_prompt)]
        self.ready = list(range(len(self.said)))

    @property
    def idle(self) -> bool:
        """See :class:`Talk`."""
        return not self.ready

    def step(self) -> dict[int, Completion]:
        """See :class:`Talk`."""
        if not self.ready:
            return {}
        asked, self.ready = sorted(self.ready), []
        drawn = generator(self.seed, "wave", self.waves)
        self.waves += 1
        told = sample(self.sampler, [self.said[n] for n in asked], 1, self.params, drawn)
        done = {number: turn for number, [turn] in zip(asked, told, strict=True)}
        for number, turn in done.items():
            self.said[number] = self.said[number].begun(turn.token_ids)
        return done

    def reply(self, number: int, ids: Sequence[int]) -> None:
        """See :class:`Talk`."""
        self.said[number] = self.said[number].begun(ids)
        self.ready.append(number)

    def close(self, number: int) -> None:
        """See :class:`Talk`."""


class KeptTalk:
    """For our own sampler: keys and values of a conversation stay."""

    def __init__(
        self,
        sampler: TorchSampler,
        prompts: Sequence[Prompt],
        answers_per_prompt: int,
        params: SamplingParams,
        seed: int,
    ) -> None:
        self.prompts, self.answers = prompts, answers_per_prompt
        self.params, self.seed = params, seed
        self.model, self.max_rows = sampler.model, max(sampler.max_rows, answers_per_prompt)
        self.rows = Rows(sampler.model, sampler.stop_ids, sampler.decode, params, self._park)
        self.unopened = list(range(len(prompts)))
        self.open: set[int] = set()
        self.turns: dict[int, int] = {}
        self.last: dict[int, int] = {}
        """The token that ended a turn: drawn, and not read yet."""
        self.replies: dict[int, Sequence[int]] = {}
        self.parked: list[int] = []
        self.cache: DecodeCache
        """Of the parked, whose turns have ended."""

    @property
    def idle(self) -> bool:
        """See :class:`Talk`."""
        return not (len(self.rows) or self.replies or self._places())

    @torch.inference_mode()
    def step(self) -> dict[int, Completion]:
        """See :class:`Talk`."""
        was_training = self.model.training
        self.model.eval()
        self._open_prompts()
        live = self.rows.live
        if self.replies and live <= READ_BELOW * (live + len(self.replies)):
            self._read_replies()
        done = self.rows.step() if len(self.rows) else {}
        self.last |= {number: turn.token_ids[-1] for number, turn in done.items()}
        self.model.train(was_training)
        return done

    def reply(self, number: int, ids: Sequence[int]) -> None:
        """See :class:`Talk`."""
        self.replies[number] = ids

    def close(self, number: int) -> None:
        """See :class:`Talk`."""
        self.open.discard(number)

    def _places(self) -> int:
        """Prompts that wait and find places."""
        return min(len(self.unopened), (self.max_rows - len(self.open)) // self.answers)

    def _open_prompts(self) -> None:
        """Read as many prompts as there are places for."""
        count = self._places()
        chosen, self.unopened = self.unopened[:count], self.unopened[count:]
        if not chosen:
            return
        numbers = [p * self.answers + n for p in chosen for n in range(self.answers)]
        ids = [self.prompts[p].token_ids for p in chosen]
        media = [self.prompts[p].media for p in chosen]
        prefill, hidden_PD = read_prompts(self.rows.trunk, ids, media, self.rows.device)
        logits_RV = self.rows.logits(hidden_PD).repeat_interleave(self.answers, 0)
        self.open |= set(numbers)
        self._write(numbers, DecodeCache(prefill, self.answers), logits_RV)

    def _write(self, numbers: Sequence[int], cache: DecodeCache, logits_RV: torch.Tensor) -> None:
        """Let these take their next turn."""
        uniform_RT = torch.stack([self._uniform(number) for number in numbers])
        self.rows.add(numbers, cache, logits_RV, uniform_RT.to(self.rows.device))

    def _uniform(self, number: int) -> torch.Tensor:
        turn = self.turns[number] = self.turns.get(number, 0) + 1
        own = generator(self.seed, "turn", number, turn)
        limit = self.params.max_new_tokens if self.params.temperature else 1
        return torch.rand(limit, generator=own, dtype=torch.float64)

    def _park(self, numbers: list[int], cache: DecodeCache) -> None:
        """Keep what those have read and written that are still open."""
        stay = [i for i, number in enumerate(numbers) if number in self.open]
        if not stay:
            return
        cache.keep(torch.tensor(stay, device=cache.device))
        if self.parked:
            self.cache.join(cache)
        else:
            self.cache = cache
        self.parked += [numbers[i] for i in stay]

    def _read_replies(self) -> None:
        """Let all that have a reply read it and go on."""
        self.rows.throw_out()
        # Who goes on first was parked first: the order does not hang on when replies came.
        ready = [i for i, number in enumerate(self.parked) if number in self.replies]
        stay = [
            i
            for i, number in enumerate(self.parked)
            if number in self.open and number not in self.replies
        ]
        for piece in self._pieces(ready):
            index = torch.tensor(piece, device=self.cache.device)
            cache = self.cache.split(index, self.cache.written_R[index])
            numbers = [self.parked[i] for i in piece]
            texts = [(self.last[n], *self.replies.pop(n)) for n in numbers]
            extension = Extension(cache, [len(ids) for ids in texts])
            tokens_1S = torch.tensor([[i for ids in texts for i in ids]], device=cache.device)
            positions_1S = extension.positions_S[None]
            hidden_1SD = forward(self.rows.trunk, tokens_1S, positions_1S, extension)
            extension.finish()
            self._write(numbers, cache, self.rows.logits(hidden_1SD[0, extension.last_R]))
        if stay:
            self.cache.keep(torch.tensor(stay, device=self.cache.device))
        self.parked = [self.parked[i] for i in stay]

    def _pieces(self, ready: Sequence[int]) -> list[list[int]]:
        """Parked ones in pieces whose replies are read in one pass."""
        pieces: list[list[int]] = []
        tokens = READ_TOKENS
        for i in ready:
            length = 1 + len(self.replies[self.parked[i]])
            if tokens + length > READ_TOKENS:
                pieces.append([])
                tokens = 0
            pieces[-1].append(i)
            tokens += length
        return pieces
