"""A destination that is down, in every way: nothing is lost, and no attempt is used up by it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busway import App, Backoff, BreakerPolicy
from busway.control.operator_control import operation as steer
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import ControlTarget
from busway.control.record import breaker_records
from busway.sinks import http
from delivery_node import QUICK, Running, event, running, until
from http_target import Answer, Call, HttpTarget, http_target

FLOW = ControlTarget("flow", "f")
COUNT = 200
KEYS = 7


def number(call: Call) -> int:
    found: int = msgspec.json.decode(call.body)["data"]["n"]
    return found


def an_app(target: HttpTarget, **options: Any) -> App:
    """Return an app with a flow to the target; where it hangs, the timeout has to be short."""
    app = App("t")
    to = http(target.url, timeout=options.pop("timeout", "20s"), concurrency=4)
    given = {
        "retry": QUICK,
        "breaker": BreakerPolicy(initial_wait="100ms", max_wait="200ms"),
    } | options
    app.flow("f", to=to, **given)
    return app


def events(first: int, last: int) -> list[dict[str, Any]]:
    return [event(n, key=f"k{n % KEYS}") for n in range(first, last)]


def in_order(target: HttpTarget) -> None:
    """Check that each key's events were taken in order, wherever one came first."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for call in target.taken:
        if number(call) not in found[number(call) % KEYS]:
            found[number(call) % KEYS].append(number(call))
    for numbers in found.values():
        assert numbers == sorted(numbers)


@pytest.fixture
async def target() -> AsyncIterator[HttpTarget]:
    async with http_target() as found:
        yield found


async def downs(busway: Running) -> int:
    """Return how many times in a row the destination was found to be down."""
    return sum(one.failures for one in (await breaker_records(busway.stores.ledger)).values())


async def none_on_its_way(busway: Running) -> None:
    """Return once all that was sent has an answer."""
    slots = busway.node.flow_runner.consumers["f"][0].guard.concurrency_limiter
    await until(lambda: slots.in_flight == 0, "all have an answer")


async def found_down(busway: Running, more: int) -> None:
    """Return once it was found to be down some times more, without being up in between."""
    wanted = await downs(busway) + more

    async def found() -> bool:
        return await downs(busway) >= wanted

    await until(found, f"{more} times down")


async def nothing_was_tried(busway: Running, taken: Collection[int] = ()) -> None:
    """Check that downtime parked nothing: the backlog stays in the log.

    Events that were ``taken`` may be parked: on a slow machine the answer comes too late.
    """
    status = await busway.status("f")
    troubles = await busway.troubles("f", limit=COUNT)
    assert [one for one in troubles if int(one.event_id[1:]) not in taken] == []
    assert status.dead == 0
    assert status.breaker in ("open", "half-open")
    assert status.breaker_reason


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_destination_that_refuses_connections(
    tmp_path: Path, target: HttpTarget, ordered: bool
) -> None:
    async with running(an_app(target, ordered=ordered), tmp_path) as busway:
        await busway.post(*events(0, COUNT))
        await busway.until("f", delivered=COUNT)
        await target.stop()
        for first in range(COUNT, 3 * COUNT, 50):
            await busway.post(*events(first, first + 50))
        await busway.until("f", breaker="open")
        await nothing_was_tried(busway)
        await target.start()
        status = await busway.until("f", delivered=3 * COUNT, backlog=0)
        assert (status.parked, status.dead) == (0, 0)
        await busway.until("f", breaker="closed", breaker_reason="")
    assert {number(call) for call in target.taken} == set(range(3 * COUNT))
    if ordered:
        in_order(target)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("answer", [Answer(503), Answer(hang=True), Answer(drop=True)], ids=str)
async def test_a_destination_that_answers_that_it_is_down_or_nothing(
    tmp_path: Path, target: HttpTarget, answer: Answer, ordered: bool
) -> None:
    app = an_app(target, ordered=ordered, timeout="300ms" if answer.hang else "20s")
    async with running(app, tmp_path) as busway:
        target.decide = lambda call: answer
        await busway.post(*events(0, COUNT))
        await busway.until("f", breaker="open")
        await found_down(busway, 2)
        await nothing_was_tried(busway)
        target.decide = lambda call: Answer()
        status = await busway.until("f", delivered=COUNT, backlog=0)
        assert (status.parked, status.dead) == (0, 0)
    assert {number(call) for call in target.taken} == set(range(COUNT))
    if ordered:
        in_order(target)


