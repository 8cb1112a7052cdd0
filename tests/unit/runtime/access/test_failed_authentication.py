"""Refusals: counted by reason, told once a minute without the credential, held back for a while."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from busway.runtime.access.failed_authentication import (
    MAX_DELAYED_PER_PEER,
    FailedAuthentications,
)
from busway.telemetry import Metrics
from busway.testing import ManualClock

ME, OTHER = "10.0.0.7", "10.0.0.8"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def counted(metrics: Metrics, reason: str) -> float | None:
    labels = {"part": "api", "reason": reason}
    return metrics.registry.get_sample_value("busway_unauthorized_total", labels)


async def test_a_missing_one_is_counted_and_not_slowed_down(metrics: Metrics) -> None:
    refusals = FailedAuthentications(ManualClock(), metrics)
    assert {refusals.count("api", "missing", ME) for _ in range(50)} == {0.0}
    assert (counted(metrics, "missing"), counted(metrics, "wrong")) == (50, None)


async def test_wrong_ones_are_told_at_once_and_then_as_a_count(metrics: Metrics) -> None:
    clock = ManualClock()
    refusals = FailedAuthentications(clock, metrics)
    with structlog.testing.capture_logs() as told:
        for _ in range(30):
            refusals.count("api", "wrong", ME)
        await clock.advance(61.0)
        assert [(one["address"], one["count"]) for one in told] == [(ME, 1), (ME, 29)]
        await clock.advance(600.0)
    assert len(told) == 2
    assert clock.sleepers == 0, "nothing goes on when all are forgotten"
    assert counted(metrics, "wrong") == 30
    refusals.close()


async def test_an_answer_is_held_back_and_no_more_than_so_many_for_one(metrics: Metrics) -> None:
    clock = ManualClock()
    refusals = FailedAuthentications(clock, metrics)
    held = [asyncio.create_task(refusals.hold(ME, 4.0)) for _ in range(MAX_DELAYED_PER_PEER)]
    await clock.advance(3.0)
    assert not any(one.done() for one in held)
    assert await refusals.hold(ME, 3.5) == 4, "more are turned away at once"
    other = asyncio.create_task(refusals.hold(OTHER, 0.5))
    await clock.advance(1.5)
    assert [await one for one in (*held, other)] == [0] * (MAX_DELAYED_PER_PEER + 1)
    again = asyncio.create_task(refusals.hold(ME, 0.5))
    await clock.advance(1.0)
    assert await again == 0
