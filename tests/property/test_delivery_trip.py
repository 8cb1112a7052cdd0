"""The breaker: how its probes go, and which policies make sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.breaker import Breaker
from busway.delivery.breaker_policy import BreakerPolicy, validated
from busway.errors import SettingsError


@given(st.lists(st.sampled_from(["fails", "is down", "turned back"]), max_size=12))
def test_probes_are_single_and_further_and_further_apart(answers: list[str]) -> None:
    trip = BreakerPolicy(initial_wait="1s", max_wait="8s")
    breaker, now = Breaker(policy=trip).on_failing(0.0, "500s"), 0.0
    waits = [breaker.probe_at - now]
    for answer in answers:
        assert breaker.wait_s(now) == pytest.approx(breaker.probe_at - now)
        now = breaker.probe_at
        breaker = breaker.begin_probe()
        assert breaker.wait_s(now) is None, "nobody else goes while the probe is on its way"
        if answer == "turned back":
            breaker = breaker.release_probe()
            assert breaker.wait_s(now) == 0.0
            continue
        breaker = breaker.on_down(now, answer)
        waits.append(breaker.probe_at - now)
        assert breaker.opened_by_failures
    assert waits == [min(2.0**n, 8.0) for n in range(len(waits))]
    assert breaker.on_success() == Breaker(policy=trip)


@pytest.mark.parametrize(
    ("trip", "text"),
    [
        (BreakerPolicy(ratio=0), "invalid ratio 0"),
        (BreakerPolicy(ratio=1.5), "invalid ratio 1.5"),
        (BreakerPolicy(min_attempts=0), "invalid min_attempts 0"),
        (BreakerPolicy(within="never"), "within: invalid duration 'never'"),
        (BreakerPolicy(initial_wait=0), "invalid initial_wait"),
    ],
    ids=str,
)
def test_invalid_values_are_rejected(trip: BreakerPolicy, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        validated(trip)
