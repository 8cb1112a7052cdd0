"""Refusals: counted by reason, told once a minute without the credential, held back for a while."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from busway.runtime.access.refusals import MOST_HELD_FOR_ONE, Refusals
from busway.telemetry import Metrics
from busway.testing import HandClock

ME, OTHER = "10.0.0.7", "10.0.0.8"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def counted(metrics: Metrics, reason: str) -> float | None:
    labels = {"part": "api", "reason": reason}
    return metrics.registry.get_sample_value("busway_unauthorized_total", labels)


async def test_a_missing_one_is_counted_and_not_slowed_down(metrics: Metrics) -> None:
    refusals = Refusals(HandClock(), metrics)
    assert {refusals.count("api", "missing", ME) for _ in range(50)} == {0.0}
    assert (counted(metrics, "missing"), counted(metrics, "wrong")) == (50, None)


async def test_wrong_ones_are_told_at_once_and_then_as_a_count(metrics: Metrics) -> None:
    clock = HandClock()
    refusals = Refusals(clock, metrics)
    with structlog.testing.capture_logs() as told:
        for _ in range(30):
            refusals.count("api", "wrong", ME)
        await clock.turn(61.0)
        assert [(one["address"], one["count"]) for one in told] == [(ME, 1), (ME, 29)]
        await clock.turn(600.0)
    assert len(told) == 2
    assert clock.sleepers == 0, "nothing goes on when all are forgotten"
    assert counted(metrics, "wrong") == 30
    refusals.close()


async def test_an_answer_is_held_back_and_no_more_than_so_many_for_one(metrics: Metrics) -> None:
    clock = HandClock()
    refusals = Refusals(clock, metrics)
    held = [asyncio.create_task(refusals.hold(ME, 4.0)) for _ in range(MOST_HELD_FOR_ONE)]
    await clock.turn(3.0)
    assert not any(one.done() for one in held)
    assert await refusals.hold(ME, 3.5) == 4, "more are turned away at once"
    other = asyncio.create_task(refusals.hold(OTHER, 0.5))
    await clock.turn(1.5)
    assert [await one for one in (*held, other)] == [0] * (MOST_HELD_FOR_ONE + 1)
    again = asyncio.create_task(refusals.hold(ME, 0.5))
    await clock.turn(1.0)
    assert await again == 0
