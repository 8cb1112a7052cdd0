"""Wrong credentials are slowed down by address, told once a minute, and little is remembered."""

from __future__ import annotations

import pytest

from busway.control.access.slowdown import (
    FIRST_DELAY_S,
    FORGET_AFTER_S,
    FREE_ATTEMPTS,
    MAX_DELAY_S,
    REPORT_INTERVAL_S,
    AuthenticationSlowdown,
)

ME, OTHER = "10.0.0.7", "10.0.0.8"


def test_delays_begin_after_free_attempts_and_grow_to_a_limit() -> None:
    slow = AuthenticationSlowdown()
    delays = [slow.record_failure(ME, float(second)) for second in range(12)]
    assert delays[: FREE_ATTEMPTS + 3] == [0.0] * FREE_ATTEMPTS + [
        FIRST_DELAY_S,
        2 * FIRST_DELAY_S,
        4 * FIRST_DELAY_S,
    ]
    assert delays[-1] == MAX_DELAY_S
    assert delays == sorted(delays)


def test_another_address_is_not_slowed_down() -> None:
    slow = AuthenticationSlowdown()
    for _ in range(1000):
        slow.record_failure(ME, 0.0)
    assert slow.record_failure(OTHER, 0.0) == 0.0


def test_the_count_restarts_after_a_pause() -> None:
    slow = AuthenticationSlowdown()
    for _ in range(10):
        slow.record_failure(ME, 0.0)
    assert slow.record_failure(ME, FORGET_AFTER_S - 1) == MAX_DELAY_S
    assert slow.record_failure(ME, 2 * FORGET_AFTER_S) == 0.0


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("10.0.0.7", "::ffff:10.0.0.7", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("", "not an address", True),
    ],
)
def test_addresses_that_one_caller_may_have_are_one(one: str, another: str, same: bool) -> None:
    slow = AuthenticationSlowdown()
    for _ in range(10):
        slow.record_failure(one, 0.0)
    assert bool(slow.record_failure(another, 0.0)) is same


def test_failures_are_reported_at_once_then_every_minute() -> None:
    slow = AuthenticationSlowdown()
    slow.record_failure(ME, 0.0)
    assert list(slow.due_reports(0.0)) == [(ME, 1)]
    for second in range(1, 50):
        slow.record_failure(ME, float(second))
        assert list(slow.due_reports(float(second))) == []
    slow.record_failure(OTHER, 50.0)
    assert list(slow.due_reports(50.0)) == [(OTHER, 1)]
    assert list(slow.due_reports(REPORT_INTERVAL_S)) == [(ME, 49)]
    assert list(slow.due_reports(3 * REPORT_INTERVAL_S)) == []
    assert len(slow) == 0, "who is told and gone is forgotten"


def test_the_number_of_addresses_is_limited() -> None:
    slow = AuthenticationSlowdown(limit=3)
    for number in range(100):
        slow.record_failure(f"10.0.1.{number}", 0.0)
    assert len(slow) == 3
