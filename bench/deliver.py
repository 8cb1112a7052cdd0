"""Read a batch, match its rule, call a step, encode: beside msgspec and the bare function."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop
from engine import ENGINES, Engine, chosen

from busway import App, Event
from busway.bus.reader import SharedReader
from busway.clock import SystemClock
from busway.engine.registry import open_stores
from busway.flow import compile_app
from busway.ports import NewBatch
from busway.rule import RuleIndex
from busway.runtime.lane.batch import cut_batch
from busway.runtime.lane.transform import transform
from busway.runtime.process.interpreter import tune_interpreter
from busway.sinks import console
from busway.testing import memory_stores

EVENTS = 5_000
ROUNDS = 20
BACKLOG = 100_000
A_DRAFT = 1_000
CLUSTER_ROUNDS = 2
WHEN = {"type": ["order.created"], "data": {"total": [{"numeric": [">", 100]}]}}


def order(number: int) -> bytes:
    """Return one order as a CloudEvent, about 230 bytes."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"order-{number:012d}",
            "source": "/shop/eu-central",
            "type": "order.created",
            "subject": f"order/{number:08d}",
            "data": {
                "id": number,
                "customer": {"id": f"c-{number % 9973}", "country": "DE"},
                "total": 101 + number % 1000,
                "items": [{"sku": "A-1", "n": 2}],
            },
        }
    )


def step(order: Any) -> dict[str, Any]:
    """Do what the step of the DESIGN's example does."""
    return {"order_id": order["id"], "customer": order["customer"]["id"], "total": order["total"]}


def floor(raws: list[bytes]) -> None:
    """Decode, call, encode: in a loop."""
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    lines = []
    for raw in raws:
        order = decode(raw)["data"]
        if order["total"] > 100:
            lines.append(encode(step(order)))


def _flow() -> Any:
    app = App("bench")

    @app.flow(when=WHEN, to=console())
    def orders(event: Event) -> dict[str, Any]:
        return step(event.data)

    return compile_app(app).flows[0]


async def _measured(raws: list[bytes]) -> Callable[[], Any]:
    stores = memory_stores(1)
    await stores.log.append([NewBatch(0, raws)], SystemClock().now())
    flow = _flow()
    index = RuleIndex([flow.pattern], checked=True)
    encode = msgspec.json.Encoder().encode

    async def once() -> None:
        follow = SharedReader(stores.log, index)
        portion = cut_batch(await follow.read(0, 0, 1 << 30), 0, 0, EVENTS)
        assert portion is not None
        items, failed = await transform(flow, portion.wanted, str)
        lines = [encode(result) for item in items for result in item.results]
        assert len(lines) == EVENTS
        assert not failed

    return once


async def _cold(engine: Engine) -> float:
    """Return the events a second of a worker that reads from the servers what others stored."""
    settings = engine.fresh().settings(1)
    stores = await open_stores(settings)
    for first in range(0, BACKLOG, EVENTS):
        raws = [order(number) for number in range(first, first + EVENTS)]
        for at in range(0, EVENTS, A_DRAFT):
            await stores.log.append([NewBatch(0, raws[at : at + A_DRAFT])], SystemClock().now())
    await stores.close()
    stores = await open_stores(settings)
    flow = _flow()
    follow = SharedReader(stores.log, RuleIndex([flow.pattern], checked=True))
    encode = msgspec.json.Encoder().encode
    began, offset = time.perf_counter(), 0
    while offset < BACKLOG:
        portion = cut_batch(await follow.read(0, offset, 1 << 20), 0, offset, EVENTS)
        assert portion is not None
        items, failed = await transform(flow, portion.wanted, str)
        lines = [encode(result) for item in items for result in item.results]
        assert not failed
        offset += len(lines)
    seconds = time.perf_counter() - began
    await stores.close()
    return BACKLOG / seconds


async def _on_cluster(engine: Engine) -> list[dict[str, Any]]:
    raws = [order(number) for number in range(EVENTS)]
    best = bare = 0.0
    for _ in range(CLUSTER_ROUNDS):
        began = time.perf_counter()
        for _ in range(BACKLOG // EVENTS):
            floor(raws)
        bare = max(bare, BACKLOG / (time.perf_counter() - began))
        best = max(best, await _cold(engine))
    what = "read from the servers, match, call a Python step, encode (events/s)"
    return [{"what": what, "floor": bare, "measured": best, "ratio": best / bare, "target": None}]


async def _run() -> list[dict[str, Any]]:
    raws = [order(number) for number in range(EVENTS)]
    once = await _measured(raws)
    best_floor = best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        floor(raws)
        best_floor = min(best_floor, time.perf_counter() - began)
        began = time.perf_counter()
        await once()
        best = min(best, time.perf_counter() - began)
    return [
        {
            "what": "read a batch, match, call a Python step, encode (events/s)",
            "floor": EVENTS / best_floor,
            "measured": EVENTS / best,
            "ratio": best_floor / best,
            "target": 0.5,
        }
    ]


def run(engine: Engine) -> list[dict[str, Any]]:
    """Return the row of this budget."""
    tune_interpreter()
    return uvloop.run(_on_cluster(engine) if engine.pids() else _run())


if __name__ == "__main__":
    with ENGINES[chosen()]() as chosen_engine:
        print(run(chosen_engine))
