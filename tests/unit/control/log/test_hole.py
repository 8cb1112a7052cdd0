"""Who looks through a log with a hole in it finds what is before it and behind it."""

from __future__ import annotations

import pytest

from busway.control.context import ControlContext
from busway.control.log.search import EventQuery, search_log
from busway.control.log.tail import LogTail, TailRequest
from busway.ports import NewBatch
from busway.testing import ManualClock, MemoryLedger, MemoryLog

CLOCK = ManualClock()


def raw(n: int) -> bytes:
    return b'{"specversion":"1.0","id":"e%d","source":"/s","type":"made"}' % n


async def log_with_holes(*, behind: bool) -> MemoryLog:
    log = MemoryLog(1)
    await log.append([NewBatch(0, [raw(n) for n in range(5)])], CLOCK.now())
    await log.skip_to(0, 100_000)
    if behind:
        await log.append([NewBatch(0, [raw(n) for n in range(5, 8)])], CLOCK.now())
        await log.skip_to(0, 100_010)
    return log


@pytest.mark.parametrize("behind", [True, False])
async def test_a_search_goes_back_over_holes(behind: bool) -> None:
    log = await log_with_holes(behind=behind)
    control = ControlContext(log=log, ledger=MemoryLedger(), clock=CLOCK)
    page = await search_log(control, EventQuery(type="made"), limit=100)
    expected = [100_002, 100_001, 100_000] if behind else []
    assert [one.offset for one in page.hits] == [*expected, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("behind", [True, False])
async def test_a_tail_goes_on_over_holes(behind: bool) -> None:
    log = await log_with_holes(behind=behind)
    tail = LogTail(log, TailRequest(offsets=(2,)))
    ends = await tail.ends()
    seen: list[int] = []
    for _ in range(3):
        async for taken in tail.read(ends):
            seen += [one.offset for one in taken]
    assert seen == [2, 3, 4, *((100_000, 100_001, 100_002) if behind else ())]
    assert tail.is_past(ends)
