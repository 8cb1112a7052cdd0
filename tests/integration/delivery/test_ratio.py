"""A destination that answers, and fails: its breaker opens on a ratio, and no more is parked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busway import App, BreakerPolicy
from busway.control.record import breaker_records
from busway.sinks import http
from delivery_node import QUICK, Running, event, running, until
from http_target import Answer, Call, HttpTarget, http_target

COUNT = 300


def number(call: Call) -> int:
    return int(msgspec.json.decode(call.body)["data"]["n"])


def an_app(target: HttpTarget, **options: Any) -> App:
    app = App("t")
    to = http(target.url, concurrency=4)
    app.flow("f", when={"type": ["made"]}, to=to, retry=QUICK, **options)
    return app


async def nothing_moves(busway: Running, target: HttpTarget, probes: int) -> None:
    """Check that probes go on, and that they neither park anything nor use an attempt up.

    What was in hand when the breaker opened may be parked yet; after that a probe changes nothing.
    """

    async def attempts() -> list[tuple[int, int]]:
        return [(one.offset, one.attempts) for one in await busway.troubles("f", limit=COUNT)]

    async def nothing_moved() -> bool:
        before = await attempts()
        calls = len(target.calls)
        await until(lambda: len(target.calls) >= calls + probes, "probes")
        return await attempts() == before

    await until(nothing_moved, f"{probes} probes change nothing")


async def failed_probes(busway: Running, least: int) -> bool:
    """Say whether the ledger tells of so many probes in a row, beside what opened the breaker."""
    (record,) = (await breaker_records(busway.stores.ledger)).values()
    return record.failures > least


async def test_500_to_all_opens_it_and_parks_no_more(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(500, body=b"no disk")
        async with running(
            an_app(target, breaker=BreakerPolicy(max_wait="1s")), tmp_path
        ) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            await busway.until("f", breaker="open")
            await nothing_moves(busway, target, 3)
            status = await busway.status("f")
            assert 20 <= status.parked <= 2 * (20 + 2 * 4)
            assert status.dead == 0
            assert "http 500: no disk" in status.breaker_reason
            await until(lambda: failed_probes(busway, 3), "the probes are known")
            target.decide = lambda call: Answer()
            await busway.until("f", delivered=COUNT, parked=0, breaker="closed")
    assert max(Counter(number(call) for call in target.taken).values()) == 1


async def test_it_tells_since_when_and_when_it_probes(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(500)
        app = an_app(target, breaker=BreakerPolicy(initial_wait="60s", max_wait="60s"))
        async with running(app, tmp_path) as busway:
            await busway.post(*(event(n) for n in range(40)))
            await busway.until("f", breaker="open")
            (record,) = (await breaker_records(busway.stores.ledger)).values()
    assert record.probe_at is not None
    assert 55 < (record.probe_at - record.since).total_seconds() <= 60.1


async def test_bad_events_among_good_ones_are_told_from_a_failing_destination(
    tmp_path: Path,
) -> None:
    """More than half of them fail for ever; all others land, and the bad ones are given up."""
    async with http_target() as target:
        target.decide = lambda call: Answer(500 if number(call) % 5 < 3 else 200)
        async with running(
            an_app(target, breaker=BreakerPolicy(max_wait="1s")), tmp_path
        ) as busway:
            await busway.post(*(event(n, key=f"k{n}") for n in range(COUNT)))
            bad = COUNT * 3 // 5
            await busway.until("f", delivered=COUNT - bad, backlog=0)
            await busway.post(event(COUNT + 4))  # whatever failed last: the destination works
            await busway.until("f", delivered=COUNT - bad + 1, dead=bad, parked=0, backlog=0)
            for letter in await busway.troubles("f", state="dead", limit=COUNT):
                assert letter.attempts == QUICK.max_attempts


@pytest.mark.parametrize("breaker", [False, BreakerPolicy(ratio=None)])
async def test_the_ratio_can_be_switched_off(tmp_path: Path, breaker: object) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(500)
        async with running(an_app(target, breaker=breaker), tmp_path) as busway:
            await busway.post(*(event(n) for n in range(100)))
            await busway.until("f", dead=100, breaker="closed")
