"""Limits that flows and steps share, and how many requests a destination gets at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from busway import Adaptive, App, Event, Step
from busway.sinks import http, jsonl
from delivery_node import QUICK, event, running, until
from http_target import Answer, Call, HttpTarget, http_target

COUNT = 60
PER_S = 100


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as found:
        yield found


class Crowd:
    """Counts who is inside at a time, and when each came in."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.came: list[float] = []
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.came.append(time.monotonic())
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self._lock:
            self.inside -= 1

    def kept_to(self, per_s: float, burst: int, since: float, lanes: int) -> bool:
        """Whether no more came since a time, and over any time, than a rate and a burst allow.

        What lanes were allowed, up to a burst each, may have waited for an answer to what went
        before, and come together when that comes.
        """
        came = self.came
        return all(
            number + 1 <= per_s * (at - since) + burst for number, at in enumerate(came)
        ) and all(
            last - first + 1 <= per_s * (came[last] - came[first]) + burst * (1 + lanes)
            for first in range(len(came))
            for last in range(first, len(came))
        )


async def test_two_flows_keep_to_a_common_limit_together(
    tmp_path: Path, target: HttpTarget
) -> None:
    crowd = Crowd()

    def decide(_: Call) -> Answer:
        crowd.enter()
        return Answer()

    target.decide = decide
    app = App("t")
    crm = app.limit("crm", rate=f"{PER_S}/s burst 5", concurrency=2)
    app.flow("a", to=http(f"{target.url}?a"), limit=crm)
    app.flow("b", to=http(f"{target.url}?b"), limit="crm")
    async with running(app, tmp_path) as busway:
        began = time.monotonic()
        target.hold_until_busy(2)
        await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
        await busway.until("a", delivered=COUNT)
        await busway.until("b", delivered=COUNT)
    assert target.busiest == 2
    assert crowd.kept_to(PER_S, 5, began, lanes=4)
    assert crowd.came[-1] - began >= (2 * COUNT - 5) / PER_S * 0.95


async def test_a_limit_holds_inside_steps_and_for_a_flow_at_a_time(
    tmp_path: Path, target: HttpTarget
) -> None:
    crowd = Crowd()
    app = App("t")
    crm = app.limit("crm", concurrency=2)

    def step(event: Event) -> dict[str, int]:
        with crm:
            crowd.enter()
            time.sleep(0.002)
            crowd.leave()
        return {"n": event.data["n"]}

    async def coroutine(event: Event) -> dict[str, int]:
        async with crm:
            crowd.enter()
            await asyncio.sleep(0.002)
            crowd.leave()
        return {"n": event.data["n"]}

    app.flow("a", to=jsonl(str(tmp_path / "a.jsonl")), steps=[step])
    app.flow("b", to=jsonl(str(tmp_path / "b.jsonl")), steps=[coroutine])
    app.flow("c", to=http(target.url), limit=crm)
    async with running(app, tmp_path / "data", partitions=4) as busway:
        await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
        for flow in ("a", "b", "c"):
            await busway.until(flow, delivered=COUNT)
    assert len(crowd.came) == 2 * COUNT
    assert crowd.most == 2, "two of the threads, coroutines and requests at a time"
    assert step(Event(type="t", source="/s", data={"n": 1})) == {"n": 1}, "a plain function"


async def test_waiting_for_a_limit_does_not_count_towards_the_time_of_a_step(
    tmp_path: Path,
) -> None:
    app = App("t")
    slow = app.limit("slow", rate="5/s")

    def step(event: Event) -> dict[str, int]:
        with slow:
            return {"n": event.data["n"]}

    async def coroutine(event: Event) -> dict[str, int]:
        async with slow:
            return {"n": event.data["n"]}

    for name, function in (("a", step), ("b", coroutine)):
        steps = [Step(function, timeout_s=0.2)]
        app.flow(name, to=jsonl(str(tmp_path / f"{name}.jsonl")), steps=steps, retry=QUICK)
    async with running(app, tmp_path / "data") as busway:
        await busway.post(*(event(n) for n in range(6)))
        for name in ("a", "b"):
            status = await busway.until(name, delivered=6)
            assert (status.parked, status.dead) == (0, 0)
            assert await busway.troubles(name) == []


async def test_a_step_that_is_stopped_gives_its_limit_back(tmp_path: Path) -> None:
    app = App("t")
    one = app.limit("one", concurrency=1)

    def step(event: Event) -> dict[str, int]:
        with one:
            while event.data["n"] == 0:
                time.sleep(0.01)
            return {"n": event.data["n"]}

    steps = [Step(step, timeout_s=0.2)]
    app.flow("f", to=jsonl(str(tmp_path / "f.jsonl")), steps=steps, retry=QUICK)
    async with running(app, tmp_path / "data") as busway:
        await busway.post(*(event(n, key=f"k{n}") for n in range(10)))
        await busway.until("f", delivered=9, dead=1)
        (letter,) = await busway.troubles("f", state="dead")
        assert letter.error == "StepTimeout"


async def test_with_in_an_async_step_is_refused_with_what_to_do(tmp_path: Path) -> None:
    app = App("t")
    one = app.limit("one", concurrency=1)

    async def coroutine(event: Event) -> None:
        with one:
            return

    app.flow("f", to=jsonl(str(tmp_path / "f.jsonl")), steps=[coroutine], retry=["10ms"])
    async with running(app, tmp_path / "data") as busway:
        await busway.post(event(0))
        await busway.until("f", dead=1)
        (letter,) = await busway.troubles("f", state="dead")
        assert "use `async with` for the limit 'one'" in letter.failures[0].reason


async def test_a_destination_gets_no_more_at_a_time_than_it_takes(
    tmp_path: Path, target: HttpTarget
) -> None:
    target.hold_until_busy(3)
    app = App("t")
    to = http(target.url, concurrency=3)
    app.flow("a", to=to)
    app.flow("b", to=to)
    async with running(app, tmp_path, partitions=4) as busway:
        await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
        await busway.until("a", delivered=COUNT)
        await busway.until("b", delivered=COUNT)
    assert target.busiest == 3


async def test_adaptive_concurrency_rises_and_falls_with_429(
    tmp_path: Path, target: HttpTarget
) -> None:
    app = App("t")
    to = http(target.url, concurrency=Adaptive(1, 32))
    app.flow("f", when={"type": ["made"]}, to=to, retry=QUICK)
    async with running(app, tmp_path) as busway:
        slots = busway.node.flow_runner.consumers["f"][0].guard.concurrency_limiter
        limits: list[int] = []

        def note(_: Call) -> Answer:
            limits.append(slots.limit or 0)
            return Answer()

        target.decide = note
        await busway.post(*(event(n, key=f"k{n}") for n in range(600)))
        await busway.until("f", delivered=600)
        assert limits[0] == 4
        assert max(limits) > 4, "more than it began with"
        risen = slots.limit or 0
        target.decide = lambda call: Answer(429, {"Retry-After": "0"})
        await busway.post(*(event(n, key=f"k{n}") for n in range(600, 640)))
        await until(lambda: (slots.limit or 0) <= max(1, risen // 4), "it falls")
        target.decide = lambda call: Answer()
        status = await busway.until("f", delivered=640)
        assert (status.dead, slots.in_flight) == (0, 0)
