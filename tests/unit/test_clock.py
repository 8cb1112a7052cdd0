"""The machine's own clock, also when it is set."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from busway.clock import MAX_SLEW_RATIO, SystemClock, append_time


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only on Linux are there two")
def test_the_time_that_a_machine_sleeps_counts() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = SystemClock().monotonic()
    assert before <= found <= time.clock_gettime(time.CLOCK_BOOTTIME)


AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class SetClock(SystemClock):
    """A machine's clock that a test sets, and time that a test lets pass."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.set_by = timedelta(0)

    def wall_clock(self) -> datetime:
        return AT + timedelta(seconds=self.seconds - 100.0) + self.set_by

    def monotonic(self) -> float:
        return self.seconds

    def after(self, seconds: float) -> datetime:
        """Return what the time is after so many seconds, with a look every other one."""
        end = self.seconds + seconds
        while self.seconds < end:
            self.seconds = min(self.seconds + 2, end)
            self.now()
        return self.now()


def test_time_is_that_of_the_machines_clock() -> None:
    clock = SetClock()
    assert clock.now() == AT
    assert clock.after(3600.5) == AT + HOUR + timedelta(seconds=0.5)
    clock.set_by += timedelta(milliseconds=200)  # as a time service puts it right
    assert clock.now() == clock.wall_clock()
    assert clock.wall_clock_offset() == timedelta(0)


@pytest.mark.parametrize("by", [HOUR, -HOUR, 10 * DAY, -3650 * DAY, timedelta(seconds=-1)])
def test_a_clock_that_is_set_changes_no_wait(by: timedelta) -> None:
    clock = SetClock()
    clock.now()
    clock.set_by = by
    assert clock.now() == AT
    took = clock.after(10) - AT
    assert (
        timedelta(seconds=10 * (1 - MAX_SLEW_RATIO))
        <= took
        <= timedelta(seconds=10 * (1 + MAX_SLEW_RATIO))
    )


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_it_approaches_the_machines_clock_and_never_goes_back(by: timedelta) -> None:
    clock = SetClock()
    last = clock.now()
    clock.set_by = by
    for _ in range(21):
        now = clock.after(3600)
        assert now > last
        last = now
    assert clock.wall_clock_offset() == timedelta(0)
    assert clock.after(60) == clock.wall_clock()


def test_how_far_it_is_ahead_of_the_calendar() -> None:
    clock = SetClock()
    clock.now()
    clock.set_by = -HOUR
    assert clock.wall_clock_offset() == HOUR
    clock.set_by = HOUR
    assert clock.wall_clock_offset() == -HOUR


def test_what_comes_is_dated_by_the_later_clock() -> None:
    clock = SetClock()
    clock.now()
    clock.set_by = HOUR
    assert append_time(clock) == clock.wall_clock()
    clock.set_by = -HOUR
    assert append_time(clock) == clock.now() == AT


def test_it_continues_from_before_a_restart() -> None:
    clock = SetClock()
    assert not clock.continue_from(AT - DAY - timedelta(seconds=1))
    assert not clock.continue_from(AT + DAY + timedelta(seconds=1))
    assert clock.now() == AT
    assert clock.continue_from(AT + HOUR)
    assert clock.now() == AT + HOUR
    assert clock.wall_clock_offset() == HOUR
