"""The throttle never lets more through than its rate, and no less than it could."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.rate import Rate, Throttle
from busway.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50.0), ("120/m", 2.0), ("36 / h", 0.01), ("0.5/s", 0.5)]
)
def test_rates_as_people_write_them(text: str, per_s: float) -> None:
    assert Rate.parse(text).per_s == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["", "50", "50/d", "-1/s", "0/s", "fast", 50, None])
def test_what_is_no_rate_is_refused_with_what_would_be_one(text: object) -> None:
    with pytest.raises(SettingsError, match="use a value like '50/s'"):
        Rate.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "0.0000000000000000001/h",
        f"{'9' * 400}/s",
        f"1/s burst {'9' * 60}",
        Rate(1e-20),
        Rate(1.0, 10**400),
        Rate(float("nan")),
    ],
)
def test_a_rate_that_could_not_be_kept_or_computed_with_is_refused(text: object) -> None:
    with pytest.raises(SettingsError, match="use a rate from"):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["0.01/h", "1000000000/s", "0.005/h burst 1000000000"])
def test_the_slowest_and_the_fastest_rate_are_kept_as_they_are(text: str) -> None:
    rate = Rate.parse(text)
    kept = Rate.parse(str(rate))
    assert kept.per_s == pytest.approx(rate.per_s, rel=1e-5)
    assert kept.declared_burst == rate.declared_burst


@given(
    per_s=st.floats(0.1, 10_000),
    waits=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 1000)), max_size=40),
)
def test_no_more_goes_than_the_rate_allows(per_s: float, waits: list[tuple[float, int]]) -> None:
    rate = Rate(per_s)
    throttle, now, gone = Throttle(rate), 0.0, 0
    for pause, wanted in waits:
        now += pause
        now += throttle.wait_s(now, min(wanted, rate.burst))
        count = min(wanted, rate.burst)
        throttle, gone = throttle.consume(now, count), gone + count
        assert gone - rate.burst <= per_s * now * (1 + 1e-9) + 1e-6


def test_a_busy_flow_gets_its_whole_rate() -> None:
    throttle, now, gone = Throttle(Rate(100.0)), 0.0, 0
    while now < 10.0:
        now += throttle.wait_s(now, 10)
        throttle, gone = throttle.consume(now, 10), gone + 10
    assert gone == pytest.approx(1_000, abs=10 + 10)


@given(
    per_s=st.floats(0.1, 10_000),
    at_once=st.none() | st.integers(1, 1_000),
    of=st.integers(1, 64),
)
def test_parts_together_are_the_rate_and_its_burst_or_one_event_each(
    per_s: float, at_once: int | None, of: int
) -> None:
    rate = Rate(per_s, at_once)
    part = rate.divided(of)
    assert part.per_s * of == pytest.approx(per_s)
    assert part.burst * of <= max(rate.burst, of)
