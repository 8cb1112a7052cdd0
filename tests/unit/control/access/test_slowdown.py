"""Wrong credentials are slowed down by address, told once a minute, and little is remembered."""

from __future__ import annotations

import pytest

from busway.control.access.slowdown import (
    FIRST_S,
    FORGOTTEN_S,
    FREE,
    LONGEST_S,
    TOLD_EVERY_S,
    Slowdown,
)

ME, OTHER = "10.0.0.7", "10.0.0.8"


def test_the_first_ones_are_free_and_then_each_waits_longer_up_to_a_limit() -> None:
    slow = Slowdown()
    delays = [slow.wrong(ME, float(second)) for second in range(12)]
    assert delays[: FREE + 3] == [0.0] * FREE + [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert delays[-1] == LONGEST_S
    assert delays == sorted(delays)


def test_another_address_is_not_slowed_down() -> None:
    slow = Slowdown()
    for _ in range(1000):
        slow.wrong(ME, 0.0)
    assert slow.wrong(OTHER, 0.0) == 0.0


def test_who_leaves_it_for_a_while_begins_anew() -> None:
    slow = Slowdown()
    for _ in range(10):
        slow.wrong(ME, 0.0)
    assert slow.wrong(ME, FORGOTTEN_S - 1) == LONGEST_S
    assert slow.wrong(ME, 2 * FORGOTTEN_S) == 0.0


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
    slow = Slowdown()
    for _ in range(10):
        slow.wrong(one, 0.0)
    assert bool(slow.wrong(another, 0.0)) is same


def test_it_is_told_at_once_and_then_once_a_minute_with_a_count() -> None:
    slow = Slowdown()
    slow.wrong(ME, 0.0)
    assert list(slow.to_tell(0.0)) == [(ME, 1)]
    for second in range(1, 50):
        slow.wrong(ME, float(second))
        assert list(slow.to_tell(float(second))) == []
    slow.wrong(OTHER, 50.0)
    assert list(slow.to_tell(50.0)) == [(OTHER, 1)]
    assert list(slow.to_tell(TOLD_EVERY_S)) == [(ME, 49)]
    assert list(slow.to_tell(3 * TOLD_EVERY_S)) == []
    assert len(slow) == 0, "who is told and gone is forgotten"


def test_it_remembers_no_more_addresses_than_it_may() -> None:
    slow = Slowdown(most=3)
    for number in range(100):
        slow.wrong(f"10.0.1.{number}", 0.0)
    assert len(slow) == 3
