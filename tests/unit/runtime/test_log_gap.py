"""What becomes of a log that has lost what lanes had read, before anything is appended to it."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from busway.lane import Counts
from busway.ports import Ledger, NewBatch
from busway.runtime.log_gap import skip_log_gaps
from busway.settlement import Settlement
from busway.testing import ManualClock, MemoryLedger, MemoryLog

CLOCK = ManualClock()


async def read_up_to(ledger: Ledger, flow: str, partition: int, cursor: int) -> None:
    await ledger.open_lane(flow, partition, 0)
    if cursor:
        place = (flow, partition, 0, cursor)
        counts = Counts(delivered=cursor)
        assert await ledger.settle([Settlement(*place, CLOCK.now(), "v1", counts)]) == [True]


async def test_each_partition_goes_on_at_the_furthest_cursor_and_it_is_said_once() -> None:
    log, ledger = MemoryLog(3), MemoryLedger()
    await log.append([NewBatch(0, [b"a", b"b"]), NewBatch(1, [b"c", b"d"])], CLOCK.now())
    for flow, cursors in {"fast": (7, 2), "slow": (3, 0), "new": (1, 1)}.items():
        for partition, cursor in enumerate(cursors):
            await read_up_to(ledger, flow, partition, cursor)
    with capture_logs() as said:
        await asyncio.gather(*(skip_log_gaps(log, ledger) for _ in range(2)))
    assert [await log.bounds(partition) for partition in range(3)] == [(0, 7), (0, 2), (0, 0)]
    (line,) = said
    assert line["log_level"] == "error"
    wanted: dict[str, object] = {"partition": 0, "start": 2, "end": 7, "count": 5}
    wanted |= {"read_by": {"fast": 7, "slow": 3}, "missed_by": ["new", "slow"]}
    assert {name: line[name] for name in wanted} == wanted
    assert "restore the log" in line["fix"]


async def test_a_replay_says_nothing_of_where_the_log_ended() -> None:
    log, ledger = MemoryLog(1), MemoryLedger()
    await log.append([NewBatch(0, [b"a", b"b"])], CLOCK.now())
    await read_up_to(ledger, "orders", 0, 2)
    await read_up_to(ledger, "orders@r1", 0, 5)
    with capture_logs() as said:
        await skip_log_gaps(log, ledger)
    assert (await log.bounds(0), said) == ((0, 2), [])
