"""Classes of errors, schedules and ages against a real destination."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from busway import App, Backoff, Event
from busway.sinks import http
from delivery_node import event, running, until
from http_target import Answer, Call, HttpTarget, http_target

QUICK = Backoff(first="20ms", factor=1, jitter=0, attempts=3)


def number(call: Call) -> int:
    return int(msgspec.json.decode(call.body)["data"]["n"])


def statuses(target: HttpTarget, found: dict[int, int]) -> None:
    """Have the target answer each event with a status, 200 unless it is given."""
    target.decide = lambda call: Answer(found.get(number(call), 200))


def with_policy(policy: Backoff, **names: list[str]) -> Backoff:
    return msgspec.structs.replace(policy, **names)


async def test_by_default_5xx_and_some_4xx_are_tried_again(tmp_path: Path) -> None:
    given = dict(enumerate([400, 404, 422, 408, 409, 425, 500, 501]))
    async with http_target() as target:
        statuses(target, given)
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url), retry=QUICK)
        async with running(app, tmp_path) as busway:
            await busway.post(*(event(n) for n in range(20)))
            await busway.until("f", delivered=12, dead=8)
            calls = Counter(number(call) for call in target.calls)
            tried = {given[n]: calls[n] for n in given}
            assert tried == dict.fromkeys([400, 404, 422], 1) | dict.fromkeys(
                [408, 409, 425, 500, 501], 3
            )
            for letter in await busway.troubles("f", state="dead"):
                assert letter.error == f"http {given[int(letter.event_id[1:])]}"
                assert all(one.took_ms is not None for one in letter.failures)


async def test_a_policy_names_what_is_given_up_and_what_is_tried_again(tmp_path: Path) -> None:
    policy = with_policy(QUICK, dead=["http 5*", "ValueError"], retried=["http 404", "http 410"])

    def step(event: Event) -> Event:
        if event.data["n"] == 7:
            raise ValueError("never")
        if event.data["n"] == 8:
            raise KeyError("perhaps")
        return event

    async with http_target() as target:
        statuses(target, {1: 500, 2: 404, 3: 410, 4: 422})
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url), steps=[step], retry=policy)
        async with running(app, tmp_path) as busway:
            await busway.post(*(event(n) for n in range(10)))
            await busway.until("f", delivered=4, dead=6, breaker="closed")
            attempts = {
                one.event_id: (one.error, one.attempts)
                for one in await busway.troubles("f", state="dead")
            }
    assert attempts == {
        "e1": ("http 500", 1),
        "e2": ("http 404", 3),
        "e3": ("http 410", 3),
        "e4": ("http 422", 1),
        "e7": ("ValueError", 1),
        "e8": ("KeyError", 3),
    }


async def test_what_a_policy_takes_for_downtime_uses_no_attempt(tmp_path: Path) -> None:
    policy = with_policy(QUICK, down=["http 409"])
    async with http_target() as target:
        target.decide = lambda call: Answer(409, body=b"locked")
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url), retry=policy)
        async with running(app, tmp_path) as busway:
            await busway.post(*(event(n) for n in range(30)))
            status = await busway.until("f", breaker="open", breaker_reason="http 409: locked")
            calls = len(target.calls)
            await until(lambda: len(target.calls) >= calls + 2, "two probes")
            status = await busway.status("f")
            assert (status.parked, status.dead) == (0, 0)
            target.decide = lambda call: Answer()
            await busway.until("f", delivered=30, breaker="closed")


async def test_a_schedule_is_kept_and_retry_after_is_obeyed(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(500, {"Retry-After": "1"} if number(call) else {})
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url), retry=["50ms", "300ms"])
        async with running(app, tmp_path) as busway:
            await busway.post(event(0), event(1))
            await busway.until("f", dead=2)
            plain, asked = await busway.troubles("f", state="dead")
            plain, asked = sorted((plain, asked), key=lambda one: one.event_id)
    for letter, waits in ((plain, (0.05, 0.3)), (asked, (1.0, 1.0))):
        times = [one.at for one in letter.failures]
        assert len(times) == 3
        for first, second, wait in zip(times, times[1:], waits, strict=False):
            assert second - first >= timedelta(seconds=wait)


async def test_an_event_that_gets_too_old_is_given_up(tmp_path: Path) -> None:
    policy = Backoff(kind="fixed", first="50ms", jitter=0, attempts=None, max_age="400ms")
    async with http_target() as target:
        target.decide = lambda call: Answer(500)
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url), retry=policy)
        async with running(app, tmp_path) as busway:
            await busway.post(event(0))
            await busway.until("f", dead=1)
            (letter,) = await busway.troubles("f", state="dead")
    assert letter.attempts >= 2
    took = letter.failures[-1].at - letter.failures[0].at
    assert timedelta(seconds=0.4) <= took


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_failed_step_tells_how_long_it_took(tmp_path: Path, asynchronous: bool) -> None:
    def step(event: Event) -> None:
        time.sleep(0.05)
        raise ValueError("late")

    async def coroutine(event: Event) -> None:
        await asyncio.sleep(0.05)
        raise ValueError("late")

    app = App("t")
    began = time.perf_counter()
    steps = [coroutine if asynchronous else step]
    app.flow("f", to=http("http://127.0.0.1:9"), steps=steps, retry=Backoff(attempts=1))
    async with running(app, tmp_path) as busway:
        await busway.post(event(0))
        await busway.until("f", dead=1)
        (letter,) = await busway.troubles("f", state="dead")
    most_ms = (time.perf_counter() - began) * 1000
    took_ms = letter.failures[0].took_ms
    assert took_ms is not None
    assert 49 <= took_ms < most_ms
