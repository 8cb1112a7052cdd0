"""The breaker: how its probes go, and which policies make sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.breaker import Breaker
from busway.delivery.trip import Trip, checked
from busway.errors import SettingsError


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
