"""Many requests to one server at the same time, tried again where that helps, within a deadline."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from medrl.judges.chat import Completion, Trouble, complete
from medrl.judges.judge import Failure, Judgement
from medrl.judges.reply import read_reply
from medrl.judges.rubrics import Rubric
from medrl.judges.spec import JudgeSpec

BACK_OFF_S = 0.5
"""Longest wait before the second try; it doubles with each further one."""
LONGEST_BACK_OFF_S = 30.0
_CUT = ("length", "content_filter")
_NOT_THE_SERVERS = (Failure.REJECTED, Failure.GIVEN_UP)
"""Troubles that say nothing of the next request."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent.

    Attributes:
        key: hash of the body, under which a reply is kept.
        rubric, token: how the reply of a judge is read; of requests for plain text, none.
    """

    key: str
    body: Mapping[str, Any]
    rubric: Rubric | None = None
    token: str = ""


class Line:
    """Requests to one server.

    Args:
        deadline: of ``time.monotonic``; no try begins that the server asks to wait for longer.

    Attributes:
        requests, prompt_tokens, completion_tokens: spent, on failures too.
    """

    def __init__(self, spec: JudgeSpec, client: httpx.AsyncClient, deadline: float) -> None:
        self.spec, self.client, self.deadline = spec, client, deadline
        self.requests = self.prompt_tokens = self.completion_tokens = 0
        self._free = asyncio.Semaphore(spec.concurrency)
        self._given_up = asyncio.Event()
        self._not_before = 0.0

    async def reply(self, body: Mapping[str, Any]) -> Completion | Trouble:
        """A reply after as many tries as there may be."""
        most = 1 + self.spec.retries
        tries = 0
        while True:
            reply = await self._try(body)
            tries += 1
            if isinstance(reply, Completion) or not reply.passing:
                return reply
            if reply.wait_s > self.deadline - time.monotonic():
                why = f"{reply.reason}; the server asks to wait {reply.wait_s:.0f} s"
                return Trouble(reply.kind, f"{why}, which is past the deadline")
            self._not_before = max(self._not_before, time.monotonic() + reply.wait_s)
            if tries == most:
                often = f" in each of {most} tries" if most > 1 else ""
                return Trouble(reply.kind, reply.reason + often)
            # Full jitter: those that failed together do not come back together.
            await self._rest(random.random() * self._back_off(tries))

    @staticmethod
    def _back_off(tries: int) -> float:
        return min(LONGEST_BACK_OFF_S, BACK_OFF_S * 2.0 ** min(tries - 1, 30))

    async def _try(self, body: Mapping[str, Any]) -> Completion | Trouble:
        async with self._free:
            # What the server asked of one request to wait holds for all.
            while (wait := self._not_before - time.monotonic()) > 0 and not self._given_up.is_set():
                await self._rest(wait)
            if self._given_up.is_set():
                count = self.spec.give_up_after
                return Trouble(Failure.GIVEN_UP, f"not asked: {count} in a row had no reply")
            self.requests += 1
            reply = await complete(self.client, body, self.spec.timeout_s)
        if isinstance(reply, Completion):
            self.prompt_tokens += reply.prompt_tokens
            self.completion_tokens += reply.completion_tokens
        return reply

    async def _rest(self, seconds: float) -> None:
        """Wait, but no longer than there is anything to wait for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._given_up.wait()


class Call(Line):
    """The requests of one call of a judge.

    Args:
        keep: told key and text of every reply that could be read.

    Attributes:
        judged: judgement of each request by its key; complete after ``run``. A request for plain
            text has none if there is a reply.
        written: plain replies by the key of their request.
    """

    def __init__(
        self,
        spec: JudgeSpec,
        client: httpx.AsyncClient,
        deadline: float,
        keep: Callable[[str, str], None],
    ) -> None:
        super().__init__(spec, client, deadline)
        self.keep = keep
        self.judged: dict[str, Judgement] = {}
        self.written: dict[str, str] = {}
        self._failed_in_a_row = 0

    async def run(self, requests: Sequence[Request]) -> None:
        """Ask all; returns by the deadline."""
        tasks = [asyncio.create_task(self._judge(request)) for request in requests]
        _, late = await asyncio.wait(tasks, timeout=max(0.0, self.deadline - time.monotonic()))
        for task in late:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, BaseException) and not isinstance(
                outcome, asyncio.CancelledError
            ):
                raise outcome
        over = Judgement.failed(
            Failure.DEADLINE, f"not judged within the {self.spec.deadline_s:g} s of the call"
        )
        for request in requests:
            if request.key not in self.written:
                self.judged.setdefault(request.key, over)

    async def _judge(self, request: Request) -> None:
        reply = await self.reply(request.body)
        if isinstance(reply, Trouble):
            self._failed_in_a_row += reply.kind not in _NOT_THE_SERVERS
            if self._failed_in_a_row >= self.spec.give_up_after:
                self._given_up.set()
            self.judged[request.key] = Judgement.failed(reply.kind, reply.reason)
            return
        # What a reply says is the judge's matter (or that of the text it judged), and no sign that
        # the server fails.
        self._failed_in_a_row = 0
        if request.rubric is None:
            self.written[request.key] = reply.text
            self.keep(request.key, reply.text)
            return
        if reply.finish in _CUT:
            why = f"the reply was ended by the server ({reply.finish})"
            self.judged[request.key] = Judgement.failed(Failure.CUT, why)
            return
        judgement = read_reply(reply.text, request.rubric, request.token)
        self.judged[request.key] = judgement
        if judgement.failure is None:
            self.keep(request.key, reply.text)
