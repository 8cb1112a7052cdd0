"""The schedule source as it is read, with a clock that is turned by hand."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from busway.errors import BuswayError, FlowError, SourceError
from busway.event import Event
from busway.ports import ReaderContext, ReaderSource, SourceChunk
from busway.source.schedule import Schedule
from busway.testing import ManualClock

START = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)


class SetClock(ManualClock):
    """A clock whose machine's clock was set: ``by`` is how far back."""

    by = timedelta()

    def wall_clock_offset(self) -> timedelta:
        return self.by


class Reader:
    """Reads a schedule, and opens it again at its last position."""

    def __init__(self, clock: ManualClock | None = None, **given: Any) -> None:
        self.clock = clock or ManualClock(START)
        self.change(**given)
        self.position: bytes | None = None
        self.refused: list[tuple[str, int]] = []

    def change(self, **given: Any) -> None:
        self.schedule = Schedule("nightly", **{"type": "due", **given})
        self.schedule.validate_config()

    async def open(self) -> None:
        self.reading = await self.schedule.open(ReaderContext(self.clock), self.position)

    def keep(self, chunk: SourceChunk) -> list[Event]:
        self.position = chunk.position
        self.refused += [(one.code, one.count) for one in chunk.refused]
        return list(chunk.events)

    async def events_in(self, seconds: float) -> list[Event]:
        """Return the events that come in a time."""
        events: list[Event] = []

        async def read() -> None:
            while True:
                events.extend(self.keep(await self.reading.read()))

        task = asyncio.create_task(read())
        await self.clock.advance(seconds)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task.exception()
        return events


async def opened(clock: ManualClock | None = None, **given: Any) -> Reader:
    """Return a reader that has been open before: its schedule is known."""
    reader = Reader(clock, **given)
    await reader.open()
    assert reader.keep(await reader.reading.read()) == []
    return reader


def times(events: list[Event]) -> list[str]:
    return [f"{event.time:%d %H:%M:%S}" for event in events]


def test_it_is_a_reader() -> None:
    assert isinstance(Schedule("nightly", type="due", every="5m"), ReaderSource)


async def test_a_tick_is_an_event_that_says_when_it_was_due() -> None:
    reader = await opened(
        type="nightly.due", cron="0 2 * * *", tz="Europe/Berlin", data={"what": "{all}"}
    )
    (event,) = await reader.events_in(3 * 3600)
    assert event.time == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert (event.id, event.source) == ("nightly:2026-03-29T01:00:00Z", "/schedule/nightly")
    assert (event.type, event.subject, event.data) == ("nightly.due", "nightly", {"what": "{all}"})
    assert event.extensions == {"scheduledtime": "2026-03-29T03:00:00+02:00"}
    assert reader.reading.progress().next_at == datetime(2026, 3, 30, 0, tzinfo=UTC)


async def test_tick_is_emitted_when_due_and_not_before() -> None:
    reader = await opened(every="90s")
    assert times(await reader.events_in(89.9)) == []
    assert times(await reader.events_in(0.1)) == ["28 22:31:30"]
    assert times(await reader.events_in(180)) == ["28 22:33:00", "28 22:34:30"]


async def test_repeated_read_returns_the_same_ids() -> None:
    reader = await opened(every="1m", catch_up="all")
    position = reader.position
    events = await reader.events_in(300)
    reader.position = position
    await reader.open()
    assert [one.to_json() for one in await reader.events_in(0)] == [one.to_json() for one in events]


@pytest.mark.parametrize(
    ("catch_up", "expected", "missed"),
    [
        ("all", ["28 23:00:00", "29 00:00:00", "29 01:00:00"], []),
        ("one", ["29 01:00:00"], [("missed", 2)]),
        ("none", [], [("missed", 3)]),
    ],
)
async def test_downtime_is_caught_up_as_declared(
    catch_up: str, expected: list[str], missed: list[tuple[str, int]]
) -> None:
    reader = await opened(every="1h", catch_up=catch_up)
    await reader.clock.advance(3 * 3600)
    await reader.open()
    events = await reader.events_in(0)
    assert times(events) == expected
    assert reader.refused == missed
    if catch_up == "one":
        assert events[0].extensions["missedticks"] == 2
    (following,) = await reader.events_in(3600)
    assert times([following]) == ["29 02:00:00"]
    assert following.extensions.get("missedticks") == (3 if catch_up == "none" else None)


async def test_a_takeover_passes_no_tick_over() -> None:
    reader = await opened(every="10s", catch_up="none")
    await reader.clock.advance(50)
    await reader.open()
    assert len(await reader.events_in(0)) == 5
    assert reader.refused == []


async def test_a_new_schedule_begins_now_and_a_changed_one_too() -> None:
    reader = await opened(every="1h", catch_up="all")
    await reader.clock.advance(5 * 3600)
    reader.change(every="20m", catch_up="all")
    await reader.open()
    assert times(await reader.events_in(0)) == []
    assert times(await reader.events_in(20 * 60)) == ["29 03:40:00"]
    reader.change(every="20m", catch_up="all", type="other", data=1)
    await reader.clock.advance(20 * 60)
    await reader.open()
    assert times(await reader.events_in(0)) == ["29 04:00:00"]


async def test_once_comes_once_also_after_downtime() -> None:
    reader = await opened(at="2026-03-29T00:30+01:00")
    await reader.clock.advance(86_400)
    await reader.open()
    (event,) = await reader.events_in(0)
    assert event.id == "nightly:2026-03-28T23:30:00Z"
    assert event.extensions["scheduledtime"] == "2026-03-29T00:30:00+01:00"
    await reader.open()
    assert await reader.events_in(86_400) == []
    assert reader.reading.progress().next_at is None


async def test_past_single_time_is_reported() -> None:
    reader = await opened(at="2026-03-28T23:29+01:00")
    assert reader.refused == [("missed", 1)]
    assert await reader.events_in(86_400) == []
    assert reader.refused == [("missed", 1)]


async def test_schedule_follows_the_system_clock() -> None:
    clock = SetClock(START)
    reader = await opened(clock, every="1h", catch_up="all")
    clock.by = timedelta(minutes=-30)
    assert times(await reader.events_in(1)) == ["28 23:00:00"]
    clock.by = timedelta()
    assert times(await reader.events_in(1800)) == []
    assert times(await reader.events_in(3600)) == ["29 00:00:00"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "give one of cron="),
        ({"every": "5m", "type": "busway.tick"}, "busway."),
        ({"every": "5m", "type": ""}, "type"),
        ({"every": "5m", "data": {"what": object()}}, "JSON"),
        ({"every": "5m", "subject": "x" * 2000}, "at most 1024"),
    ],
)
def test_invalid_declaration_is_refused(given: dict[str, Any], reason: str) -> None:
    schedule = Schedule("nightly", **{"type": "due", **given})
    with pytest.raises(BuswayError, match=reason):
        schedule.validate_config()


async def test_the_position_of_another_source_is_refused() -> None:
    schedule = Schedule("nightly", type="due", every="5m")
    with pytest.raises(SourceError, match="rename the schedule"):
        await schedule.open(ReaderContext(ManualClock()), b"17")


def test_a_misspelt_policy_is_refused() -> None:
    with pytest.raises(FlowError, match="did you mean 'none'"):
        Schedule("nightly", type="due", every="5m", catch_up="non")  # type: ignore[arg-type]
