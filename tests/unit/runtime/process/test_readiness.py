"""Whether a process is ready: it says why not, and is again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from busway.bus.append import FAILING_S, Appender
from busway.errors import StoreError, StoreFull
from busway.event import Event
from busway.ports import Draft
from busway.runtime.loop import Loop
from busway.runtime.process.readiness import EVERY_S, Readiness
from busway.testing import HandClock, MemoryLog


class Failing(MemoryLog):
    """A log that can be out of reach, or full."""

    away = full = False
    lost: int | None = None

    async def bounds(self, partition: int) -> tuple[int, int]:
        if self.away or partition == self.lost:
            raise StoreError("no way there")
        return await super().bounds(partition)

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        if self.full:
            raise StoreFull("no room")
        return await super().append(drafts, at)


async def test_it_is_ready_while_the_log_answers_and_nobody_doubts() -> None:
    clock, log, doubt = HandClock(), Failing(1), ""
    readiness = Readiness(log, clock, [lambda: None, lambda: doubt or None])
    assert readiness.why_not() == "starting"
    loop = Loop("readiness", readiness.turn)
    loop.start()
    readiness.stage = None
    await clock.turn(EVERY_S)
    assert readiness.why_not() is None
    doubt = "the beat is old"
    assert readiness.why_not() == "the beat is old"
    log.away = True
    await clock.turn(EVERY_S)
    assert readiness.why_not() == "the log cannot be used: no way there"
    log.away, doubt = False, ""
    await clock.turn(EVERY_S)
    assert readiness.why_not() is None
    readiness.stage = "stopping"
    assert readiness.why_not() == "stopping"
    loop.stop()
    assert await loop.join(1.0)


async def test_it_is_not_ready_as_long_as_one_partition_does_not_answer() -> None:
    clock, log = HandClock(), Failing(3)
    readiness = Readiness(log, clock)
    readiness.stage = None
    loop = Loop("readiness", readiness.turn)
    loop.start()
    await clock.turn(2 * EVERY_S)
    assert readiness.why_not() is None
    log.lost = 1
    await clock.turn(3 * EVERY_S)
    for _ in range(6):
        assert readiness.why_not() == "the log cannot be used: no way there"
        await clock.turn(EVERY_S)
    log.lost = None
    await clock.turn(EVERY_S)
    assert readiness.why_not() is None
    loop.stop()
    assert await loop.join(1.0)


async def test_an_append_that_failed_is_told_for_a_while_or_until_one_succeeds() -> None:
    clock, log = HandClock(), Failing(1)
    appender = Appender(log, clock, 60.0)
    running = asyncio.create_task(appender.run())
    event = Event(type="t", source="/s", data={})
    await appender.publish([event])
    assert appender.failing() is None
    log.full = True
    with pytest.raises(StoreFull):
        await appender.publish([Event(type="t", source="/s", data={})])
    assert appender.failing() == "the last append failed: no room"
    await clock.turn(FAILING_S + 0.1)
    assert appender.failing() is None, "it is worth another try"
    with pytest.raises(StoreFull):
        await appender.publish([Event(type="t", source="/s", data={})])
    log.full = False
    await appender.publish([Event(type="t", source="/s", data={})])
    assert appender.failing() is None
    appender.close()
    await running
