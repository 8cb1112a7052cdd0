"""Maintenance windows: a cron expression, a duration, a time zone. Pure; time is passed in.

A window starts when its cron expression matches in its time zone, and its duration is absolute: two
hours are two hours even if the clocks change. If the clocks skip its start, it starts right after
the gap; if they show it twice, it starts the first time.
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
"""A window with more starts without a gap is invalid: a day has 1,440 minutes."""


class Window(Declarable, frozen=True):
    """A recurring time during which a flow or a destination is suspended.

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
        """A short id, derived from the window."""
        return derived_id(self.cron, self.lasts, 0)[:4] + derived_id(self.tz, "", 0)[:4]

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=parse_seconds(self.lasts))

    def __str__(self) -> str:
        return f"{self.cron} for {self.lasts} ({self.tz})"

    def open_until(self, at: datetime) -> datetime | None:
        """Return when the window that is open at a time closes, ``None`` if it is not open.

        Overlapping occurrences form one longer window.
        """
        started = self._cron.latest(at)
        if started is None or started + self.duration <= at:
            return None
        return self._end(started)

    def next_start(self, at: datetime) -> datetime | None:
        """Return the first start after a time, in UTC."""
        return next(self._cron.after(at), None)

    def validated(self) -> Window:
        """Return this window; raises :class:`SettingsError` if it is invalid."""
        if not 0 < parse_seconds(self.lasts) <= MAX_DURATION_S:
            raise SettingsError(f"invalid duration {self.lasts!r} of a window: use > 0s and <= 31d")
        end = self._end(self._cron.first())
        if self.open_until(end) is not None:
            raise SettingsError(f"the window {self} never closes; pause the flow instead")
        return self

    def _end(self, started: datetime) -> datetime:
        end = started + self.duration
        for number, start in enumerate(self._cron.after(started)):
            if start > end or number == _MAX_STARTS:
                break
            end = start + self.duration
        return end

    @property
    def _cron(self) -> Cron:
        return Cron(self.cron, self.tz)


def validated_window(given: Any) -> Window:
    """Return a valid window; raises :class:`SettingsError` for any other value."""
    if not isinstance(given, Window):
        example = "Window('0 2 * * SUN', '2h', 'Europe/Berlin')"
        raise SettingsError(f"invalid window of type {type(given).__name__}: use {example}")
    for field in ("cron", "lasts", "tz"):
        if not isinstance(getattr(given, field), str):
            raise SettingsError(f"invalid {field} of a window: use a string")
    return given.validated()


def validated_windows(given: Any) -> tuple[Window, ...]:
    """Return valid windows; raises :class:`SettingsError` for anything but a list of windows."""
    if not isinstance(given, list | tuple):
        raise SettingsError("use a list of windows, like [Window('0 2 * * SUN', '2h')]")
    return tuple(map(validated_window, given))
