"""Many who ask at the same time, one call that answers them all, and a loop that is not held up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Gathered(Generic[Item, Result]):
    """A function of many items, asked for one at a time.

    What is asked while a call is under way waits for the next one. Calls are made in a thread, one
    after the other, so the function may block and need not be safe for threads.

    Args:
        function: one result per item, in order. If it raises, all who asked get the error.
    """

    def __init__(self, function: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._function = function
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._work: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """The result for ``item``. Who stops waiting does not stop the others."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer())
        return await future

    async def _answer(self) -> None:
        await asyncio.sleep(0)  # who is ready as well asks first
        while self._waiting:
            asked, self._waiting = self._waiting, []
            # Those of a loop that has ended, or who were cancelled, want nothing any more.
            asked = [(item, future) for item, future in asked if not future.done()]
            try:
                results = await asyncio.to_thread(self._function, [item for item, _ in asked])
            except Exception as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(asked, results, strict=True):
                if not future.done():
                    future.set_result(result)