async def test_429_is_waited_for_at_least_as_long_as_it_asks(
    tmp_path: Path, target: HttpTarget
) -> None:
    refused_at: list[float] = []
    came_at: list[float] = []

    def refuse(call: Call) -> Answer:
        refused_at.append(time.monotonic())
        return Answer(429, {"Retry-After": "2"})

    def take(call: Call) -> Answer:
        came_at.append(time.monotonic())
        return Answer()

    target.decide = refuse
    async with running(an_app(target), tmp_path, partitions=1) as busway:
        await busway.post(*events(0, 30))
        await until(lambda: len(target.done) >= 5, "some refusals")
        await none_on_its_way(busway)
        assert (await busway.status("f")).breaker == "closed"
        target.decide = take
        status = await busway.until("f", delivered=30)
        assert (status.parked, status.dead) == (0, 0)
    assert min(came_at) - max(refused_at) >= 2.0


async def test_500_to_some_uses_their_attempts_up_and_no_other(
    tmp_path: Path, target: HttpTarget
) -> None:
    seen: defaultdict[int, int] = defaultdict(int)

    def decide(call: Call) -> Answer:
        seen[number(call)] += 1
        if number(call) % 50 == 0:
            return Answer(500)
        return Answer(500 if number(call) % 10 == 0 and seen[number(call)] < 3 else 200)

    target.decide = decide
    async with running(an_app(target, ordered=True), tmp_path) as busway:
        await busway.post(*events(0, COUNT))
        dead = COUNT // 50
        await busway.until("f", delivered=COUNT - dead, dead=dead, parked=0, backlog=0)
        for letter in await busway.troubles("f", state="dead"):
            assert letter.attempts == QUICK.attempts
            assert {failure.error for failure in letter.failures} == {"http 500"}
    assert all(seen[n] == 3 for n in range(0, COUNT, 10))
    assert all(count == 1 for n, count in seen.items() if n % 10)
    in_order(target)


async def test_410_stops_the_flow_until_it_is_resumed_and_loses_nothing(
    tmp_path: Path, target: HttpTarget
) -> None:
    target.decide = lambda call: Answer(410 if number(call) >= 5 else 200)
    app = an_app(target, when={"type": ["made"]})
    async with running(app, tmp_path, partitions=1, drain_s=2.0) as busway:
        await busway.post(*events(0, 5))
        await busway.until("f", delivered=5)
        await busway.post(*events(5, 50))
        status = await busway.until("f", breaker="gone")
        assert (status.parked, status.dead) == (0, 0)
        await none_on_its_way(busway)
        calls = len(target.calls)
        await busway.post(*events(50, 60))
        assert (await busway.status("f")).delivered == 5
        assert len(target.calls) == calls
    async with running(app, tmp_path, partitions=1) as busway:
        assert (await busway.status("f")).breaker == "gone"
        assert len(target.calls) == calls, "a restart does not call it"
        await steer.resume(busway.node.control, FLOW, ControlCommand(actor="ann"))
        await until(lambda: len(target.calls) > calls, "a call after the resume")
        await busway.until("f", breaker="gone")
    calls = len(target.calls)
    target.decide = lambda call: Answer()
    async with running(app, tmp_path, partitions=1) as busway:
        assert (await busway.status("f")).breaker == "gone", "what was resumed before stays so"
        assert len(target.calls) == calls
        await steer.resume(busway.node.control, FLOW, ControlCommand(actor="ann"))
        await until(lambda: len(target.taken) >= 60, "all have come")
        await busway.until("f", breaker="closed", parked=0, dead=0)


async def test_what_is_parked_stays_parked_while_its_destination_is_down(
    tmp_path: Path, target: HttpTarget
) -> None:
    target.decide = lambda call: Answer(500 if number(call) == 0 else 200)
    slow = Backoff(first=0.3, factor=1.0, jitter=0.0, attempts=50)
    async with running(an_app(target, retry=slow), tmp_path) as busway:
        await busway.post(*events(0, 10))
        await busway.until("f", delivered=9, parked=1)
        await target.stop()
        await busway.post(event(10))
        await busway.until("f", breaker="open")
        await found_down(busway, 1)
        (parked,) = await busway.troubles("f", state="parked")
        await found_down(busway, 2)
        (still,) = await busway.troubles("f", state="parked")
        assert still.attempts == parked.attempts
        target.decide = lambda call: Answer()
        await target.start()
        await busway.until("f", delivered=11, parked=0)


@pytest.mark.parametrize("answer", [Answer(503), Answer(hang=True)], ids=str)
async def test_it_goes_down_in_the_middle_of_a_load(
    tmp_path: Path, target: HttpTarget, answer: Answer
) -> None:
    target.decide = lambda call: Answer() if len(target.done) < 50 else answer
    app = an_app(target, timeout="300ms" if answer.hang else "20s")
    async with running(app, tmp_path, partitions=1) as busway:
        await busway.post(*events(0, COUNT))
        # a slow machine may take longer than the timeout: only from here on all of it fails
        await until(lambda: len(target.taken) == 50, "the middle of the load")
        await found_down(busway, 3)
        await nothing_was_tried(busway, {number(call) for call in target.taken})
        target.decide = lambda call: Answer()
        await busway.until("f", delivered=COUNT, parked=0)
