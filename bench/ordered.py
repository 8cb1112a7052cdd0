"""What order by key costs: one flow with ``ordered=True`` beside the same flow without it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import uvloop
from deliver import step
from engine import ENGINES, Engine, chosen
from many_flows import Void

from busway import App, Backoff, Event
from busway.app import Node
from busway.clock import SystemClock
from busway.engine.registry import open_stores
from busway.flow import compile_app
from busway.ports import NewBatch, Stores
from busway.runtime.process.interpreter import tune_interpreter
from busway.telemetry import configure_log

EVENTS = 100_000
KEYS = 1_000
PARTITIONS = 4
A_DRAFT = 1_000
ROUNDS = 2
FAILING = 1_999
"""Every so many-th event fails at its first attempt: one of another key each time."""
LOOK_EVERY_S = 0.02


def _raw(number: int) -> bytes:
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"order-{number}",
            "source": "/shop",
            "type": "order.created",
            "partitionkey": f"c-{number % KEYS}",
            "data": {
                "id": number,
                "customer": {"id": f"c-{number % KEYS}", "country": "NL"},
                "total": 250.0,
            },
        }
    )


def app(ordered: bool, failing: bool) -> App:
    """Return one flow whose step fails now and then, or never."""
    found = App("ordered")

    def taken(event: Event) -> dict[str, Any] | None:
        if failing and event.attempt == 1 and event.data["id"] % FAILING == 0:
            raise ConnectionError("not yet")
        return step(event.data)

    again = Backoff(first=0.05, cap=0.05, attempts=5)
    to = Void(int(ordered))
    found.flow("f", to=to, steps=[taken], start="beginning", ordered=ordered, retry=again)
    return found


async def _delivered(stores: Stores) -> None:
    while True:
        lanes = await stores.ledger.lanes()
        if sum(lane.counts.delivered for lane in lanes) == EVENTS:
            return
        await asyncio.sleep(LOOK_EVERY_S)


async def _once(engine: Engine, ordered: bool, failing: bool) -> float:
    """Return how many events a second go through a backlog, until nothing is parked."""
    settings = engine.fresh().settings(PARTITIONS)
    stores = await open_stores(settings)
    share = EVENTS // PARTITIONS
    for first in range(0, share, A_DRAFT):
        numbers = range(first * PARTITIONS, (first + A_DRAFT) * PARTITIONS)
        drafts = [
            NewBatch(partition, [_raw(n) for n in numbers if n % PARTITIONS == partition])
            for partition in range(PARTITIONS)
        ]
        await stores.log.append(drafts, SystemClock().now())
    node = Node(compile_app(app(ordered, failing)), settings, stores)
    began = time.perf_counter()
    try:
        await node.start()
        await _delivered(stores)
        return EVENTS / (time.perf_counter() - began)
    finally:
        await node.stop()


async def _run(engine: Engine) -> list[dict[str, Any]]:
    rows = []
    for failing, what in ((False, "nothing fails"), (True, f"1 in {FAILING:,} fails once")):
        free = kept = 0.0
        for _ in range(ROUNDS):
            free = max(free, await _once(engine, ordered=False, failing=failing))
            kept = max(kept, await _once(engine, ordered=True, failing=failing))
        rows.append(
            {
                "what": f"ordered=True, {KEYS:,} keys, {what}; floor: without order (events/s)",
                "floor": free,
                "measured": kept,
                "ratio": kept / free,
                "target": 0.5,
            }
        )
    return rows


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the rows of the table."""
    configure_log("text", "error")
    tune_interpreter()
    return uvloop.run(_run(engine))


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        print(run(chosen_engine))
