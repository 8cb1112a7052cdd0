"""No loop fails in silence, and nothing that a turn raises ends one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from busway.errors import StoreError
from busway.exception_text import ExceptionText
from busway.runtime.loop import Loop
from busway.runtime.outage_log import REPORT_INTERVAL_S, OutageLog
from busway.runtime.stuck_loop import (
    SAVE_INTERVAL_S,
    STORE_AWAY_AFTER_S,
    STUCK_AFTER,
    StuckLoops,
)
from busway.testing import ManualClock

TEXT = ExceptionText("ValueError", "no", "")


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError


RAISED: list[BaseException] = [
    ValueError("no"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopAsyncIteration(),
    ExceptionGroup("many", [ValueError("no")]),
    Unshowable(),
]


@asynccontextmanager
async def looping(
    turn: Callable[[Loop], Awaitable[None]], outage: OutageLog
) -> AsyncIterator[Loop]:
    loop = Loop("f/0", turn, outage, longest_pause_s=0.0, flow="f")
    loop.start()
    try:
        yield loop
    finally:
        loop.stop()
        assert await loop.join(5.0), "it can be stopped"


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
async def test_a_loop_goes_on_whatever_a_turn_raises(error: BaseException) -> None:
    outage, over = OutageLog(), asyncio.Event()
    turns: list[Any] = []

    async def turn(loop: Loop) -> None:
        if len(turns) < STUCK_AFTER:
            turns.append(None)
            raise error
        turns.append(dict(outage.stuck_loops.records))
        over.set()
        with loop.interruptible():
            await asyncio.Event().wait()

    with capture_logs() as lines:
        async with looping(turn, outage):
            await over.wait()
    (record,) = turns[-1].values()
    assert (record.loop, record.flow, record.error) == ("f/0", "f", type(error).__name__)
    assert [line["event"] for line in lines] == ["loop failed"], "told once"


async def test_a_loop_that_is_cancelled_ends() -> None:
    async def turn(loop: Loop) -> None:
        await asyncio.Event().wait()

    loop = Loop("f/0", turn)
    loop.start()
    await asyncio.sleep(0)
    assert not await loop.join(0.0)


async def test_the_same_exception_is_told_once_and_then_counted_by_the_minute() -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    structlog.reset_defaults()
    with capture_logs() as lines:
        for _ in range(50):
            outage.failed("f/0", ValueError("no"))
        outage.failed("f/0", KeyError("another"))
        outage.failed("g/0", ValueError("no"))
        await clock.advance(REPORT_INTERVAL_S)
        outage.failed("f/0", ValueError("no"))
    told = [(line["event"], line["loop"], line.get("times")) for line in lines]
    assert told == [
        ("loop failed", "f/0", None),
        ("loop failed", "f/0", None),
        ("loop failed", "g/0", None),
        ("loop still fails", "f/0", 50),
    ]


def test_a_loop_is_stuck_after_some_turns_and_not_when_one_goes_well() -> None:
    stuck = StuckLoops(ManualClock())
    for _ in range(STUCK_AFTER - 1):
        stuck.failed("f/0", "f", TEXT, store_unavailable=False)
        assert not stuck.records
    stuck.failed("f/0", "f", TEXT, store_unavailable=False)
    (record,) = stuck.records.values()
    assert (record.failures, record.reason) == (STUCK_AFTER, "no")
    assert stuck.take_changes() == {"f/0": record}
    stuck.failed("f/0", "f", TEXT, store_unavailable=False)
    assert stuck.take_changes() == {}
    stuck.succeeded("f/0")
    assert not stuck.records
    assert stuck.take_changes() == {"f/0": None}
    stuck.succeeded("f/0")
    assert stuck.take_changes() == {}


async def test_how_often_it_failed_is_noted_now_and_then() -> None:
    clock = ManualClock()
    stuck = StuckLoops(clock)
    for _ in range(10):
        stuck.failed("f/0", "f", TEXT, store_unavailable=False)
    stuck.take_changes()
    await clock.advance(SAVE_INTERVAL_S)
    stuck.failed("f/0", "f", TEXT, store_unavailable=False)
    (record,) = stuck.take_changes().values()
    assert record is not None
    assert record.failures == 11


async def test_a_store_may_be_away_for_a_while() -> None:
    clock = ManualClock()
    outage = OutageLog(clock)
    for _ in range(10):
        outage.failed("f/0", StoreError("no way there"), "f")
    assert not outage.stuck_loops.records
    await clock.advance(STORE_AWAY_AFTER_S)
    outage.failed("f/0", StoreError("no way there"), "f")
    assert "no way there" in next(iter(outage.stuck_loops.records.values())).text


def test_the_first_turn_that_goes_well_clears_what_another_process_kept() -> None:
    stuck = StuckLoops(ManualClock())
    stuck.succeeded("f/0")
    assert stuck.take_changes() == {"f/0": None}
    stuck.ended("f/0")
    stuck.succeeded("f/0")
    assert stuck.take_changes() == {"f/0": None}
