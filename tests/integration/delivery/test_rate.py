"""A flow with a rate hands no more to its destination, over all partitions and retries."""

from __future__ import annotations

import time
from pathlib import Path

from busway import App, Event
from busway.app import Node
from busway.sinks import http
from delivery_node import QUICK, event, running, until
from http_target import Answer, Call, http_target

COUNT = 60
PER_S = 100


async def test_the_rate_holds_over_partitions_and_retries(tmp_path: Path) -> None:
    arrived: list[float] = []
    failed: set[str] = set()

    def decide(call: Call) -> Answer:
        arrived.append(time.monotonic())
        if len(arrived) % 10 or call.key in failed:
            return Answer()
        failed.add(call.key)
        return Answer(500)

    app = App("rates")
    async with http_target() as target:
        target.decide = decide
        app.flow("slow", to=http(target.url), retry=QUICK, rate=f"{PER_S}/s")
        async with running(app, tmp_path / "data") as node:
            began = time.monotonic()  # the first is on its way for as long as it likes
            await node.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await node.until("slow", delivered=COUNT)
    took = arrived[-1] - began
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


async def test_a_destination_that_was_down_has_used_up_nothing_of_the_rate(tmp_path: Path) -> None:
    app = App("rates")
    async with http_target() as target:
        await target.stop()
        app.flow("slow", to=http(target.url), rate=f"{COUNT}/h burst {COUNT}")
        async with running(app, tmp_path / "data", partitions=1) as node:
            await node.post(*(event(n) for n in range(COUNT)))
            await node.until("slow", breaker="open")
            await target.start()
            await node.until("slow", delivered=COUNT, backlog=0)


async def test_the_rate_holds_for_what_waited_for_a_destination(tmp_path: Path) -> None:
    """No lane goes with what it was allowed while all of them had to wait."""
    arrived: list[float] = []

    def decide(_: Call) -> Answer:
        arrived.append(time.monotonic())
        return Answer()

    app = App("rates")
    async with http_target() as target:
        target.decide = decide
        await target.stop()
        app.flow("slow", to=http(target.url), rate="10/s burst 10")
        async with running(app, tmp_path / "data", partitions=6) as node:
            await node.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await until(lambda: _opened(node.node, 3), "several probes that failed")
            await target.start()
            await node.until("slow", delivered=COUNT)
    for number, at in enumerate(arrived):
        late_s = 1.0  # for as long the first may have been on its way
        assert number + 1 <= 10 * (at - arrived[0] + late_s) + 10


def _opened(node: Node, times: int) -> bool:
    gate = node.flow_runner.consumers["slow"][0].guard
    return gate.breaker.failures >= times
