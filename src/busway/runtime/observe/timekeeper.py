"""The timekeeper: notes the time in the ledger, and reports a clock that was set."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from busway.clock import Clock
from busway.control.timekeeping import boot_id, note_time
from busway.ports import Ledger
from busway.runtime.loop import Loop

EVERY_S = 5.0
NOTED_EVERY_S = 60.0
_WORTH_A_WORD = timedelta(seconds=2)
_log = structlog.get_logger("busway")


class Timekeeper:
    """Looks at the clock of this process; ``notes`` says whether it is the one that notes."""

    def __init__(self, ledger: Ledger, clock: Clock, notes: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._notes = notes
        self._ahead = timedelta(0)
        self._notes_at = clock.monotonic()
        self._boot = boot_id()

    async def turn(self, loop: Loop) -> None:
        """Look, note, and wait."""
        ahead, before = self._clock.ahead(), self._ahead
        self._ahead = ahead
        if abs(ahead - before) >= _WORTH_A_WORD:
            _log.warning(
                "the clock was set: waits take as long as before, and times approach it slowly",
                forward_s=round((before - ahead).total_seconds()),
            )
        if self._clock.monotonic() >= self._notes_at and self._notes():
            await note_time(self._ledger, self._clock, self._boot)
            self._notes_at = self._clock.monotonic() + NOTED_EVERY_S
        with loop.idle():
            await self._clock.sleep(EVERY_S)
