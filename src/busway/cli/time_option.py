"""Times on the command line: one parser for every option that takes a time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from busway import duration
from busway.errors import BuswayError, SettingsError

FORMS = "2026-03-01T12:00:00Z, 2026-03-01, 14:30, now, today, yesterday, 'monday 08:00', 2h"
"""The forms that an option takes, for errors; below in short for help: past and future times."""
PAST_FORMS = "a time, or like yesterday, 'monday 08:00', 2h ago"
FUTURE_FORMS = "a time, or like tomorrow, 'monday 08:00', 2h"
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FILLERS = ("at", "last", "next", "on", "in")
_LONG_UNIT = re.compile(r"\s*(second|minute|hour|day)s?\b")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def parse_time(
    text: str | None, now: datetime | None = None, *, ahead: bool = False
) -> datetime | None:
    """Return a time; without a time zone it is in the time zone of this machine.

    It takes RFC 3339 (or only a date: its beginning), ``now``, ``today``, ``yesterday``,
    ``tomorrow`` and days of the week (their beginning, or with a time like ``monday 08:00``), a
    time of today, and a duration (``2h``, ``2h ago``). A day of the week is the latest one,
    including today; with ``ahead`` it is the next one, and ``2h`` is in two hours.

    >>> parse_time("2026-03-01T12:00:00Z").isoformat()
    '2026-03-01T12:00:00+00:00'
    >>> parse_time("2h", datetime(2026, 3, 1, 12, tzinfo=UTC)).isoformat()
    '2026-03-01T10:00:00+00:00'

    Raises :class:`BuswayError` for anything else.
    """
    if text is None:
        return None
    now = now or datetime.now(UTC)
    given = text.strip().lower()
    words = [word for word in given.split() if word not in _FILLERS]
    try:
        found = _by_day_or_clock(words, now, ahead=ahead) or _by_date(text.strip())
        found = found or _by_duration(given, now, ahead=ahead)
    except (OverflowError, ValueError) as error:  # a year out of range
        raise _not_a_time(text) from error
    if found is None:
        raise _not_a_time(text)
    return found


def _not_a_time(text: str) -> BuswayError:
    return BuswayError(f"{text!r} is not a valid time; use one of: {FORMS}")


def _by_day_or_clock(words: list[str], now: datetime, *, ahead: bool) -> datetime | None:
    """Return a time that is given by a day, a time of day, or both."""
    if words == ["now"]:
        return now
    today = now.astimezone().date()
    day = _day(words[0], today, ahead=ahead) if words else None
    if day is not None:
        words = words[1:]
    if not words:
        return None if day is None else _local_time(day, time())
    clock = _clock_time(words[0]) if len(words) == 1 else None
    return None if clock is None else _local_time(day or today, clock)


def _day(word: str, today: date, *, ahead: bool) -> date | None:
    days = {"today": 0, "yesterday": -1, "tomorrow": 1}
    if word in days:
        return today + timedelta(days=days[word])
    names = [name for name in _WEEKDAYS if word in (name, name[:3])]
    if not names:
        return None
    back = (today.weekday() - _WEEKDAYS.index(names[0])) % 7
    return today + timedelta(days=7 - back if ahead else -back)


def _clock_time(word: str) -> time | None:
    found = _CLOCK.fullmatch(word)
    try:
        return None if found is None else time(int(found[1]), int(found[2]), int(found[3] or 0))
    except ValueError:
        return None


def _by_date(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.astimezone()


def _by_duration(text: str, now: datetime, *, ahead: bool) -> datetime | None:
    """Return a time that is given by a duration before or after now."""
    if text.endswith(" ago"):
        text, ahead = text.removesuffix(" ago"), False
    elif text.startswith("in "):
        text, ahead = text.removeprefix("in "), True
    try:
        away = timedelta(
            seconds=duration.parse_seconds(_LONG_UNIT.sub(lambda unit: unit[1][0], text))
        )
    except SettingsError:
        return None
    return now + away if ahead else now - away


def _local_time(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock).astimezone()
