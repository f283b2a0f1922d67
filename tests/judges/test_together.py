"""Questions of many tasks are worked on together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from medrl.judges.together import Together


class Work:
    """Doubles numbers, when it may; keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.may = threading.Event()
        self.may.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        self.may.wait(20)
        if -1 in numbers:
            raise ValueError("negative")
        return [2 * number for number in numbers]


def test_questions_of_one_moment_go_together_and_each_gets_its_answer() -> None:
    work = Work()
    together = Together(work)

    async def run() -> list[int]:
        return list(await asyncio.gather(*(together.ask(n) for n in range(5))))

    assert asyncio.run(run()) == [0, 2, 4, 6, 8]
    assert asyncio.run(run()) == [0, 2, 4, 6, 8]  # in another loop
    assert work.calls == [[0, 1, 2, 3, 4]] * 2


def test_who_comes_meanwhile_waits_and_who_leaves_holds_up_nobody() -> None:
    work = Work()
    together = Together(work)

    async def run() -> list[int]:
        work.may.clear()
        first = asyncio.create_task(together.ask(1))
        while not work.calls:
            await asyncio.sleep(0.01)
        late = [asyncio.create_task(together.ask(n)) for n in (2, 3, 4)]
        await asyncio.sleep(0.01)
        first.cancel()
        late[1].cancel()
        await asyncio.sleep(0)
        work.may.set()
        return [await late[0], await late[2]]

    assert asyncio.run(run()) == [4, 8]
    assert work.calls == [[1], [2, 4]]


def test_errors_reach_those_who_asked_and_nobody_else() -> None:
    together = Together(Work())

    async def run() -> int:
        with pytest.raises(ValueError, match="negative"):
            await asyncio.gather(together.ask(-1), together.ask(1))
        return await together.ask(3)

    assert asyncio.run(run()) == 6
