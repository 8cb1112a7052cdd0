"""What is recognised after a start, also where clocks were not right."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from busway import Event
from busway.bus.group_commit import Appender
from busway.ports import Log, NewBatch
from busway.testing import ManualClock, MemoryLog

WINDOW_S = 600.0


async def repeated(log: Log, clock: ManualClock, events: Sequence[Event]) -> int:
    """Post events to a process that has just started; return how many it recognises."""
    appender = Appender(log, clock, WINDOW_S)
    running = asyncio.create_task(appender.run())
    await appender.load_recent()
    answer = await appender.append([e.to_json() for e in events], [e.envelope for e in events])
    appender.close()
    await running
    return answer.duplicates


@pytest.mark.parametrize("ahead_s", [0.0, 3600.0])
async def test_a_clock_that_was_ahead_makes_no_other_event_forgotten(ahead_s: float) -> None:
    clock, log = ManualClock(), MemoryLog(2)
    right, ahead = (Event(type="t", source="/s", id=id) for id in ("right", "ahead"))
    await log.append([NewBatch(0, [right.to_json()])], clock.now())
    skewed = clock.now() + timedelta(seconds=ahead_s)
    await log.append([NewBatch(1, [ahead.to_json()])], skewed)
    await clock.advance(WINDOW_S / 2)
    assert await repeated(log, clock, [right, ahead]) == 2


async def test_a_time_in_which_nothing_ran_does_not_count() -> None:
    clock, log = ManualClock(), MemoryLog(2)
    event = Event(type="t", source="/s", id="1")
    await log.append([NewBatch(0, [event.to_json()])], clock.now())
    await clock.advance(100 * WINDOW_S)
    assert await repeated(log, clock, [event]) == 1


async def test_what_came_before_a_hole_at_the_end_is_recognised() -> None:
    clock, log = ManualClock(), MemoryLog(2)
    event = Event(type="t", source="/s", id="1")
    await log.append([NewBatch(0, [event.to_json()])], clock.now())
    for partition in (0, 1):
        await log.skip_to(partition, 5)
    assert await repeated(log, clock, [event]) == 1


async def test_who_follows_waits_behind_a_hole_at_the_end() -> None:
    clock, log = ManualClock(), MemoryLog(1)
    appender = Appender(log, clock, WINDOW_S)
    await appender.load_recent()
    await log.skip_to(0, 5)
    following = asyncio.create_task(appender.follow(0))
    await clock.advance(1.0)
    await following
    assert appender._dedupe_loader.loaded_end(0) == 5
