"""Two hundred flows of mixed rules on one bus, beside one flow: a backlog until it is settled."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import uvloop
from deliver import order, step
from engine import ENGINES, Engine, chosen

from busway import App, Event
from busway.app import Node
from busway.clock import SystemClock
from busway.engine.registry import open_stores
from busway.flow import compile_app
from busway.outcome import DELIVERED, Outcome
from busway.ports import Destination, Load, NewBatch, SinkContext, Stores
from busway.runtime.process.interpreter import tune_interpreter
from busway.telemetry import configure_log

FLOWS = 200
PARTITIONS = 4
EVENTS = 100_000
A_DRAFT = 1_000
ROUNDS = 2
LOOK_EVERY_S = 0.05


class Void(msgspec.Struct, frozen=True):
    """A sink that has everything at once, so that the bus is what is measured."""

    number: int

    @property
    def name(self) -> str:
        return f"void {self.number}"

    async def open(self, supplies: SinkContext) -> Destination:
        return _Void()


class _Void:
    async def write(self, load: Load) -> Sequence[Outcome]:
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        pass


def rule(number: int) -> dict[str, Any]:
    """Return one of many rules; an event is wanted by about one flow in fifty."""
    kinds: tuple[dict[str, Any], ...] = (
        {"id": [number % 9973]},
        {"customer": {"id": [f"c-{n}" for n in range(number * 40, number * 40 + 40)]}},
        {"customer": {"id": [{"prefix": f"c-{number + 100}"}]}},
        {"total": [{"numeric": [">=", 101 + number * 4, "<", 141 + number * 4]}]},
        {"customer": {"country": [{"anything-but": ["DE"]}]}, "total": [{"exists": True}]},
    )
    return {"type": ["order.created"], "data": kinds[number % len(kinds)]}


def app(flows: int) -> App:
    """Return that many flows, each with a step and a destination of its own."""
    found = App("many")

    def taken(event: Event) -> dict[str, Any]:
        return step(event.data)

    for number in range(flows):
        name, to = f"flow_{number:03}", Void(number)
        found.flow(name, when=rule(number + 3), to=to, steps=[taken], start="beginning")
    return found


async def _settled(stores: Stores, count: int, end: int) -> int:
    """Return how many were delivered once every lane has read so far."""
    while True:
        lanes = await stores.ledger.lanes()
        if len(lanes) == count and all(lane.cursor == end for lane in lanes):
            return sum(lane.counts.delivered for lane in lanes)
        await asyncio.sleep(LOOK_EVERY_S)


async def _once(engine: Engine, flows: int, drafts: list[list[NewBatch]]) -> tuple[float, int]:
    settings = engine.fresh().settings(PARTITIONS)
    stores = await open_stores(settings)
    for one in drafts:
        await stores.log.append(one, SystemClock().now())
    node = Node(compile_app(app(flows)), settings, stores)
    began = time.perf_counter()
    try:
        await node.start()
        delivered = await _settled(stores, flows * PARTITIONS, EVENTS // PARTITIONS)
        return EVENTS / (time.perf_counter() - began), delivered
    finally:
        await node.stop()


def _drafts() -> list[list[NewBatch]]:
    raws = [order(number) for number in range(EVENTS)]
    share = EVENTS // PARTITIONS
    return [
        [
            NewBatch(
                partition, raws[partition * share + first : partition * share + first + A_DRAFT]
            )
            for partition in range(PARTITIONS)
        ]
        for first in range(0, share, A_DRAFT)
    ]


async def _run(engine: Engine) -> list[dict[str, Any]]:
    drafts = _drafts()
    one = many = 0.0
    delivered = 0
    for _ in range(ROUNDS):
        one = max(one, (await _once(engine, 1, drafts))[0])
        rate, delivered = await _once(engine, FLOWS, drafts)
        many = max(many, rate)
    wanted = delivered / EVENTS
    return [
        {
            "what": f"{FLOWS} flows of mixed rules, {wanted:.1f} want an event; floor: 1 flow "
            "(events/s)",
            "floor": one,
            "measured": many,
            "ratio": many / one,
            "target": 0.05,
        }
    ]


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the row of this budget."""
    tune_interpreter()
    configure_log("json", "warning", sys.stderr)
    return uvloop.run(_run(engine))


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        print(run(chosen_engine))
