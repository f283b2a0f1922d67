"""Many who ask at once, one call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from medrl.environments.gathering import Gathered


class Doubler:
    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[list[int]] = []
        self.seconds = seconds

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        time.sleep(self.seconds)
        if 13 in items:
            raise ValueError("unlucky")
        return [2 * item for item in items]


def test_who_asks_together_is_answered_together() -> None:
    function = Doubler()
    gathered = Gathered(function)

    async def go() -> list[int]:
        return await asyncio.gather(*(gathered(item) for item in range(5)))

    assert asyncio.run(go()) == [0, 2, 4, 6, 8]
    assert asyncio.run(go()) == [0, 2, 4, 6, 8]  # in another loop
    assert function.calls == [[0, 1, 2, 3, 4]] * 2


def test_a_slow_call_holds_up_nobody_else_and_late_ones_wait_together() -> None:
    function = Doubler(seconds=0.1)
    gathered = Gathered(function)

    async def go() -> int:
        first = asyncio.create_task(gathered(1))
        await asyncio.sleep(0.03)
        ticks = 0
        late = [asyncio.create_task(gathered(item)) for item in (2, 3)]
        while not first.done():
            await asyncio.sleep(0.005)
            ticks += 1
        assert await asyncio.gather(*late) == [4, 6]
        return ticks

    assert asyncio.run(go()) >= 3
    assert function.calls == [[1], [2, 3]]


def test_who_gives_up_does_not_take_the_others_along() -> None:
    gathered = Gathered(Doubler(seconds=0.1))

    async def go() -> int:
        impatient = asyncio.create_task(asyncio.wait_for(gathered(1), 0.02))
        patient = asyncio.create_task(gathered(2))
        with pytest.raises(TimeoutError):
            await impatient
        return await patient

    assert asyncio.run(go()) == 4


def test_an_error_reaches_all_who_asked_and_the_next_are_answered() -> None:
    gathered = Gathered(Doubler())

    async def go() -> int:
        found = await asyncio.gather(gathered(13), gathered(1), return_exceptions=True)
        assert all(isinstance(error, ValueError) for error in found)
        return await gathered(2)

    assert asyncio.run(go()) == 4
