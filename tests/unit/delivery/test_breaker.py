"""The breaker: when a destination may be called, for every sequence of answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.backoff import MAX_RETRY_AFTER_S
from busway.delivery.breaker import Breaker

ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["success", "down", "gone", "probe"]),
        st.floats(0, 100),
        st.none() | st.floats(0, 1e15),
    )
)


def test_the_waits_grow_up_to_a_limit_and_begin_anew_after_a_success() -> None:
    breaker, now, waits = Breaker(), 0.0, []
    for _ in range(9):
        breaker = breaker.on_down(now, "503")
        waits.append(breaker.wait_s(now))
        now = breaker.probe_at
        assert breaker.wait_s(now) == 0.0
        breaker = breaker.begin_probe()
        assert breaker.wait_s(now) is None
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert breaker.on_success().on_down(now, "503").wait_s(now) == 0.5


def test_what_is_asked_for_is_waited_at_least() -> None:
    breaker = Breaker().on_down(10.0, "429", 7.0)
    assert breaker.wait_s(10.0) == 7.0
    assert breaker.on_down(11.0, "429", 20.0).probe_at == 31.0, "a later answer may ask for more"
    assert breaker.on_down(11.0, "429", 1.0).probe_at == 17.0, "but not for less"
    assert breaker.on_down(11.0, "429", 20.0).failures == 1, "and it is one downtime"


def test_an_absurd_wait_is_not_believed() -> None:
    assert Breaker().on_down(0.0, "429", 1e12).wait_s(0.0) == MAX_RETRY_AFTER_S


def test_gone_is_for_good() -> None:
    breaker = Breaker().on_gone("410")
    for after in (breaker.on_success(), breaker.on_down(1.0, "503")):
        assert after.state == "gone"
        assert after.wait_s(1e9) is None


@given(ANSWERS)
def test_it_can_always_be_left_by_waiting_unless_it_is_gone_or_probing(
    answers: list[tuple[str, float, float | None]],
) -> None:
    breaker, now = Breaker(), 0.0
    for kind, passed, asked in answers:
        now += passed
        before = breaker
        match kind:
            case "success":
                breaker = breaker.on_success()
            case "down":
                breaker = breaker.on_down(now, "down", asked)
            case "gone":
                breaker = breaker.on_gone("gone")
            case _ if breaker.wait_s(now) == 0.0 and breaker.state == "open":
                breaker = breaker.begin_probe()
        if breaker.state in ("gone", "half-open"):
            assert breaker.wait_s(now) is None
        else:
            wait = breaker.wait_s(now)
            assert wait is not None
            assert 0 <= wait <= max(30.0, MAX_RETRY_AFTER_S)
        if kind == "down" and before.state in ("closed", "half-open"):
            assert breaker.state == "open"
            assert breaker.probe_at - now == pytest.approx(
                max(
                    min(0.5 * 2.0**before.failures, 30.0),
                    min(asked or 0, MAX_RETRY_AFTER_S),
                )
            )
