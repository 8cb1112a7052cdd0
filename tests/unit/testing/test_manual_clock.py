"""The clock that a test turns."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from busway.testing import ManualClock
from command import DEADLINE_S


async def test_it_stands_still() -> None:
    clock = ManualClock()
    assert clock.now() == clock.now()
    assert clock.monotonic() == 0.0


async def test_sleepers_wake_in_order_and_at_their_time() -> None:
    clock, woken = ManualClock(), []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1, 2, 10)]
    await clock.advance(5)
    assert woken == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert (clock.monotonic(), clock.sleepers) == (5.0, 1)
    await clock.advance(5)
    assert woken[-1] == (10, 10.0)
    await asyncio.gather(*tasks)


async def test_a_loop_runs_once_a_turn() -> None:
    clock, ticks = ManualClock(), []

    async def tick() -> None:
        while True:
            await clock.sleep(1)
            ticks.append(clock.now())

    task = asyncio.create_task(tick())
    await clock.advance(3)
    assert [at - clock.now() for at in ticks] == [timedelta(seconds=n) for n in (-2, -1, 0)]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleepers == 0


async def test_no_time_is_no_wait() -> None:
    clock = ManualClock()
    async with asyncio.timeout(DEADLINE_S):
        await clock.sleep(0)
