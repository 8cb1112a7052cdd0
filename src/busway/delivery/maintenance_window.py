"""Maintenance windows: a cron expression, how long, in which time zone. Pure; time is passed in.

A window begins when its cron expression says so on the clocks of its zone, and lasts as long as it
lasts: two hours are two hours also in the night when the clocks change. A time that the clocks
skip begins it right after the gap, a time that they show twice begins it the first time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from busway.clock import derived_id
from busway.cron import Cron
from busway.declarable import Declarable
from busway.duration import parse_seconds
from busway.errors import SettingsError

MAX_DURATION_S = 31 * 86_400.0
_MAX_STARTS = 1_500
"""More beginnings than that without a gap are no window: a day has 1,440 minutes."""


class Window(Declarable, frozen=True):
    """A recurring time in which a flow or a destination rests.

    >>> from datetime import UTC
    >>> window = Window("0 2 * * SUN", "2h", "Europe/Berlin")
    >>> window.open_until(datetime(2026, 3, 1, 1, 30, tzinfo=UTC))
    datetime.datetime(2026, 3, 1, 3, 0, tzinfo=datetime.timezone.utc)

    ``cron`` has five fields (minute, hour, day of month, month, day of week), ``lasts`` is a
    duration of up to 31 days, ``tz`` an IANA time zone.
    """

    cron: str
    lasts: str
    tz: str = "UTC"
    reason: str = ""

    @property
    def id(self) -> str:
        """A short name, the same for the same window."""
        return derived_id(self.cron, self.lasts, 0)[:4] + derived_id(self.tz, "", 0)[:4]

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=parse_seconds(self.lasts))

    def __str__(self) -> str:
        return f"{self.cron} for {self.lasts} ({self.tz})"

    def open_until(self, at: datetime) -> datetime | None:
        """Return when the window that is open at a time closes, ``None`` when none is open.

        Beginnings that come before the end of the one before make one longer window.
        """
        began = self._cron.latest(at)
        if began is None or began + self.duration <= at:
            return None
        return self._end(began)

    def next_start(self, at: datetime) -> datetime | None:
        """Return the first beginning after a time, in UTC."""
        return next(self._cron.after(at), None)

    def validated(self) -> Window:
        """Return this window; raises :class:`SettingsError` for one that can never work."""
        if not 0 < parse_seconds(self.lasts) <= MAX_DURATION_S:
            raise SettingsError(f"a window of {self.lasts!r}: give more than 0s and at most 31d")
        end = self._end(self._cron.first())
        if self.open_until(end) is not None:
            raise SettingsError(f"the window {self} never closes; pause the flow instead")
        return self

    def _end(self, began: datetime) -> datetime:
        end = began + self.duration
        for number, start in enumerate(self._cron.after(began)):
            if start > end or number == _MAX_STARTS:
                break
            end = start + self.duration
        return end

    @property
    def _cron(self) -> Cron:
        return Cron(self.cron, self.tz)


def validated_window(given: Any) -> Window:
    """Return a checked window; raises :class:`SettingsError` with what to give instead."""
    if not isinstance(given, Window):
        example = "Window('0 2 * * SUN', '2h', 'Europe/Berlin')"
        raise SettingsError(f"{type(given).__name__} is no window; give {example}")
    for field in ("cron", "lasts", "tz"):
        if not isinstance(getattr(given, field), str):
            raise SettingsError(f"a window's {field} must be text")
    return given.validated()


def validated_windows(given: Any) -> tuple[Window, ...]:
    """Return checked windows; raises :class:`SettingsError` for what is no list of them."""
    if not isinstance(given, list | tuple):
        raise SettingsError("give a list of windows, like [Window('0 2 * * SUN', '2h')]")
    return tuple(validated_window(one) for one in given)
