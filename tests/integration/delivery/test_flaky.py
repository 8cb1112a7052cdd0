"""An API that answers 503, 429 or nothing now and then, by chance: nothing has to be declared."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from busway import App, Backoff
from busway.control.flow.status import FlowStatus
from busway.control.operator_control import operation as steer
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import ControlTarget
from busway.control.record import breaker_records
from busway.sinks import http
from delivery_node import Running, event, running, until
from http_target import Answer, Call, HttpTarget, http_target

COUNT = 120
SOON = Backoff(first=0.05, factor=1.0, cap=0.1, attempts=10)
UNAVAILABLE = Answer(503)
LIMITED = Answer(429, {"Retry-After": "0"})
LATE = Answer(hang=True)


def flaky(share: float, answer: Answer) -> Callable[[Call], Answer]:
    """Return what answers so to a share of the requests."""
    chance = random.Random(7)
    return lambda call: answer if chance.random() < share else Answer()


def an_app(target: HttpTarget, concurrency: int = 16, **options: Any) -> App:
    app = App("t")
    to = http(target.url, timeout=options.pop("timeout", "20s"), concurrency=concurrency)
    app.flow("f", when={"type": ["made"]}, to=to, **({"retry": SOON} | options))
    return app


def largest_rate(times: list[float]) -> int:
    """Return the most requests in any second."""
    return max(sum(0 <= other - at < 1.0 for other in times) for at in times)


async def delivered(busway: Running, count: int) -> FlowStatus:
    status = await busway.until("f", delivered=count, parked=0, backlog=0)
    assert status.dead == 0
    return status


async def downs(busway: Running) -> int:
    return sum(one.failures for one in (await breaker_records(busway.stores.ledger)).values())


@pytest.mark.parametrize(
    ("answer", "share", "concurrency"),
    [
        pytest.param(UNAVAILABLE, 0.05, 16, id="503-0.05-16"),
        pytest.param(UNAVAILABLE, 0.25, 1, id="503-0.25-1"),
        pytest.param(UNAVAILABLE, 0.5, 1, id="503-0.5-1"),
        pytest.param(UNAVAILABLE, 0.5, 16, id="503-0.5-16"),
        pytest.param(LIMITED, 0.25, 16, id="429-0.25-16"),
        pytest.param(LIMITED, 0.5, 1, id="429-0.5-1"),
    ],
)
async def test_all_is_delivered_and_it_is_never_down(
    tmp_path: Path, answer: Answer, share: float, concurrency: int
) -> None:
    states: set[str] = set()
    async with http_target() as target:
        target.decide = flaky(share, answer)
        async with running(an_app(target, concurrency), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))

            async def all_delivered() -> bool:
                status = await busway.status("f")
                states.add(status.breaker)
                return status.delivered == COUNT

            await until(all_delivered, "all are delivered")
            await delivered(busway, COUNT)
        requests = len(target.calls)
    assert states == {"closed"}
    assert requests <= 1.5 * COUNT / (1 - share) + 10


@pytest.mark.parametrize("breaker", [None, False])
async def test_half_503_and_a_tenth_429(tmp_path: Path, breaker: object) -> None:
    chance = random.Random(11)

    def decide(call: Call) -> Answer:
        drawn = chance.random()
        return UNAVAILABLE if drawn < 0.5 else LIMITED if drawn < 0.6 else Answer()

    async with http_target() as target:
        target.decide = decide
        async with running(an_app(target, breaker=breaker), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await delivered(busway, COUNT)
            assert await downs(busway) == 0


async def test_answers_that_come_too_late_now_and_then(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = flaky(0.1, LATE)
        async with running(an_app(target, timeout="500ms"), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(40)))
            await delivered(busway, 40)


async def test_half_503_at_a_rate_uses_the_rate(tmp_path: Path) -> None:
    """As many are delivered as are let through: all that the rate sends goes to the API."""
    at: list[float] = []
    chance = random.Random(3)

    def decide(call: Call) -> Answer:
        at.append(time.monotonic())
        return UNAVAILABLE if chance.random() < 0.5 else Answer()

    async with http_target() as target:
        target.decide = decide
        async with running(an_app(target, rate="40/s"), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await delivered(busway, COUNT)
            assert await downs(busway) == 0
    assert largest_rate(at) <= 40 + 4
    assert len(at) <= 2.6 * COUNT, "an event that failed is not sent more often than needed"


async def test_few_events_with_a_503_now_and_then(tmp_path: Path) -> None:
    """One event at a time, each refused at first: it is delivered, and nothing is down."""
    seen: set[str] = set()

    def decide(call: Call) -> Answer:
        first = call.key not in seen
        seen.add(call.key)
        return UNAVAILABLE if first else Answer()

    async with http_target() as target:
        target.decide = decide
        async with running(an_app(target), tmp_path) as busway:
            for number in range(5):
                await busway.post(event(number))
                await busway.until("f", delivered=number + 1, parked=0)
            assert await downs(busway) == 0
        assert len(target.calls) == 10


@pytest.mark.parametrize(
    ("answer", "count", "rate"),
    [
        pytest.param(UNAVAILABLE, 1, None, id="503-1"),
        pytest.param(UNAVAILABLE, 60, "100/s", id="503-60-rate"),
        pytest.param(LATE, 1, "100/s", id="late-1-rate"),
        pytest.param(LATE, 60, None, id="late-60"),
        pytest.param(None, 1, "100/s", id="refused-1-rate"),
        pytest.param(None, 60, None, id="refused-60"),
    ],
)
async def test_one_that_is_really_down_is_noticed_and_costs_no_attempt(
    tmp_path: Path, answer: Answer | None, count: int, rate: str | None
) -> None:
    async with http_target() as target:
        app = an_app(target, rate=rate, timeout="400ms" if answer is LATE else "20s")
        async with running(app, tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(20)))
            await delivered(busway, 20)
            if answer is None:
                await target.stop()
            else:
                target.decide = lambda call: answer
            await busway.post(*(event(n, key=f"k{n}") for n in range(20, 20 + count)))
            status = await busway.until("f", breaker="open")
            assert status.state == "down"
            assert status.down_since is not None
            assert (status.parked, status.dead) == (0, 0)
            troubles = await busway.troubles("f")
            assert [one.attempts for one in troubles] == []
            target.decide = lambda call: Answer()
            await target.start() if answer is None else None
            await delivered(busway, 20 + count)


async def test_one_poisonous_event_at_a_low_rate_of_others_stops_nobody(tmp_path: Path) -> None:
    """It alone gets 503, the others come one by one: it is given up, they are delivered."""
    async with http_target() as target:
        target.decide = lambda call: UNAVAILABLE if b'"n":3}' in call.body else Answer()
        quick = Backoff(first=0.02, factor=1.0, cap=0.1, attempts=3)
        async with running(an_app(target, retry=quick, rate="15/s"), tmp_path) as busway:
            await busway.post(*(event(n) for n in range(8)))
            number = 8

            async def given_up() -> bool:
                nonlocal number
                await busway.post(event(number))
                number += 1
                await asyncio.sleep(0.1)
                return (await busway.status("f")).dead == 1

            await until(given_up, "the poisonous event is given up")
            await busway.until("f", delivered=number - 1, dead=1, parked=0, backlog=0)


async def test_429_to_all_opens_no_breaker_and_uses_no_attempt(tmp_path: Path) -> None:
    at: list[float] = []

    def decide(call: Call) -> Answer:
        at.append(time.monotonic())
        return Answer(429, {"Retry-After": "1"})

    async with http_target() as target:
        target.decide = decide
        async with running(an_app(target, concurrency=4), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await until(lambda: len(at) >= 9, "some refusals")
            status = await busway.status("f")
            assert (status.breaker, status.dead) == ("closed", 0)
            assert all(one.attempts == 0 for one in await busway.troubles("f"))
            assert largest_rate(at[4:]) <= 5, "after the first ones it waits as long as is asked"
            target.decide = lambda call: Answer()
            await delivered(busway, COUNT)


async def test_a_long_wait_that_429_asks_for_is_told_and_ends_by_resume(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(429, {"Retry-After": "3600"})
        async with running(an_app(target, concurrency=4), tmp_path) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            asked = "the destination asked for a wait (HTTP 429)"
            status = await busway.until("f", state="running", state_reason=asked)
            assert status.until is not None
            assert (status.until - datetime.now(UTC)).total_seconds() > 3_000
            target.decide = lambda call: Answer()
            await steer.resume(
                busway.node.control, ControlTarget("flow", "f"), ControlCommand("ann")
            )
            await busway.until("f", backlog=0, until=None, state_reason="")
