"""Asked one at a time by many, answers together: for work that is cheaper in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Together(Generic[A, B]):
    """Turns a function of many questions into one that tasks of an event loop can await.

    Questions that come in the same moment, or while others are worked on, are worked on together;
    never two calls at a time. Who gives up waiting holds up nobody.

    Args:
        work: one answer per question, in order; called in a thread. What it raises, all get whose
            questions it was given.
    """

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B]]) -> None:
        self._work = work
        self._waiting: list[tuple[A, asyncio.Future[B]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: A) -> B:
        """The answer to one question."""
        loop = asyncio.get_running_loop()
        if self._running is None or self._running.done() or self._running.get_loop() is not loop:
            self._waiting.clear()  # of a loop that has ended
            self._running = loop.create_task(self._run())
        answer: asyncio.Future[B] = loop.create_future()
        self._waiting.append((question, answer))
        return await answer

    async def _run(self) -> None:
        await asyncio.sleep(0)
        while self._waiting:
            asked = [(question, answer) for question, answer in self._waiting if not answer.done()]
            self._waiting.clear()
            try:
                found = await asyncio.to_thread(self._work, [question for question, _ in asked])
            except Exception as error:
                for _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), value in zip(asked, found, strict=True):
                if not answer.done():
                    answer.set_result(value)
