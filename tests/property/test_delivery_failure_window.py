"""Whether a destination is down, for every sequence of answers and every share of failures."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.breaker_policy import BreakerPolicy
from busway.delivery.failure_window import FailureWindow, LoadCounts

LOADS = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.integers(0, 30),
        st.integers(0, 30),
        st.lists(st.integers(0, 50), max_size=10, unique=True),
    ),
    min_size=1,
    max_size=40,
)
TRIPS = st.builds(
    BreakerPolicy,
    ratio=st.floats(0.01, 0.99),
    min_attempts=st.integers(1, 100),
    within=st.sampled_from(["10s", "30s", 5.0]),
)


def answered(share: float, count: int, rate: float, seed: int = 1) -> int:
    """Return how often an API is taken for down that fails by chance."""
    chance, window, now, downs = random.Random(seed), FailureWindow(), 0.0, 0
    for event in range(count):
        now += 1 / rate
        failed = chance.random() < share
        window = window.after(now, LoadCounts(unavailable=[event]) if failed else LoadCounts(1))
        if window.is_down:
            downs += 1
            window = window.reset(now)
    return downs


@given(TRIPS, LOADS)
def test_the_ratio_is_of_the_latest_first_attempts(
    trip: BreakerPolicy, loads: list[tuple[float, int, int, list[int]]]
) -> None:
    """What is younger than nine tenths of the window counts, what is older than it does not."""
    within_s = {"10s": 10.0, "30s": 30.0, 5.0: 5.0}[trip.within]
    window, now, seen = FailureWindow(trip), 0.0, []
    for pause, delivered, failed, unavailable in loads:
        now += pause
        window = window.after(now, LoadCounts(delivered, failed, 0, unavailable))
        seen.append((now, delivered, failed + len(unavailable)))
        surely = [one for one in seen if now - one[0] < within_s * 0.9 - 1e-6]
        maybe = [one for one in seen if now - one[0] <= within_s + 1e-6]
        taken, lost = window.first_attempts
        assert sum(one[1] for one in surely) <= taken <= sum(one[1] for one in maybe)
        assert sum(one[2] for one in surely) <= lost <= sum(one[2] for one in maybe)
        assert len(window.slices) <= 10
        assert trip.ratio is not None
        if taken + lost >= trip.min_attempts and lost >= trip.ratio * (taken + lost):
            assert window.is_failing
    assert not window.reset(now).is_failing, "what it was down for does not open it again"


@given(LOADS)
def test_it_is_never_down_right_after_a_delivery(
    loads: list[tuple[float, int, int, list[int]]],
) -> None:
    window, now = FailureWindow(), 0.0
    for pause, delivered, failed, unavailable in loads:
        now += pause
        before = window
        window = window.after(now, LoadCounts(delivered, failed, 0, unavailable))
        assert window.consecutive_failures == len(unavailable) + (
            0 if delivered else before.consecutive_failures
        )
        assert window.is_down == (window.consecutive_failures >= window.needed_failures)
        assert 4 <= window.needed_failures <= 40
        assert 1 <= window.needed_probes <= 5
        assert 0.0 <= window.retry_pause_s <= 0.15
        if delivered and not unavailable:
            assert not window.is_down
            assert window.retry_pause_s == 0.0


@given(st.integers(0, 500), st.sampled_from([1.0, 20.0, 1000.0]))
def test_an_outage_is_noticed_after_few_failures(delivered: int, rate: float) -> None:
    """However much was delivered before: the more, the sooner."""
    window, now = FailureWindow(), 0.0
    for _ in range(delivered):
        now += 1 / rate
        window = window.after(now, LoadCounts(1))
    failures = 0
    while not window.is_down:
        failures += 1
        now += 1 / rate
        window = window.after(now, LoadCounts(unavailable=[failures]))
    assert failures <= (4 if delivered >= 8 and rate > 1 else 14)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("rate", [20.0, 1000.0])
def test_chance_alone_hardly_ever_makes_it_down(share: float, rate: float) -> None:
    assert answered(share, 20_000, rate) <= 5


def test_a_failure_now_and_then_means_nothing_however_seldom_events_come() -> None:
    window = FailureWindow()
    for minute in range(100):
        now = minute * 60.0
        window = window.after(now, LoadCounts(unavailable=[minute]))
        assert not window.is_down
        window = window.after(now + 0.05, LoadCounts(1))
        assert not window.is_down


def test_one_event_alone_shows_it_in_less_than_a_second() -> None:
    window, now, tries = FailureWindow().after(0.0, LoadCounts(unavailable=["only"])), 0.0, 1
    while not window.is_down:
        assert window.retry_pause_s > 0
        now, tries = now + window.retry_pause_s, tries + 1
        window = window.after(now, LoadCounts(unavailable=["only"]))
    assert now < 0.95
    assert tries >= 5, "chance is not it"


def test_two_seconds_are_long_enough_for_half_as_many() -> None:
    window = FailureWindow()
    for number in range(7):
        assert not window.is_down
        window = window.after(number * 10.0, LoadCounts(unavailable=[number]))
    assert window.is_down


def test_an_events_own_failures_open_it_only_where_the_policy_says_so() -> None:
    for trip, expected in ((BreakerPolicy(), True), (BreakerPolicy(ratio=None), False)):
        window = FailureWindow(trip)
        for now in range(19):
            window = window.after(float(now), LoadCounts(failed=1))
            assert not window.is_failing
        window = window.after(19.0, LoadCounts(failed=1, retries=1))
        assert not window.is_failing, "a retry says nothing new"
        window = window.after(20.0, LoadCounts(failed=1))
        assert window.is_failing == expected
        assert not window.is_down
        assert not window.after(21.0, LoadCounts(1)).is_failing
