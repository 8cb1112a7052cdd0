"""A flow with a rate hands no more to its destination, over all partitions and retries."""

from __future__ import annotations

import time
from pathlib import Path

from busway import App, Event
from busway.sinks import http
from delivery_node import QUICK, event, running
from http_target import Answer, Call, http_target

COUNT = 60
PER_S = 100


async def test_the_rate_holds_over_partitions_and_retries(tmp_path: Path) -> None:
    arrived: list[float] = []

    def decide(_: Call) -> Answer:
        arrived.append(time.monotonic())
        return Answer(500 if len(arrived) % 10 == 0 else 200)

    app = App("rates")
    async with http_target() as target:
        target.decide = decide
        app.flow("slow", to=http(target.url), retry=QUICK, rate=f"{PER_S}/s")
        async with running(app, tmp_path / "data") as node:
            await node.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await node.until("slow", delivered=COUNT)
    took = arrived[-1] - arrived[0]
    assert len(arrived) > COUNT
    assert len(arrived) <= PER_S * took + 0.1 * PER_S + 1


async def test_what_a_step_filters_uses_nothing_of_the_rate(tmp_path: Path) -> None:
    app = App("rates")
    seen: list[float] = []

    @app.flow(to=http("http://127.0.0.1:9"), rate="0.001/s")
    def never(event: Event) -> None:
        seen.append(time.monotonic())

    async with running(app, tmp_path / "data") as node:
        await node.post(*(event(n) for n in range(COUNT)))
        await node.until("never", backlog=0, filtered=COUNT)
    assert len(seen) == COUNT
