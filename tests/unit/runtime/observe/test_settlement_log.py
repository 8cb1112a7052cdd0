"""Settlements are logged as sums: at most one line per flow and second, and nothing is left out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from busway import App, Event
from busway.app import Node
from busway.flow import compile_app
from busway.lane import Counts
from busway.ports import NewBatch, Stores
from busway.runtime.loop import Loop
from busway.runtime.observe.settlement_log import SettlementLog
from busway.settings import NOT_LISTENING, Settings
from busway.settlement import Settlement
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from listed_sink import Listed

Line = Mapping[str, Any]
CLOCK = ManualClock()


def settled(flow: str, partition: int, start: int, end: int, **counts: int) -> Settlement:
    return Settlement(flow, partition, start, end, CLOCK.now(), "v", Counts(**counts))


def settled_lines(lines: Sequence[Line]) -> list[Line]:
    return [line for line in lines if line["event"] == "settled"]


async def test_a_line_sums_up_the_settlements_of_a_flow() -> None:
    settlements = SettlementLog(CLOCK)
    settlements.add(settled("orders", 1, 5, 7, delivered=2), 0.004)
    settlements.add(settled("orders", 0, 0, 3, delivered=1, filtered=1, parked=1), 0.05)
    settlements.add(settled("orders", 1, 7, 8, dead=1), 0.001)
    settlements.add(settled("lines", 0, 0, 1, delivered=1), 0.002)
    with capture_logs() as lines:
        settlements.flush()
        settlements.flush()
    first, second = settled_lines(lines)
    assert first == {
        "event": "settled",
        "log_level": "info",
        "flow": "orders",
        "settlements": 3,
        "delivered": 3,
        "filtered": 1,
        "parked": 1,
        "dead": 1,
        "discarded": 0,
        "offsets": {0: [0, 3], 1: [5, 8]},
        "slowest_ms": 50.0,
    }
    assert (second["flow"], second["settlements"], second["offsets"]) == ("lines", 1, {0: [0, 1]})


async def test_a_flow_gets_at_most_one_line_a_second() -> None:
    clock = ManualClock()
    settlements = SettlementLog(clock)
    loop = Loop("settlement-log", settlements.run_once)
    loop.start()
    with capture_logs() as lines:
        for offset in range(14):
            settlements.add(settled("orders", 0, offset, offset + 1, delivered=1), 0.001)
            await clock.advance(0.25)
        assert [line["settlements"] for line in settled_lines(lines)] == [4, 4, 4]
        await clock.advance(60.0)
    loop.stop()
    assert await loop.join(1.0)
    assert [line["offsets"][0] for line in settled_lines(lines)] == [
        [0, 4],
        [4, 8],
        [8, 12],
        [12, 14],
    ]


@asynccontextmanager
async def running_node(clock: ManualClock, stores: Stores) -> AsyncIterator[Listed]:
    app, sink = App("t"), Listed()
    app.flow("orders", to=sink)
    node = Node(compile_app(app), Settings(port=NOT_LISTENING), stores, clock, role="work")
    await node.start()
    try:
        yield sink
    finally:
        await node.stop()


async def test_a_node_logs_single_events_as_sums_and_the_last_sum_at_shutdown() -> None:
    clock, log = ManualClock(), MemoryLog(1)
    with capture_logs() as lines:
        async with running_node(clock, Stores(log, MemoryLedger())) as sink:
            for number in range(25):
                event = Event(type="t", source="/s", id=str(number))
                await log.append([NewBatch(0, [event.to_json()])], clock.now())
                while len(sink.came) <= number:
                    await clock.advance(0.0)
                await clock.advance(0.1)
            logged = settled_lines(lines)
            assert 0 < len(logged) <= 3, "one line a second at most"
            assert sum(line["delivered"] for line in logged) < 25
    logged = settled_lines(lines)
    assert sum(line["delivered"] for line in logged) == 25
    assert sum(line["settlements"] for line in logged) > len(logged)
    assert logged[-1]["offsets"][0][1] == 25
