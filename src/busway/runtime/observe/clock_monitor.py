"""The timekeeper: notes the time in the ledger, and reports a clock that was set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from busway.clock import Clock
from busway.control.clock_record import boot_id, record_time
from busway.ports import Ledger
from busway.runtime.loop import Loop

INTERVAL_S = 5.0
SAVE_INTERVAL_S = 60.0
_REPORTED_JUMP = timedelta(seconds=2)
_log = structlog.get_logger("busway")


class ClockMonitor:
    """Looks at the clock of this process; ``is_recorder`` says whether it is the one that notes."""

    def __init__(self, ledger: Ledger, clock: Clock, is_recorder: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._is_recorder = is_recorder
        self._ahead = timedelta(0)
        self._records_at = clock.monotonic()
        self._boot = boot_id()

    async def run_once(self, loop: Loop) -> None:
        """Look, note, and wait."""
        ahead, before = self._clock.wall_clock_offset(), self._ahead
        self._ahead = ahead
        if abs(ahead - before) >= _REPORTED_JUMP:
            _log.warning(
                "the clock was set: waits take as long as before, and times approach it slowly",
                forward_s=round((before - ahead).total_seconds()),
            )
        if self._clock.monotonic() >= self._records_at and self._is_recorder():
            await record_time(self._ledger, self._clock, self._boot)
            self._records_at = self._clock.monotonic() + SAVE_INTERVAL_S
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)
