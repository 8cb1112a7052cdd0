"""The time that a ledger has seen, and where the next process continues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from busway.clock import SystemClock
from busway.control.clock_record import expected_time, record_time, resume_clock
from busway.testing import MemoryLedger

HOUR = timedelta(hours=1)
_NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Put(SystemClock):
    """The machine's clock, put ahead or back before the process starts."""

    def __init__(self, by: timedelta, passed_s: float = 0.0) -> None:
        self._by = by
        self._passed_s = passed_s
        self._now = _NOW

    def wall_clock(self) -> datetime:
        return self._now + self._by + timedelta(seconds=self._passed_s)

    def monotonic(self) -> float:
        return 100.0 + self._passed_s


async def started(by: timedelta, boot: str, passed_s: float = 10.0) -> Put:
    """Return the clock of a process that starts after another one, when the clock was set."""
    ledger, before = MemoryLedger(), Put(timedelta(0))
    await resume_clock(ledger, before, "a")
    assert before.now() == _NOW
    await record_time(ledger, before, "a")
    after = Put(by, passed_s)
    await resume_clock(ledger, after, boot)
    return after


@pytest.mark.parametrize("by", [-HOUR, HOUR, -23 * HOUR, 23 * HOUR, timedelta(0)])
async def test_on_a_machine_that_runs_on_it_is_known_what_has_passed(by: timedelta) -> None:
    assert (await started(by, "a")).now() == _NOW + timedelta(seconds=10)


@pytest.mark.parametrize("boot", ["a", "b", ""])
@pytest.mark.parametrize("by", [-40 * HOUR, 10_000 * HOUR])
async def test_a_clock_that_was_plainly_wrong_is_followed(by: timedelta, boot: str) -> None:
    after = await started(by, boot)
    assert after.now() == after.wall_clock()


@pytest.mark.parametrize("boot", ["b", ""])
async def test_elsewhere_it_is_not_earlier_than_before(boot: str) -> None:
    assert (await started(-HOUR, boot)).now() == _NOW
    after = await started(HOUR, boot)
    assert after.now() == after.wall_clock()


async def test_a_later_time_stays_noted_unless_a_clock_was_plainly_wrong() -> None:
    ledger, other = MemoryLedger(), Put(timedelta(0))
    await record_time(ledger, Put(HOUR), "a")
    await record_time(ledger, other, "b")
    assert await expected_time(ledger, other, "b") == _NOW + HOUR
    await record_time(ledger, Put(1_000 * HOUR), "a")
    await record_time(ledger, other, "b")
    assert await expected_time(ledger, other, "b") is None


async def test_what_another_version_has_noted_is_passed_over() -> None:
    ledger, clock = MemoryLedger(), Put(timedelta(0))
    await ledger.put_value("clock", b'"2040-01-01T00:00:00Z"')
    await resume_clock(ledger, clock, "a")
    assert clock.now() == _NOW
