"""What is logged while stores are away: a line when that begins, few while it lasts, one after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from busway.errors import StoreError
from busway.runtime.loop import Loop
from busway.runtime.outage_log import (
    MAX_ERRORS,
    RECOVERED_AFTER_S,
    REPORT_INTERVAL_S,
    OutageLog,
)
from busway.testing import ManualClock
from command import DEADLINE_S

Lines = list[MutableMapping[str, Any]]
AWAY, BACK = "waiting for a store", "the stores answer again"


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as found:
        yield found


def told(lines: Lines) -> list[str]:
    return [one["event"] for one in lines]


async def test_many_loops_tell_once_that_it_began_and_once_that_all_go_on(lines: Lines) -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    for _ in range(10):
        for number in range(800):
            outage.failed(f"f/{number}", "no way there")
        await clock.advance(1.0)
    assert lines == [
        {"event": AWAY, "log_level": "warning", "loop": "f/0", "error": "no way there", "for_s": 0}
    ]
    for number in range(800):
        assert told(lines) == [AWAY], "one of them does not go on yet"
        outage.succeeded(f"f/{number}")
    assert lines[1:] == [{"event": BACK, "log_level": "info", "lasted_s": 10.0}]
    outage.failed("f/0", "no way there")
    assert told(lines) == [AWAY, BACK, AWAY], "another outage"


async def test_it_is_told_again_now_and_then_with_how_long_it_lasts(lines: Lines) -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    for _ in range(int(REPORT_INTERVAL_S * 2 / 5) + 1):
        outage.failed("heartbeat", "no way there")
        outage.failed("coordinator", "no way there")
        await clock.advance(5.0)
    assert [one["for_s"] for one in lines] == [0, REPORT_INTERVAL_S, REPORT_INTERVAL_S * 2]


async def test_another_error_is_told_at_once_but_not_any_number_of_them(lines: Lines) -> None:
    outage = OutageLog(ManualClock())
    for _ in range(3):
        outage.failed("heartbeat", "no way there")
        outage.failed("coordinator", "the server is starting up")
    assert [one["error"] for one in lines] == ["no way there", "the server is starting up"]
    for number in range(100):
        outage.failed("f/1", f"position {number} cannot be read")
    assert len(lines) == MAX_ERRORS


async def test_a_loop_that_only_waits_does_not_keep_it_from_being_over(lines: Lines) -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    outage.failed("follow/0", "no way there")
    outage.failed("heartbeat", "no way there")
    await clock.advance(2.0)
    for _ in range(int(RECOVERED_AFTER_S) + 1):
        outage.succeeded("heartbeat")
        await clock.advance(1.0)
    assert lines[1:] == [{"event": BACK, "log_level": "info", "lasted_s": 2.0}]


async def test_who_fails_again_keeps_it_going(lines: Lines) -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    for _ in range(4):
        outage.failed("follow/0", "no way there")
        await clock.advance(RECOVERED_AFTER_S / 2)
        outage.succeeded("record")
    assert told(lines) == [AWAY] * (1 + int(RECOVERED_AFTER_S * 1.5 / REPORT_INTERVAL_S))


@pytest.mark.parametrize("another_goes_on", [False, True])
async def test_a_loop_that_is_stopped_is_waited_for_no_more(
    lines: Lines, another_goes_on: bool
) -> None:
    outage = OutageLog(ManualClock())
    outage.failed("f/0", "no way there")
    if another_goes_on:
        outage.failed("coordinator", "no way there")
        outage.succeeded("coordinator")
    outage.succeeded("record")
    outage.ended("f/0")
    assert told(lines) == ([AWAY, BACK] if another_goes_on else [AWAY])


class Store:
    """One that can be away, and waits for the next one who asks."""

    def __init__(self) -> None:
        self.away = True
        self.answered = asyncio.Semaphore(0)

    async def turn(self, loop: Loop) -> None:
        if self.away:
            self.answered.release()
            raise StoreError("no way there")
        self.answered.release()
        with loop.interruptible():
            await asyncio.sleep(0.01)


async def test_loops_share_an_outage(lines: Lines) -> None:
    store, outage = Store(), OutageLog()
    loops = [Loop(f"f/{number}", store.turn, outage) for number in range(5)]
    for loop in loops:
        loop.start()
    for _ in range(15):  # more than once for each
        await store.answered.acquire()
    store.away = False
    async with asyncio.timeout(DEADLINE_S):
        while told(lines)[-1] != BACK:
            await store.answered.acquire()
    for loop in loops:
        loop.stop()
        assert await loop.join(5.0)
    assert told(lines) == [AWAY, BACK]
