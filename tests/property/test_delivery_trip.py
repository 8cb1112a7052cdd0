"""The breaker: when a ratio opens it, and how its probes go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.breaker import Breaker
from busway.delivery.trip import Tally, Trip, checked
from busway.errors import SettingsError

COUNTS = st.lists(
    st.tuples(st.floats(0, 20), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=40
)
TRIPS = st.builds(
    Trip,
    ratio=st.floats(0.01, 1),
    least=st.integers(1, 100),
    within=st.sampled_from(["10s", "30s", 5.0]),
)


@given(TRIPS, COUNTS)
def test_the_window_slides(trip: Trip, counts: list[tuple[float, int, int]]) -> None:
    """What is younger than nine tenths of the window counts, what is older than it does not."""
    within_s = {"10s": 10.0, "30s": 30.0, 5.0: 5.0}[trip.within]
    tally, now, seen = Tally(trip), 0.0, []
    for pause, landed, failed in counts:
        now += pause
        tally = tally.counted(now, landed, failed)
        seen.append((now, landed, failed))
        surely = [one for one in seen if now - one[0] < within_s * 0.9 - 1e-6]
        maybe = [one for one in seen if now - one[0] <= within_s + 1e-6]
        assert sum(one[2] for one in surely) <= tally.failed <= sum(one[2] for one in maybe)
        assert sum(one[1] for one in surely) <= tally.landed <= sum(one[1] for one in maybe)
        assert len(tally.slices) <= 10
        total = tally.landed + tally.failed
        assert trip.ratio is not None
        assert tally.trips == (total >= trip.least and tally.failed >= trip.ratio * total)


def test_a_few_failures_do_not_open_it() -> None:
    tally = Tally(Trip(least=20)).counted(0.0, 0, 19)
    assert not tally.trips
    assert tally.counted(1.0, 0, 1).trips
    assert not tally.counted(40.0, 0, 1).trips, "the others are too old"


def test_without_a_ratio_it_never_trips() -> None:
    assert not Tally(Trip(ratio=None)).counted(0.0, 0, 10_000).trips


@given(st.lists(st.sampled_from(["fails", "is down", "turned back"]), max_size=12))
def test_probes_are_single_and_further_and_further_apart(answers: list[str]) -> None:
    trip = Trip(first_wait="1s", longest_wait="8s")
    breaker, now = Breaker(trip=trip).on_failing(0.0, "500s"), 0.0
    waits = [breaker.until - now]
    for answer in answers:
        assert breaker.wait_s(now) == pytest.approx(breaker.until - now)
        now = breaker.until
        breaker = breaker.probe()
        assert breaker.wait_s(now) is None, "nobody else goes while the probe is on its way"
        if answer == "turned back":
            breaker = breaker.unprobed()
            assert breaker.wait_s(now) == 0.0
            continue
        breaker = breaker.on_down(now, answer)
        waits.append(breaker.until - now)
        assert breaker.failing
    assert waits == [min(2.0**n, 8.0) for n in range(len(waits))]
    assert breaker.on_success() == Breaker(trip=trip)


@pytest.mark.parametrize(
    ("trip", "text"),
    [
        (Trip(ratio=0), "ratio is 0"),
        (Trip(ratio=1.5), "ratio is 1.5"),
        (Trip(least=0), "least is 0"),
        (Trip(within="never"), "within: 'never'"),
        (Trip(first_wait=0), "first_wait is nothing"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_told(trip: Trip, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        checked(trip)
