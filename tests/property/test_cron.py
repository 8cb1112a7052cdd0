"""Cron expressions next to a look at every minute of the clock, also in the nights of a change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.cron import Cron

BERLIN = "Europe/Berlin"
FORWARD = datetime(2026, 3, 29, 1, tzinfo=UTC)
"""When the clocks of Berlin go from 2:00 to 3:00."""
BACK = datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When they go from 3:00 to 2:00."""
MINUTE = timedelta(minutes=1)

changes = st.sampled_from([FORWARD, BACK])
around = st.integers(-36 * 60, 36 * 60).map(lambda minutes: timedelta(minutes=minutes))
fixed = st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True)
minutes = st.lists(st.sampled_from([0, 1, 15, 30, 59]), min_size=1, max_size=3, unique=True)


def local_times(expression: str, after: datetime, count: int) -> list[str]:
    zone = ZoneInfo(BERLIN)
    times = islice(Cron(expression, BERLIN).after(after), count)
    return [f"{time.astimezone(zone):%d %H:%M %z}" for time in times]


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("30 2 * * *", ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]),
        ("0,30 2 * * *", ["28 02:00 +0100", "28 02:30 +0100", "29 03:00 +0200", "30 02:00 +0200"]),
        ("0 2,3 * * *", ["28 02:00 +0100", "28 03:00 +0100", "29 03:00 +0200", "30 02:00 +0200"]),
        ("*/30 2 * * *", ["28 02:00 +0100", "28 02:30 +0100", "30 02:00 +0200"]),
    ],
)
def test_a_time_that_the_clocks_skip(expression: str, times: list[str]) -> None:
    assert local_times(expression, FORWARD - timedelta(hours=36), len(times)) == times


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("30 2 * * *", ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]),
        (
            "*/30 2 * * *",
            [
                *("24 02:00 +0200", "24 02:30 +0200"),
                *("25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"),
                "26 02:00 +0100",
            ],
        ),
    ],
)
def test_a_time_that_the_clocks_show_twice(expression: str, times: list[str]) -> None:
    assert local_times(expression, BACK - timedelta(hours=36), len(times)) == times


@given(changes, around, fixed, minutes)
def test_times_of_day_come_once_a_day_each(
    change: datetime, off: timedelta, hours: list[int], minutes: list[int]
) -> None:
    """Each is the first minute at which the clock shows the time of day, or has jumped over it."""
    zone, after = ZoneInfo(BERLIN), change + off
    cron = Cron(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *", BERLIN)
    of_day = {(hour, minute) for hour in hours for minute in minutes}
    expected = set()
    first_day = (after - timedelta(days=1)).astimezone(zone).date()
    for day in (first_day + timedelta(days=number) for number in range(5)):
        moment = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        left = set(of_day)
        for _ in range(6 * 60):
            local = moment.astimezone(zone)
            passed = {time for time in left if time <= (local.hour, local.minute)}
            if passed:
                expected.add(moment)
            left -= passed
            moment += MINUTE
    end = after + timedelta(days=2)
    times = [time for time in islice(cron.after(after), 40) if time <= end]
    assert times == sorted(time for time in expected if after < time <= end)


@given(
    changes,
    around,
    st.sampled_from(["*/20 * * * *", "7 * * * *", "0 */6 * * *", "0,30 2 * * *", "59 1,2 * * SUN"]),
)
def test_times_rise_and_can_begin_anywhere(
    change: datetime, off: timedelta, expression: str
) -> None:
    cron, after = Cron(expression, BERLIN), change + off
    times = list(islice(cron.after(after), 12))
    assert all(before < time for before, time in pairwise([after, *times]))
    for number, time in enumerate(times[:-1]):
        assert next(cron.after(time)) == times[number + 1]
        assert next(cron.after(time - MINUTE)) <= time
        assert cron.latest(time) == time
