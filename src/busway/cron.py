"""Cron expressions on the clocks of a time zone. Pure; time is passed in.

An expression with fixed minutes and hours means times of day, as in Debian's cron: a time that the
clocks skip comes right after the gap, a time that they show twice comes the first time. One whose
minutes or hours begin with ``*`` follows the clock: what the clocks skip does not come, and what
they show twice comes twice.
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
"""More than clocks change at once, except on a few islands that changed their date."""
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
        """Yield the times after a time, in UTC, strictly rising; none for fifty years ends it."""
        last = at
        for local in CronSim(self.expression, (at - _SHIFT).astimezone(zone_of(self.tz))):
            time = local.astimezone(UTC)
            if time > last:
                yield time
                last = time

    def latest(self, at: datetime) -> datetime | None:
        """Return the last time at or before a time."""
        start = (at + _SHIFT).astimezone(zone_of(self.tz))
        for local in CronSim(self.expression, start, reverse=True):
            time = local.astimezone(UTC)
            if time <= at:
                return time
        return None

    def first(self) -> datetime:
        """Return the first time after some day; raises :class:`SettingsError` if there is none."""
        zone_of(self.tz)
        if len(self.expression.split()) != 5:
            what = "give five fields, like '0 2 * * SUN': minute, hour, day, month, day of week"
            raise SettingsError(f"cron {self.expression!r}: {what}")
        try:
            first = next(self.after(_SOME_DAY), None)
        except CronSimError as error:
            raise SettingsError(
                f"cron {self.expression!r}: {error}; write it like '0 2 * * SUN'"
            ) from error
        if first is None:
            raise SettingsError(
                f"cron {self.expression!r} never comes; write it like '0 2 * * SUN'"
            )
        return first


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone. Raises :class:`SettingsError`, with what was probably meant."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = nearest(name, available_timezones(), 0.7) or _city(name)
        fix = f"did you mean {near!r}?" if near else "give one like 'Europe/Berlin'"
        raise SettingsError(f"{name!r} is no time zone; {fix}") from error


def _city(name: str) -> str | None:
    """Return the time zone of a city that is named without its continent."""
    zones = sorted(available_timezones())
    cities = {zone.rpartition("/")[2]: zone for zone in zones if "/" in zone}
    near = nearest(name.rpartition("/")[2], cities, 0.7)
    return cities[near] if near else None
