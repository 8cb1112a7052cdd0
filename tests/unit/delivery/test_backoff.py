"""When a failed event is tried again, whatever the policy says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.backoff import MAX_RETRY_AFTER_S, Backoff

NOW = datetime(2030, 1, 1, tzinfo=UTC)
POLICIES = st.builds(
    Backoff,
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1e9),
    cap=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    attempts=st.integers(1, 100),
)


def test_each_wait_is_longer_up_to_the_cap() -> None:
    policy = Backoff(first=1.0, factor=2.0, cap=10.0, jitter=0.0)
    assert [policy.delay_s(n, 0.5) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_jitter_spreads_evenly_around_the_plain_wait() -> None:
    policy = Backoff(first=10.0, jitter=0.2)
    assert [policy.delay_s(1, chance) for chance in (0.0, 0.5, 1.0)] == [8.0, 10.0, 12.0]


def test_the_last_attempt_leaves_none() -> None:
    policy = Backoff(attempts=3)
    assert [policy.is_exhausted(failed) for failed in (1, 2, 3, 4)] == [False, False, True, True]


@given(POLICIES, st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e300))
def test_a_wait_is_within_its_bounds_and_never_an_error(
    policy: Backoff, failed: int, chance: float, asked: float | None
) -> None:
    wait = policy.delay_s(failed, chance, asked)
    least = min(asked or 0.0, MAX_RETRY_AFTER_S)
    assert least <= wait <= max(float(policy.cap) * (1 + policy.jitter), least)
    assert policy.next_attempt_at(NOW, failed, chance, asked, timedelta()) == NOW + timedelta(
        seconds=wait
    )


@given(POLICIES, st.integers(1, 1_000))
def test_waits_never_shrink(policy: Backoff, failed: int) -> None:
    assert policy.delay_s(failed, 0.5) <= policy.delay_s(failed + 1, 0.5)
