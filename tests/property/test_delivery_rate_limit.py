"""How 429 slows a destination down, for every sequence of answers."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.backoff import MAX_RETRY_AFTER_S
from busway.delivery.rate_limit_backoff import RateLimitBackoff

ANSWERS = st.lists(
    st.tuples(
        st.floats(0, 100), st.integers(0, 20), st.integers(0, 20), st.none() | st.floats(0, 1e15)
    ),
    max_size=40,
)


@given(ANSWERS)
def test_what_it_asks_for_is_waited_and_it_always_goes_on(
    answers: list[tuple[float, int, int, float | None]],
) -> None:
    limit, now = RateLimitBackoff(), 0.0
    for pause, delivered, limited, asked_s in answers:
        now += pause
        in_a_row = limited + (0 if delivered else limit.consecutive)
        limit = limit.after(now, delivered, limited, asked_s)
        assert limit.consecutive == in_a_row
        if limited and in_a_row >= 3:
            assert limit.limit == 1
            if asked_s is not None:
                assert limit.wait_s(now) >= min(asked_s, MAX_RETRY_AFTER_S) - 1e-6
        assert 0.0 <= limit.wait_s(now) <= MAX_RETRY_AFTER_S
        assert limit.wait_s(now + MAX_RETRY_AFTER_S + 1) == 0.0


def test_one_among_others_that_are_delivered_holds_nothing() -> None:
    limit = RateLimitBackoff()
    for now in range(100):
        limit = limit.after(float(now), 5, 2, 60.0)
        assert limit.wait_s(float(now)) == 0.0
        assert limit.limit is None


def test_it_goes_on_with_one_request_and_more_with_each_round() -> None:
    limit = RateLimitBackoff().after(0.0, 0, 3, 1.0)
    assert limit.wait_s(0.0) == 1.0
    limits = []
    for now in range(1, 30):
        limits.append(limit.limit or inf)
        limit = limit.after(float(now), limit.limit or 100, 0, None)
    assert limits[:4] == [1, 1, 2, 3]
    assert limits == sorted(limits), "nothing is taken back while it delivers"
    for now in range(100):
        limit = limit.after(30.0 + now, 100, 0, None)
    assert limit.limit is None


def test_the_waits_grow_where_it_asks_for_none() -> None:
    limit, now, waits = RateLimitBackoff().after(0.0, 0, 2, None), 0.0, []
    for _ in range(8):
        limit = limit.after(now, 0, 1, None)
        waits.append(limit.wait_s(now))
        now += waits[-1]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
