"""Maintenance windows beside a plain look at every minute of the clock, also when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.maintenance_window import Window
from busway.errors import SettingsError

MINUTE = timedelta(minutes=1)
CHANGES = (
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("America/St_Johns", datetime(2026, 3, 8, 5, 30, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("UTC", datetime(2026, 3, 29, 1, tzinfo=UTC)),
)

changes = st.sampled_from(CHANGES)
around = st.integers(-36 * 60 * 60, 36 * 60 * 60).map(lambda s: timedelta(seconds=s))
daily = st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 15, 30, 45, 59]))
lasting = st.integers(1, 12 * 60)


def first_at(zone: ZoneInfo, day: datetime, at: time) -> datetime:
    """Return when clocks of a zone first show a time of a day, or jump over it."""
    moment = datetime.combine(day, time(), tzinfo=UTC) - timedelta(hours=15)
    while True:
        local = moment.astimezone(zone)
        if (local.date(), local.time()) >= (day.date(), at):
            return moment
        moment += MINUTE


def starts_of(window: Window, at: time, near: datetime) -> list[datetime]:
    zone = ZoneInfo(window.tz)
    day = near.astimezone(zone)
    return [first_at(zone, day + timedelta(days=n), at) for n in range(-3, 4)]


@given(changes, around, daily, lasting)
def test_a_daily_window_is_what_a_clock_on_the_wall_says(
    change: tuple[str, datetime], off: timedelta, daily: tuple[int, int], minutes: int
) -> None:
    (zone, changed), (hour, minute) = change, daily
    at = changed + off
    window = Window(f"{minute} {hour} * * *", f"{minutes}m", zone)
    starts = starts_of(window, time(hour, minute), at)
    ends = [start + window.duration for start in starts]
    inside = [end for start, end in zip(starts, ends, strict=True) if start <= at < end]
    assert window.open_until(at) == max(inside, default=None)
    assert window.next_start(at) == min(start for start in starts if start > at)


@given(changes, around, lasting, st.sampled_from(["*/20 * * * *", "7 * * * *", "0 */6 * * *"]))
def test_it_is_open_from_each_beginning_until_it_says_it_closes(
    change: tuple[str, datetime], off: timedelta, minutes: int, cron: str
) -> None:
    at = change[1] + off
    window = Window(cron, f"{min(minutes, 19)}m", change[0])
    start = window.next_start(at)
    assert start is not None
    assert start > at
    end = window.open_until(start)
    assert end == start + window.duration
    assert window.open_until(end - timedelta(microseconds=1)) == end
    assert window.open_until(end) is None
    if window.open_until(at) is None:
        assert window.open_until(start - timedelta(microseconds=1)) is None


@given(changes, around, st.integers(16, 40))
def test_beginnings_that_overlap_make_one_window(
    change: tuple[str, datetime], off: timedelta, minutes: int
) -> None:
    """At :00, :15 and :30 of the hours 8 and 9: one window, from 8:00 until after 9:30."""
    window = Window("0,15,30,45 8-9 * * *", f"{minutes}m", change[0])
    start = Window("0 8 * * *", "1m", change[0]).next_start(change[1] + off)
    assert start is not None
    end = start + timedelta(hours=1, minutes=45 + minutes)
    for after in (timedelta(), timedelta(minutes=50), timedelta(hours=1, minutes=40)):
        assert window.open_until(start + after) == end
    assert window.open_until(start - MINUTE) is None


def test_two_hours_are_two_hours_in_the_night_when_clocks_change() -> None:
    window = Window("0 1 * * *", "2h", "Europe/Berlin")
    for month, day in ((3, 28), (10, 24), (6, 1)):
        start = window.next_start(datetime(2026, month, day, 12, tzinfo=UTC))
        assert start is not None
        assert window.open_until(start) == start + timedelta(hours=2)


@pytest.mark.parametrize(
    ("cron", "lasts", "tz", "says"),
    [
        ("* * * * *", "2m", "UTC", "never closes"),
        ("0 2 * * *", "24h", "UTC", "never closes"),
        ("*/5 * * * *", "300s", "UTC", "never closes"),
        ("0 0 31 2 *", "2h", "UTC", "day-of-month"),
        ("0 0 * *", "2h", "UTC", "five fields"),
        ("*/5 * * * * *", "1s", "UTC", "five fields"),
        ("61 * * * *", "2h", "UTC", "minute"),
        ("0 2 * * *", "0s", "UTC", "use > 0s"),
        ("0 2 1 * *", "32d", "UTC", "31d"),
        ("0 2 * * *", "soon", "UTC", "duration"),
        ("0 2 * * *", "1h", "Mars/Olympus", "time zone"),
        ("0 2 * * *", "1h", "../../etc/passwd", "time zone"),
        ("0 2 * * *", "1h", "", "time zone"),
    ],
)
def test_invalid_windows_are_rejected(cron: str, lasts: str, tz: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Window(cron, lasts, tz).validated()


def test_a_leap_day_is_a_window_too() -> None:
    window = Window("30 2 29 2 *", "1h").validated()
    assert window.next_start(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(
        2028, 2, 29, 2, 30, tzinfo=UTC
    )
