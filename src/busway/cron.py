"""Cron expressions in a time zone. Pure; time is passed in.

An expression with fixed minutes and hours means times of day, as in Debian's cron: if the clocks
skip the time, it runs right after the gap; if they show it twice, it runs the first time. An
expression whose minutes or hours start with ``*`` follows the clock: skipped times do not run, and
repeated times run twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
from cronsim import CronSim, CronSimError

from busway.errors import SettingsError
from busway.spelling import nearest

_SHIFT = timedelta(hours=3)
"""More than any change of clocks, except for a few islands that skipped a day."""
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Cron(msgspec.Struct, frozen=True):
    """A cron expression of five fields (minute, hour, day of month, month, day of week).

    ``tz`` is an IANA time zone.

    >>> nightly = Cron("0 2 * * *", "Europe/Berlin")
    >>> next(nightly.after(datetime(2026, 3, 28, 12, tzinfo=UTC)))
    datetime.datetime(2026, 3, 29, 1, 0, tzinfo=datetime.timezone.utc)
    """

    expression: str
    tz: str = "UTC"

    def after(self, at: datetime) -> Iterator[datetime]:
        """Yield the times after ``at``, in UTC, ascending; ends if there is none in 50 years."""
        last = at
        for local in CronSim(self.expression, (at - _SHIFT).astimezone(zone_of(self.tz))):
            time = local.astimezone(UTC)
            if time > last:
                yield time
                last = time

    def latest(self, at: datetime) -> datetime | None:
        """Return the latest time that is not after ``at``."""
        start = (at + _SHIFT).astimezone(zone_of(self.tz))
        for local in CronSim(self.expression, start, reverse=True):
            time = local.astimezone(UTC)
            if time <= at:
                return time
        return None

    def first(self) -> datetime:
        """Return the first time after a fixed day; raises :class:`SettingsError` if invalid."""
        zone_of(self.tz)
        if len(self.expression.split()) != 5:
            fix = "use five fields: minute, hour, day, month, day of week, like '0 2 * * SUN'"
            raise SettingsError(f"invalid cron expression {self.expression!r}: {fix}")
        try:
            first = next(self.after(_SOME_DAY), None)
        except CronSimError as error:
            raise SettingsError(
                f"invalid cron expression {self.expression!r}: {error}; use one like '0 2 * * SUN'"
            ) from error
        if first is None:
            raise SettingsError(
                f"cron expression {self.expression!r} never runs; use one like '0 2 * * SUN'"
            )
        return first


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone. Raises :class:`SettingsError` with the nearest name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(name, available_timezones(), 0.7) or _city(name)
        fix = f"did you mean {near!r}?" if near else "use a name like 'Europe/Berlin'"
        raise SettingsError(f"unknown time zone {name!r}: {fix}") from error


def _city(name: str) -> str | None:
    """Return the time zone of a city that is given without its continent."""
    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2]: zone for zone in zones if "/" in zone}
    near = nearest(name.rpartition("/")[2], cities, 0.7)
    return cities[near] if near else None
