"""Whether a process is ready: it says why not, and is again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from busway.bus.group_commit import NOT_READY_AFTER_FAILURE_S, Appender
from busway.errors import StoreError, StoreFull
from busway.event import Event
from busway.ports import NewBatch, PartitionBounds
from busway.runtime.loop import Loop
from busway.runtime.process.readiness import INTERVAL_S, Readiness
from busway.testing import ManualClock, MemoryLog


class Failing(MemoryLog):
    """A log that can be out of reach, or full."""

    away = full = False
    lost: int | None = None

    async def bounds(self, partition: int) -> PartitionBounds:
        if self.away or partition == self.lost:
            raise StoreError("no way there")
        return await super().bounds(partition)

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        if self.full:
            raise StoreFull("no room")
        return await super().append(new_batches, at)


async def test_it_is_ready_while_the_log_answers_and_nobody_doubts() -> None:
    clock, log, doubt = ManualClock(), Failing(1), ""
    readiness = Readiness(log, clock, [lambda: None, lambda: doubt or None])
    assert readiness.not_ready_reason() == "starting"
    loop = Loop("readiness", readiness.run_once)
    loop.start()
    readiness.stage = None
    await clock.advance(INTERVAL_S)
    assert readiness.not_ready_reason() is None
    doubt = "the beat is old"
    assert readiness.not_ready_reason() == "the beat is old"
    log.away = True
    await clock.advance(INTERVAL_S)
    assert readiness.not_ready_reason() == "the log cannot be used: no way there"
    log.away, doubt = False, ""
    await clock.advance(INTERVAL_S)
    assert readiness.not_ready_reason() is None
    readiness.stage = "stopping"
    assert readiness.not_ready_reason() == "stopping"
    loop.stop()
    assert await loop.join(1.0)


async def test_it_is_not_ready_as_long_as_one_partition_does_not_answer() -> None:
    clock, log = ManualClock(), Failing(3)
    readiness = Readiness(log, clock)
    readiness.stage = None
    loop = Loop("readiness", readiness.run_once)
    loop.start()
    await clock.advance(2 * INTERVAL_S)
    assert readiness.not_ready_reason() is None
    log.lost = 1
    await clock.advance(3 * INTERVAL_S)
    for _ in range(6):
        assert readiness.not_ready_reason() == "the log cannot be used: no way there"
        await clock.advance(INTERVAL_S)
    log.lost = None
    await clock.advance(INTERVAL_S)
    assert readiness.not_ready_reason() is None
    loop.stop()
    assert await loop.join(1.0)


async def test_an_append_that_failed_is_told_for_a_while_or_until_one_succeeds() -> None:
    clock, log = ManualClock(), Failing(1)
    appender = Appender(log, clock, 60.0)
    running = asyncio.create_task(appender.run())
    event = Event(type="t", source="/s", data={})
    await appender.publish([event])
    assert appender.recent_failure() is None
    log.full = True
    with pytest.raises(StoreFull):
        await appender.publish([Event(type="t", source="/s", data={})])
    assert appender.recent_failure() == "the last append failed: no room"
    await clock.advance(NOT_READY_AFTER_FAILURE_S + 0.1)
    assert appender.recent_failure() is None, "it is worth another try"
    with pytest.raises(StoreFull):
        await appender.publish([Event(type="t", source="/s", data={})])
    log.full = False
    await appender.publish([Event(type="t", source="/s", data={})])
    assert appender.recent_failure() is None
    appender.close()
    await running
