"""Alerts: for every course of a value, raised and cleared after the holds, without flapping."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.alert_state import AlertState, AlertThresholds
from busway.delivery.failure_rate import FailureRate

START = datetime(2030, 1, 1, tzinfo=UTC)
HOLDS = st.sampled_from([0.0, 1.0, 5.0, 60.0])
Look = tuple[float, float | None]
LOOKS: st.SearchStrategy[list[Look]] = st.lists(
    st.tuples(st.sampled_from([0.5, 1.0, 3.0, 30.0]), st.none() | st.integers(0, 20).map(float)),
    max_size=60,
)


@st.composite
def bands(draw: st.DrawFn) -> AlertThresholds:
    low, high = sorted(draw(st.tuples(st.integers(0, 20), st.integers(0, 20))))
    falling = draw(st.booleans())
    raise_at, clear_at = (low, high) if falling else (high, low)
    return AlertThresholds(float(raise_at), float(clear_at), draw(HOLDS), draw(HOLDS), falling)


def courses(
    band: AlertThresholds, looks: Sequence[Look]
) -> list[tuple[datetime, float | None, AlertState]]:
    """Return when was looked, what was seen, and how the alert stood then."""
    watch, now, found = AlertState(), START, []
    for passed_s, value in looks:
        now += timedelta(seconds=passed_s)
        watch = watch.observe(band, value, now)
        found.append((now, value, watch))
    return found


def held(
    course: Sequence[tuple[datetime, float | None, AlertState]],
    index: int,
    band: AlertThresholds,
    raised: bool,
) -> float:
    """Return for how long, up to a look, nothing else was seen than what changes the state."""
    wanted = band.is_breached if raised else band.is_cleared
    first = index
    for number in range(index - 1, -1, -1):
        _, value, watch = course[number]
        if watch.raised == raised or not (value is None or wanted(value)):
            break
        if value is not None:
            first = number
    return (course[index][0] - course[first][0]).total_seconds()


@given(bands(), LOOKS)
def test_it_changes_exactly_when_the_value_was_beyond_the_threshold_for_the_hold(
    band: AlertThresholds, looks: list[Look]
) -> None:
    course = courses(band, looks)
    before = AlertState()
    for index, (_, value, watch) in enumerate(course):
        raised = not before.raised
        beyond = value is not None and (band.is_breached if raised else band.is_cleared)(value)
        hold_s = band.raise_after_s if raised else band.clear_after_s
        due = beyond and held(course, index, band, raised) >= hold_s
        assert (watch.raised != before.raised) == due
        before = watch


@given(bands(), LOOKS)
def test_it_is_raised_and_cleared_in_turn_and_each_change_is_counted_once(
    band: AlertThresholds, looks: list[Look]
) -> None:
    before = AlertState()
    for now, _, watch in courses(band, looks):
        if watch.changes == before.changes:
            assert (watch.raised, watch.since) == (before.raised, before.since)
        else:
            assert watch.changes == before.changes + 1
            assert watch.raised == (watch.changes % 2 == 1) == (not before.raised)
            assert watch.since == now
            assert watch.breached_since is not None
            assert watch.breached_since <= now
            assert watch.pending_since is None
        before = watch


@given(bands(), LOOKS, st.booleans())
def test_nothing_changes_between_the_thresholds(
    band: AlertThresholds, looks: list[Look], raised: bool
) -> None:
    low, high = sorted((band.raise_at, band.clear_at))
    within = [(s, v) for s, v in looks if v is None or low < v < high]
    watch, now = AlertState(raised, START, START, None, int(raised)), START
    for passed_s, value in within:
        now += timedelta(seconds=passed_s)
        assert watch.observe(band, value, now) == watch


@given(bands(), LOOKS)
def test_what_is_not_known_changes_nothing(band: AlertThresholds, looks: list[Look]) -> None:
    for now, _, watch in courses(band, looks):
        assert watch.observe(band, None, now + timedelta(days=1)) == watch


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1), st.integers(0, 30)), max_size=200),
    st.sampled_from([1.0, 10.0, 300.0]),
)
def test_the_failing_share_is_what_failed_newly_of_what_was_read(
    seconds: list[tuple[int, float, int]], over_s: float
) -> None:
    failing = FailureRate(over_s)
    read = troubled = failed = 0
    course = [(-1.0, 0, 0)]
    assert failing.observe(-1.0, 0, 0) == 0.0
    for number, (events, share, resolved) in enumerate(seconds):
        now, new = float(number), int(events * share)
        troubled -= min(resolved, troubled)  # an operator redrives, before more comes
        failing.observe(now - 0.5, read, troubled)
        course.append((now - 0.5, read, failed))
        read, troubled, failed = read + events, troubled + new, failed + new
        found = failing.observe(now, read, troubled)
        course.append((now, read, failed))
        shares = [
            min(1.0, (failed - before) / (read - earlier)) if read > earlier else 0.0
            for at, earlier, before in course
            if at >= now - over_s * (1 + 2 / 120) - 1
        ]
        assert min(shares) <= found <= max(shares)
        assert 0.0 <= found <= 1.0


def test_failures_outside_of_the_window_are_forgotten() -> None:
    failing = FailureRate(window_s=10.0)
    failing.observe(0.0, 0, 0)
    assert failing.observe(1.0, 10, 10) == 1.0
    assert failing.observe(5.0, 20, 10) == 0.5
    assert failing.observe(12.0, 30, 10) == 0.0
    assert failing.observe(30.0, 30, 10) == 0.0, "nothing was read"


def test_too_few_events_say_nothing() -> None:
    failing = FailureRate(window_s=10.0, min_events=5)
    failing.observe(0.0, 0, 0)
    assert failing.observe(1.0, 4, 4) == 0.0
    assert failing.observe(2.0, 5, 4) == 0.8
