"""The ticks of a schedule, whenever they are asked for: each is decided once, in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from busway.source.schedule.tick import (
    MAX_TICKS,
    MISSED_AFTER,
    CatchUp,
    ScheduleProgress,
    Tick,
    begin,
    due,
)
from busway.source.schedule.timing import Timing, timing_of

START = datetime(2026, 3, 28, 20, tzinfo=UTC)
TIMINGS: Sequence[Timing] = [
    timing_of("*/5 * * * *", None, None, "Europe/Berlin"),
    timing_of("0 2 * * *", None, None, "Europe/Berlin"),
    timing_of("17,43 1-3 * * *", None, None, "America/New_York"),
    timing_of(None, "7s", None, None),
    timing_of(None, "90m", None, None),
    timing_of(None, None, "2026-03-29T01:30+01:00", None),
]

timings = st.sampled_from(TIMINGS)
policies: st.SearchStrategy[CatchUp] = st.sampled_from(["all", "one", "none"])
waits = st.lists(
    st.one_of(st.integers(0, 50), st.integers(51, 40_000)).map(lambda s: timedelta(seconds=s)),
    min_size=1,
    max_size=12,
)


class Run:
    """A schedule that is looked at after waits, as its reading does."""

    def __init__(self, timing: Timing, catch_up: CatchUp) -> None:
        self.timing, self.catch_up = timing, catch_up
        self.now, self.progress = START, begin(timing, None, START)
        self.ticks: list[Tick] = []
        self.seen_at: list[datetime] = []
        self.skipped = 0

    def look(self) -> None:
        """Take what is due now."""
        while True:
            found = due(self.timing, self.progress, self.now, self.catch_up)
            assert len(found.ticks) + found.skipped <= MAX_TICKS
            self.ticks += found.ticks
            self.seen_at += [self.now] * len(found.ticks)
            self.skipped += found.skipped
            self.progress = found.progress
            if found.next_at is None or found.next_at > self.now:
                return

    def scheduled(self) -> list[datetime]:
        """Return every time from the start until now."""
        return list(takewhile(lambda time: time <= self.now, self.timing.after(START)))


@given(timings, policies, waits)
def test_every_tick_becomes_an_event_or_is_counted(
    timing: Timing, catch_up: CatchUp, waits: list[timedelta]
) -> None:
    run = Run(timing, catch_up)
    for wait in waits:
        run.now += wait
        run.look()
    scheduled, times = run.scheduled(), [tick.time for tick in run.ticks]
    assert times == sorted(set(times))
    assert set(times) <= set(scheduled)
    assert len(times) + run.skipped == len(scheduled)
    told = sum(tick.missed for tick in run.ticks) + run.progress.missed
    assert told == run.skipped


@given(timings, waits)
def test_all_are_caught_up(timing: Timing, waits: list[timedelta]) -> None:
    run = Run(timing, "all")
    for wait in waits:
        run.now += wait
        run.look()
    assert [tick.time for tick in run.ticks] == run.scheduled()


@given(timings, policies, waits)
def test_what_comes_within_a_minute_is_never_skipped(
    timing: Timing, catch_up: CatchUp, waits: list[timedelta]
) -> None:
    run = Run(timing, catch_up)
    for wait in waits:
        run.now += min(wait, MISSED_AFTER - timedelta(seconds=1))
        run.look()
    assert [tick.time for tick in run.ticks] == run.scheduled()


@given(timings, waits)
def test_one_is_the_latest_that_was_missed(timing: Timing, waits: list[timedelta]) -> None:
    run = Run(timing, "one")
    for wait in waits:
        before, came = run.now, len(run.ticks)
        run.now += wait
        run.look()
        scheduled = [time for time in run.scheduled() if time > before]
        times = [tick.time for tick in run.ticks[came:]]
        late = bool(scheduled) and run.now - scheduled[0] >= MISSED_AFTER
        assert times == (scheduled[-1:] if late else scheduled)


@given(timings, waits)
def test_none_is_none_that_is_late(timing: Timing, waits: list[timedelta]) -> None:
    run = Run(timing, "none")
    for wait in waits:
        run.now += wait
        run.look()
    pairs = zip(run.ticks, run.seen_at, strict=True)
    assert all(at - tick.time < MISSED_AFTER for tick, at in pairs)


@given(timings, timings, waits)
def test_a_changed_schedule_begins_now_and_repeats_no_time(
    timing: Timing, other: Timing, waits: list[timedelta]
) -> None:
    run = Run(timing, "all")
    for number, wait in enumerate(waits):
        run.now += wait
        if number == len(waits) // 2:
            changed_at, before = run.now, len(run.ticks)
            run.timing = other
            run.progress = begin(other, run.progress, run.now)
            assert begin(other, run.progress, run.now + wait) == run.progress
        run.look()
    times = [tick.time for tick in run.ticks]
    assert times == sorted(set(times))
    if str(timing) != str(other):
        assert all(time > changed_at for time in times[before:])


def test_a_clock_that_was_set_back_repeats_no_time() -> None:
    run = Run(TIMINGS[0], "all")
    run.now += timedelta(hours=1)
    run.look()
    times = [tick.time for tick in run.ticks]
    run.now -= timedelta(minutes=30)
    run.look()
    assert [tick.time for tick in run.ticks] == times
    assert begin(TIMINGS[3], ScheduleProgress("other", times[-1]), run.now).after == times[-1]


def test_a_long_downtime_is_caught_up_in_parts() -> None:
    run = Run(TIMINGS[3], "one")
    run.now += timedelta(days=1)
    first = due(run.timing, run.progress, run.now, "one")
    assert (list(first.ticks), first.skipped) == ([], MAX_TICKS)
    assert first.progress.missed == MAX_TICKS
    run.look()
    (tick,) = run.ticks
    assert tick.missed == len(run.scheduled()) - 1
