"""Which loops of a process do not get on, and why: noted when they fail again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from busway.clock import Clock, SystemClock
from busway.control.record import StuckRecord
from busway.exception_text import ExceptionText

STUCK_AFTER = 3
"""After how many turns in a row that failed a loop counts as stuck."""
STORE_AWAY_AFTER_S = 30.0
"""After how long, where a store is away: that mostly passes."""
SAVE_INTERVAL_S = 60.0
"""How often it is noted how many turns have failed by now."""


class StuckLoops:
    """Hears of each turn of a process's loops; ``on_change`` is called when there is news."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._failing: dict[str, tuple[StuckRecord, float, float]] = {}
        self._cleared: set[str] = set()
        self._stuck: dict[str, StuckRecord] = {}
        self._changes: dict[str, StuckRecord | None] = {}
        self.on_change: Callable[[], None] = _nothing

    @property
    def records(self) -> Mapping[str, StuckRecord]:
        """The loops that are stuck now, by name."""
        return self._stuck

    def take_changes(self) -> Mapping[str, StuckRecord | None]:
        """Return once what is to be kept: ``None`` of a loop that gets on."""
        found, self._changes = self._changes, {}
        return found

    def failed(self, loop: str, flow: str, text: ExceptionText, *, store_unavailable: bool) -> None:
        """A turn of a loop failed; a store was ``store_unavailable``, or it was another
        exception."""
        now, at = self._clock.monotonic(), self._clock.now()
        fresh = StuckRecord(loop, flow, text.name, text.reason, at)
        record, began, noted = self._failing.get(loop, (fresh, now, now))
        record = msgspec.structs.replace(
            record, error=text.name, reason=text.reason, failures=record.failures + 1, at=at
        )
        self._cleared.discard(loop)
        lasts = (
            now - began >= STORE_AWAY_AFTER_S
            if store_unavailable
            else record.failures >= STUCK_AFTER
        )
        known = loop in self._stuck
        if lasts or known:
            self._stuck[loop] = record
        if (lasts and not known) or (known and now - noted >= SAVE_INTERVAL_S):
            self._record_change(loop, record)
            noted = now
        self._failing[loop] = (record, began, noted)

    def succeeded(self, loop: str) -> None:
        """A turn of a loop went well; the first one clears what another process may have kept."""
        if loop in self._cleared:
            return
        self._cleared.add(loop)
        self._failing.pop(loop, None)
        self._stuck.pop(loop, None)
        self._record_change(loop, None)

    def ended(self, loop: str) -> None:
        """A loop has ended; what is kept of it stays until it gets on elsewhere."""
        self._cleared.discard(loop)
        self._failing.pop(loop, None)
        if self._stuck.pop(loop, None) is not None:
            self.on_change()

    def _record_change(self, loop: str, record: StuckRecord | None) -> None:
        self._changes[loop] = record
        self.on_change()


def _nothing() -> None:
    """Nobody wants to hear."""
