"""What is logged while stores are away: a line when that begins, few while it lasts, one after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from busway.errors import StoreError
from busway.runtime.loop import Loop
from busway.runtime.outage import MOST_TEXTS, QUIET_S, TELL_EVERY_S, Outage
from busway.testing import HandClock
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
    clock = HandClock()
    outage = Outage(clock)
    for _ in range(10):
        for number in range(800):
            outage.failed(f"f/{number}", "no way there")
        await clock.turn(1.0)
    assert lines == [
        {"event": AWAY, "log_level": "warning", "loop": "f/0", "error": "no way there", "for_s": 0}
    ]
    for number in range(800):
        assert told(lines) == [AWAY], "one of them does not go on yet"
        outage.passed(f"f/{number}")
    assert lines[1:] == [{"event": BACK, "log_level": "info", "lasted_s": 10.0}]
    outage.failed("f/0", "no way there")
    assert told(lines) == [AWAY, BACK, AWAY], "another outage"


async def test_it_is_told_again_now_and_then_with_how_long_it_lasts(lines: Lines) -> None:
    clock = HandClock()
    outage = Outage(clock)
    for _ in range(int(TELL_EVERY_S * 2 / 5) + 1):
        outage.failed("beat", "no way there")
        outage.failed("shift", "no way there")
        await clock.turn(5.0)
    assert [one["for_s"] for one in lines] == [0, TELL_EVERY_S, TELL_EVERY_S * 2]


async def test_another_error_is_told_at_once_but_not_any_number_of_them(lines: Lines) -> None:
    outage = Outage(HandClock())
    for _ in range(3):
        outage.failed("beat", "no way there")
        outage.failed("shift", "the server is starting up")
    assert [one["error"] for one in lines] == ["no way there", "the server is starting up"]
    for number in range(100):
        outage.failed("f/1", f"position {number} cannot be read")
    assert len(lines) == MOST_TEXTS


async def test_a_loop_that_only_waits_does_not_keep_it_from_being_over(lines: Lines) -> None:
    clock = HandClock()
    outage = Outage(clock)
    outage.failed("follow/0", "no way there")
    outage.failed("beat", "no way there")
    await clock.turn(2.0)
    for _ in range(int(QUIET_S) + 1):
        outage.passed("beat")
        await clock.turn(1.0)
    assert lines[1:] == [{"event": BACK, "log_level": "info", "lasted_s": 2.0}]


async def test_who_fails_again_keeps_it_going(lines: Lines) -> None:
    clock = HandClock()
    outage = Outage(clock)
    for _ in range(4):
        outage.failed("follow/0", "no way there")
        await clock.turn(QUIET_S / 2)
        outage.passed("record")
    assert told(lines) == [AWAY] * (1 + int(QUIET_S * 1.5 / TELL_EVERY_S))


@pytest.mark.parametrize("another_goes_on", [False, True])
async def test_a_loop_that_is_stopped_is_waited_for_no_more(
    lines: Lines, another_goes_on: bool
) -> None:
    outage = Outage(HandClock())
    outage.failed("f/0", "no way there")
    if another_goes_on:
        outage.failed("shift", "no way there")
        outage.passed("shift")
    outage.passed("record")
    outage.left("f/0")
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
        with loop.idle():
            await asyncio.sleep(0.01)


async def test_loops_share_an_outage(lines: Lines) -> None:
    store, outage = Store(), Outage()
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
