"""The timing of a schedule: what is declared, and what cannot be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from busway.errors import SettingsError
from busway.source.schedule.timing import timing_of

NOON = datetime(2026, 1, 1, 12, 3, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "times"),
    [
        ("5m", ["12:05:00", "12:10:00"]),
        ("45s", ["12:03:45", "12:04:30"]),
        ("1h", ["13:00:00", "14:00:00"]),
        ("1d", ["00:00:00", "00:00:00"]),
    ],
)
def test_an_interval_is_aligned_to_the_clock(every: str, times: list[str]) -> None:
    coming = islice(timing_of(None, every, None, None).after(NOON), 2)
    assert [f"{time:%H:%M:%S}" for time in coming] == times


def test_an_interval_of_a_week_is_due_on_thursdays_as_its_count_begins_on_one() -> None:
    first = next(iter(timing_of(None, "7d", None, None).after(NOON)))
    assert (first.strftime("%A"), first.hour) == ("Thursday", 0)


def test_once_is_once() -> None:
    timing = timing_of(None, None, "2026-12-24T08:00+01:00", None)
    (time,) = timing.after(NOON)
    assert time == datetime(2026, 12, 24, 7, tzinfo=UTC)
    assert list(timing.after(time - timedelta(microseconds=1))) == [time]
    assert list(timing.after(time)) == []


def test_the_text_of_a_timing_tells_whether_it_was_changed() -> None:
    berlin = timing_of("0 2 * * *", None, None, "Europe/Berlin")
    assert str(berlin) == str(timing_of("0  2 * * *", None, None, "Europe/Berlin"))
    assert str(timing_of(None, "60m", None, None)) == str(timing_of(None, "1h", None, None))
    others = [
        timing_of("0 2 * * *", None, None, None),
        timing_of("0 3 * * *", None, None, "Europe/Berlin"),
        timing_of(None, "1h", None, None),
        timing_of(None, "1001ms", None, None),
        timing_of(None, "1s", None, None),
        timing_of(None, None, "2026-12-24T08:00+01:00", None),
    ]
    assert len({str(timing) for timing in [berlin, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ((None, None, None, None), "give one of cron="),
        (("0 2 * * *", "5m", None, None), "give one of cron="),
        ((None, "5m", None, "UTC"), "tz is for cron only"),
        ((None, None, "2026-12-24T08:00+01:00", "UTC"), "tz is for cron only"),
        (("0 2 * *", None, None, None), "five fields"),
        (("0 0 31 2 *", None, None, None), "day-of-month"),
        (("0 0 29 2 1#6", None, None, None), "day-of-week"),
        (("0 2 * * *", None, None, "Berlin"), "did you mean 'Europe/Berlin'"),
        ((None, "soon", None, None), "duration"),
        ((None, "100ms", None, None), "at least 1s"),
        ((None, "0s", None, None), "at least 1s"),
        ((None, "4000d", None, None), "at most 3660d"),
        ((None, None, "tomorrow", None), "is not a time"),
        ((None, None, "2026-12-24T08:00", None), "has no time zone"),
    ],
)
def test_what_can_never_work_is_refused(
    given: tuple[str | None, str | None, str | None, str | None], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        timing_of(*given)
