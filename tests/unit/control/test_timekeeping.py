"""The time that a ledger has seen, and where the next process continues."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from busway.clock import SystemClock
from busway.control.timekeeping import continue_in_time, note_time, noted
from busway.testing import MemoryLedger

HOUR = timedelta(hours=1)
_NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Put(SystemClock):
    """The machine's clock, put ahead or back before the process starts."""

    def __init__(self, by: timedelta) -> None:
        self._by = by
        self._now = _NOW

    def wall(self) -> datetime:
        return self._now + self._by

    def monotonic(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("by", "continues"), [(-HOUR, True), (HOUR, False), (-40 * HOUR, False), (0 * HOUR, False)]
)
async def test_a_process_does_not_begin_before_the_last_one_ended(
    by: timedelta, continues: bool
) -> None:
    ledger, before = MemoryLedger(), Put(timedelta(0))
    await continue_in_time(ledger, before)
    await note_time(ledger, before)
    after = Put(by)
    last = await noted(ledger)
    assert last == before.now()
    await continue_in_time(ledger, after)
    assert after.now() == (last if continues else after.wall())


async def test_a_later_time_stays_noted_unless_a_clock_was_plainly_wrong() -> None:
    ledger = MemoryLedger()
    ahead, now, wrong = Put(HOUR), Put(timedelta(0)), Put(1000 * HOUR)
    await note_time(ledger, ahead)
    await note_time(ledger, now)
    assert await noted(ledger) == ahead.now()
    await note_time(ledger, wrong)
    await note_time(ledger, now)
    assert await noted(ledger) == now.now()
