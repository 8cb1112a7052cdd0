"""Timing of a schedule: a cron expression, an interval, or a single time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from busway.cron import Cron, zone_of
from busway.duration import parse_seconds
from busway.errors import SettingsError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST_S = 1.0
_LONGEST = timedelta(days=3660)
_EXAMPLE = "like '2026-12-24T08:00+01:00'"


class Interval(msgspec.Struct, frozen=True):
    """The multiples of a duration since 1970-01-01T00:00Z.

    >>> ticks = Interval(timedelta(minutes=5)).after(datetime(2026, 1, 1, 12, 3, tzinfo=UTC))
    >>> next(ticks).isoformat()
    '2026-01-01T12:05:00+00:00'
    """

    length: timedelta

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the times after a time."""
        time = _EPOCH + ((at - _EPOCH) // self.length) * self.length
        while True:
            time += self.length
            yield time

    def local(self, time: datetime) -> datetime:
        """Return a time in the zone of the schedule."""
        return time

    def __str__(self) -> str:
        return f"every {self.length.total_seconds():g}s"


class Once(msgspec.Struct, frozen=True):
    """A single time."""

    time: datetime

    def local(self, time: datetime) -> datetime:
        """Return a time in the zone of the schedule."""
        return time.astimezone(self.time.tzinfo)

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the time if it comes after a time."""
        if self.time > at:
            yield self.time.astimezone(UTC)

    def __str__(self) -> str:
        return f"at {self.time.astimezone(UTC).isoformat()}"


class Recurring(msgspec.Struct, frozen=True):
    """The times of a cron expression."""

    cron: Cron

    def local(self, time: datetime) -> datetime:
        """Return a time in the zone of the schedule."""
        return time.astimezone(zone_of(self.cron.tz))

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the times after a time."""
        return self.cron.after(at)

    def __str__(self) -> str:
        return f"cron {' '.join(self.cron.expression.split())} ({self.cron.tz})"


Timing = Interval | Once | Recurring
"""When a schedule is due; different timings have different texts."""


def timing_of(cron: str | None, every: str | None, at: str | None, tz: str | None) -> Timing:
    """Return the declared timing. Raises :class:`SettingsError` if it is invalid.

    >>> str(timing_of("0 2 * * *", None, None, "Europe/Berlin"))
    'cron 0 2 * * * (Europe/Berlin)'
    """
    if [cron, every, at].count(None) != 2:
        raise SettingsError(
            "give one of cron='0 2 * * *', every='5m' and at='2026-12-24T08:00+01:00'"
        )
    if tz is not None and cron is None:
        raise SettingsError(f"tz is for cron only; the offset of at is part of it, {_EXAMPLE}")
    if cron is not None:
        return _recurring(Cron(cron, tz or "UTC"))
    return _interval(every) if every is not None else _once(at or "")


def _recurring(cron: Cron) -> Recurring:
    cron.first()
    return Recurring(cron)


def _interval(every: str) -> Interval:
    length_s = parse_seconds(every)
    if not _SHORTEST_S <= length_s <= _LONGEST.total_seconds():
        raise SettingsError(f"every={every!r}: give at least 1s and at most {_LONGEST.days}d")
    return Interval(timedelta(seconds=length_s))


def _once(at: str) -> Once:
    try:
        time = datetime.fromisoformat(at)
    except ValueError as error:
        raise SettingsError(f"at={at!r} is not a time; write it {_EXAMPLE}") from error
    if time.tzinfo is None:
        raise SettingsError(f"at={at!r} has no time zone; write it {_EXAMPLE}")
    return Once(time)
