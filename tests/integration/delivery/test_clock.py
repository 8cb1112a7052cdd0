"""A clock that is set, while a node runs and between two runs: what waits, waits as long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from busway.clock import SystemClock
from busway.event import Event
from busway.flow import App
from busway.sinks import jsonl
from delivery_node import event, running

HOUR = timedelta(hours=1)


class Set(SystemClock):
    """The machine's clock, which a test sets."""

    def __init__(self, by: timedelta = timedelta(0)) -> None:
        self.by = by

    def wall_clock(self) -> datetime:
        return datetime.now(UTC) + self.by


def app(folder: Path, *waits: str) -> App:
    """Return a flow that fails at each event's first attempt."""
    found = App("t")

    def once(event: Event) -> object:
        if event.attempt == 1:
            raise ValueError("once")
        return event.data

    found.flow("f", to=jsonl(str(folder / "out.jsonl")), steps=[once], retry=list(waits))
    return found


async def test_an_event_is_retried_in_time_though_the_clock_is_set_back(tmp_path: Path) -> None:
    clock = Set()
    async with running(app(tmp_path, "1s"), tmp_path / "data", clock) as node:
        await node.post(event(1))
        await node.until("f", parked=1)
        clock.by = -HOUR
        await node.until("f", delivered=1)


async def test_an_event_is_not_retried_early_because_the_clock_is_set_forward(
    tmp_path: Path,
) -> None:
    clock = Set()
    async with running(app(tmp_path, "30m", "0.2s"), tmp_path / "data", clock) as node:
        await node.post(event(1))
        await node.until("f", parked=1)
        clock.by = 2 * HOUR
        (trouble,) = await node.troubles("f")
        assert trouble.due is not None
        assert trouble.due - clock.now() > timedelta(minutes=20)
        await node.post(event(2))
        await node.until("f", parked=2)
        assert [one.attempts for one in await node.troubles("f")] == [1, 1]


@pytest.mark.parametrize("by", [-HOUR, 20 * HOUR])
async def test_a_wait_lasts_as_long_though_the_clock_was_set_while_nothing_ran(
    tmp_path: Path, by: timedelta
) -> None:
    flows = app(tmp_path, "1s")
    async with running(flows, tmp_path / "data", Set()) as node:
        await node.post(event(1))
        await node.until("f", parked=1)
        (trouble,) = await node.troubles("f")
    clock = Set(by)
    async with running(flows, tmp_path / "data", clock) as node:
        assert trouble.due is not None
        assert abs(clock.now() - trouble.due) < timedelta(minutes=10)
        await node.until("f", delivered=1)
