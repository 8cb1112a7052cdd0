"""The ``schedule`` source: emits each tick as an event, exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from busway.attribute import intake_problems
from busway.clock import Clock
from busway.declarable import DeclarableFunction
from busway.errors import EventError, SettingsError, SourceError
from busway.event import Event
from busway.ports import ReaderContext, RecordRefusal, SourceChunk, SourceProgress
from busway.source.schedule.tick import CatchUp, ScheduleProgress, Tick, Ticks, begin, due
from busway.source.schedule.timing import Once, Timing, timing_of

LOOK_EVERY_S = 1.0
"""Longest wait before the clock is read again, as it may be set meanwhile."""
MISSED = "missed"
"""The code of skipped ticks."""


class Schedule(DeclarableFunction, frozen=True):
    """Emits an event at each time of a ``cron`` expression, at an interval, or once.

    ``cron`` has five fields in the time zone ``tz`` (default UTC). ``every`` is a duration; its
    ticks are the multiples since 1970-01-01T00:00Z, so that ``"5m"`` is due at 12:00, 12:05 and so
    on. ``at`` is a single time with its offset. ``catch_up`` selects which ticks missed by more
    than a minute become events: ``"one"`` (the latest), ``"all"`` or ``"none"``.

    >>> nightly = Schedule("nightly", type="nightly.due", cron="0 2 * * *", tz="Europe/Berlin")
    >>> nightly.validate_config()
    """

    name: str
    type: str
    cron: str | None = None
    every: str | None = None
    at: str | None = None
    tz: str | None = None
    data: Any = None
    subject: str | None = None
    catch_up: CatchUp = "one"

    def validate_config(self) -> None:
        event = self.event(Tick(datetime(2026, 1, 1, tzinfo=UTC)), self.timing())
        reasons = intake_problems(msgspec.json.decode(event.to_json()))
        if reasons:
            raise SourceError("; ".join(reasons))

    def timing(self) -> Timing:
        """Return the timing of the schedule."""
        try:
            return timing_of(self.cron, self.every, self.at, self.tz)
        except SettingsError as error:
            raise SourceError(str(error)) from error

    async def open(self, context: ReaderContext, position: bytes | None) -> ScheduleReading:
        try:
            before = None if position is None else _decode(position)
        except msgspec.MsgspecError as error:
            raise SourceError(
                f"the stored position of {self.name!r} is not that of a schedule: another kind of"
                " source had this name; rename the schedule"
            ) from error
        return ScheduleReading(self, context.clock, before)

    def event(self, tick: Tick, timing: Timing) -> Event:
        """Return the event of a tick; equal ticks have equal events, including the id."""
        extensions: dict[str, Any] = {"scheduledtime": timing.local(tick.time).isoformat()}
        if tick.missed:
            extensions["missedticks"] = tick.missed
        try:
            return Event(
                id=f"{self.name}:{tick.time.isoformat().replace('+00:00', 'Z')}",
                type=self.type,
                source=f"/schedule/{self.name}",
                subject=self.subject or self.name,
                time=tick.time,
                data=self.data,
                **extensions,
            )
        except EventError as error:
            raise SourceError(str(error)) from error


class ScheduleReading:
    """Waits for ticks; the position is the progress of the schedule."""

    def __init__(self, schedule: Schedule, clock: Clock, before: ScheduleProgress | None) -> None:
        self._schedule = schedule
        self._clock = clock
        self._timing = schedule.timing()
        self._before = before
        self._progress = begin(self._timing, before, self._now())
        self._next_at: datetime | None = self._progress.after

    async def read(self) -> SourceChunk:
        if self._before != self._progress:
            self._before = self._progress
            return SourceChunk((), _encode(self._progress), self._never())
        while True:
            now = self._now()
            if self._next_at is not None and self._next_at <= now:
                ticks = due(self._timing, self._progress, now, self._schedule.catch_up)
                self._next_at = ticks.next_at
                if ticks.progress != self._progress:
                    return self._chunk(ticks)
            await self._clock.sleep(self._wait_s(now))

    async def close(self) -> None:
        """Do nothing: a schedule holds no resources."""

    def progress(self) -> SourceProgress:
        return SourceProgress(next_at=next(iter(self._timing.after(self._progress.after)), None))

    def _now(self) -> datetime:
        """Return the time of the system clock, which schedules follow."""
        return self._clock.now() - self._clock.wall_clock_offset()

    def _wait_s(self, now: datetime) -> float:
        wait_s = LOOK_EVERY_S if self._next_at is None else (self._next_at - now).total_seconds()
        return min(max(wait_s, 0.0), LOOK_EVERY_S)

    def _chunk(self, ticks: Ticks) -> SourceChunk:
        before, self._before = self._progress.after, ticks.progress
        self._progress = ticks.progress
        events = [self._schedule.event(tick, self._timing) for tick in ticks.ticks]
        refused: Sequence[RecordRefusal] = ()
        if ticks.skipped:
            what = f"ticks after {before.isoformat()} were missed and skipped"
            policy = f"catch_up={self._schedule.catch_up!r}"
            refused = (RecordRefusal(MISSED, f"{what} ({policy})", ticks.skipped),)
        return SourceChunk(events, _encode(ticks.progress), refused)

    def _never(self) -> tuple[RecordRefusal, ...]:
        """Return the refusal of a single time that is past when the schedule is first seen."""
        timing = self._timing
        if not isinstance(timing, Once) or timing.time > self._progress.after:
            return ()
        detail = f"{timing} was already past when it was first declared: it emits no event"
        return (RecordRefusal(MISSED, detail),)


def _decode(position: bytes) -> ScheduleProgress:
    return msgspec.json.decode(position, type=ScheduleProgress)


_encode = msgspec.json.Encoder().encode
