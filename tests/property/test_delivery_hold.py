"""What holds a flow, beside a plain model of it, at every second of some minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from busway.delivery.maintenance_window import Window
from busway.delivery.operator_control import (
    ControlRecord,
    ControlRecords,
    Drain,
    Pause,
    Suspension,
    describe,
    effective_controls,
    windows_close_at,
)
from effort import examples

START = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
SPAN_S = 3_600

seconds = st.integers(-SPAN_S, 2 * SPAN_S)
times = seconds.map(lambda s: START + timedelta(seconds=s))
pauses = st.builds(
    Pause, st.just(START), st.just("ann"), st.just("move"), st.one_of(st.none(), times)
)
windows = st.builds(
    Window,
    st.sampled_from(["*/10 * * * *", "0 2 * * *", "30 * * * *", "0 3 * * SUN"]),
    st.sampled_from(["30s", "9m", "90m"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
).filter(lambda one: not (one.cron in ("*/10 * * * *", "30 * * * *") and one.lasts == "90m"))
drains = st.builds(
    Drain, st.just(START), st.just("bob"), st.tuples(st.integers(0, 9), st.integers(0, 9))
)
steerings = st.builds(
    ControlRecord,
    pause=st.one_of(st.none(), pauses),
    drain=st.one_of(st.none(), drains),
    windows=st.lists(windows, max_size=3).map(tuple),
    windows_skipped_until=st.one_of(st.none(), st.none(), times),
)
records = st.fixed_dictionaries({"flow": steerings, "destination": steerings})


def ends(record: ControlRecord, at: datetime) -> list[datetime | None]:
    """Return the ends of all that holds at a time; ``None`` for no end."""
    found: list[datetime | None] = []
    if record.pause and (record.pause.until is None or at < record.pause.until):
        found.append(record.pause.until)
    if record.windows_skipped_until is None or record.windows_skipped_until <= at:
        found += [end for one in record.windows if (end := one.open_until(at)) is not None]
    return found


@given(records, times)
def test_it_is_held_when_anything_holds_and_for_as_long_as_the_longest(
    given: ControlRecords, at: datetime
) -> None:
    expected = [end for one in given.values() for end in ends(one, at)]
    hold = effective_controls(given, at).suspension
    assert (hold is None) == (not expected)
    if hold is not None:
        assert hold.until == (None if None in expected else max(end for end in expected if end))
        assert describe(hold)


@given(records, times, st.floats(0, 1))
def test_nothing_changes_before_it_says(given: ControlRecords, at: datetime, part: float) -> None:
    now = effective_controls(given, at)
    edge = now.changes_at
    if edge is None:
        later = at + timedelta(days=365) * part
    else:
        assert edge > at
        later = at + (edge - at - timedelta(microseconds=1)) * part
    assert effective_controls(given, later).suspension == now.suspension


@settings(max_examples=examples(20))
@given(records, times)
def test_an_hour_from_edge_to_edge_is_the_hour_moment_by_moment(
    given: ControlRecords, at: datetime
) -> None:
    """Turning at the edges only is the same as looking all the time."""
    now = effective_controls(given, at)
    for second in range(0, SPAN_S, 89):
        moment = at + timedelta(seconds=second)
        while now.changes_at is not None and now.changes_at <= moment:
            now = effective_controls(given, now.changes_at)
        assert now.suspension == effective_controls(given, moment).suspension


@given(records, times)
def test_a_drain_goes_as_far_as_the_nearer_goals(given: ControlRecords, at: datetime) -> None:
    goals = [one.drain.targets for one in given.values() if one.drain]
    expected = tuple(min(of) for of in zip(*goals, strict=True)) if goals else None
    assert effective_controls(given, at).drain_targets == expected


@given(records, times)
def test_past_its_windows_only_pauses_hold(given: ControlRecords, at: datetime) -> None:
    until = windows_close_at(given, at)
    if until is None:
        hold = effective_controls(given, at).suspension
    else:
        assert until > at
        opened: ControlRecords = {
            scope: msgspec.structs.replace(one, windows_skipped_until=until)
            for scope, one in given.items()
        }
        hold = effective_controls(opened, at).suspension
        last = until - timedelta(microseconds=1)
        assert [
            end for one in opened.values() for end in ends(one, last) if one.pause is None
        ] == []
    assert hold is None or hold.kind == "paused"


def test_a_pause_until_a_time_that_has_passed_holds_nothing() -> None:
    past = Pause(START, "ann", "", START - timedelta(seconds=1))
    assert effective_controls({"flow": ControlRecord(past)}, START).suspension is None
    assert effective_controls({"flow": ControlRecord(past)}, START).changes_at is None


def test_a_hold_says_who_since_when_and_why() -> None:
    hold = Suspension("paused", "destination", None, "ann", START, "a move")
    assert describe(hold) == "destination paused by ann since 2026-10-25 00:30:00 UTC: a move"
    window = Suspension("window", "flow", START, reason="backup", window="0 2 * * * for 2h (UTC)")
    assert describe(window) == "in the window 0 2 * * * for 2h (UTC): backup"
