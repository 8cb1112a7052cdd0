"""What fails in the loops of a process: told once, and again now and then.

An outage of the stores is one thing for all loops; any other exception is one of its loop.
"""

from __future__ import annotations

import structlog

from busway.clock import Clock, SystemClock
from busway.errors import SourceError, StoreError
from busway.exception_text import exception_text
from busway.runtime.stuck_loop import StuckLoops

REPORT_INTERVAL_S = 60.0
"""How often the same error is told while an outage lasts."""
MAX_ERRORS = 8
"""How many different errors are told in that time: a text may name what each loop was about."""
MAX_DEFECTS = 100
"""How many different exceptions of loops are known, so that each is told once."""
RECOVERED_AFTER_S = 30.0
"""So long after the last failure it is over, also for loops that only wait since."""

_log = structlog.get_logger("busway")


class OutageLog:
    """Hears of each turn, and logs when turns begin to fail, and when all loops go on again."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._failing: set[str] = set()
        self._reported_errors: set[str] = set()
        self._began_at = self._reported_at = self._failed_at = 0.0
        self._recovered_at: float | None = None
        """When a turn went well for the first time since the last one that failed."""
        self._recovered = False
        """Whether that is known of a loop that had failed: others may not need what is away."""
        self.stuck_loops = StuckLoops(self._clock)
        self._reported_defects: dict[tuple[str, str], tuple[float, int]] = {}
        """When an exception of a loop was told last, and how often it came since."""

    def failed(self, loop: str, error: BaseException | str, flow: str = "") -> None:
        """A turn of a loop failed; it is going to try again."""
        if isinstance(error, str):
            self._store_unavailable(loop, error)
            return
        text, away = exception_text(error), isinstance(error, StoreError)
        self.stuck_loops.failed(loop, flow, text, store_unavailable=away)
        if away:
            self._store_unavailable(loop, text.reason)
        else:
            self.log_defect(loop, error)

    def log_defect(self, loop: str, error: BaseException) -> None:
        """Log an exception with its traceback, and then once a minute how often it came again."""
        text, now = exception_text(error), self._clock.monotonic()
        key = (loop, text.line)
        if key not in self._reported_defects:
            if len(self._reported_defects) >= MAX_DEFECTS:
                self._reported_defects.clear()
            self._reported_defects[key] = (now, 0)
            trace = None if isinstance(error, SourceError) else error
            _log.error("loop failed", loop=loop, error=text.line, exc_info=trace)
            return
        told_at, again = self._reported_defects[key]
        self._reported_defects[key] = (told_at, again + 1)
        if now - told_at >= REPORT_INTERVAL_S:
            self._reported_defects[key] = (now, 0)
            _log.error("loop still fails", loop=loop, error=text.line, times=again + 1)

    def _store_unavailable(self, loop: str, error: str) -> None:
        now = self._clock.monotonic()
        if not self._failing:
            self._began_at = now
            self._reported_errors.clear()
        self._failing.add(loop)
        self._failed_at, self._recovered_at, self._recovered = now, None, False
        self._report(loop, error, now)

    def succeeded(self, loop: str) -> None:
        """A turn of a loop went well."""
        self.stuck_loops.succeeded(loop)
        if not self._failing:
            return
        now = self._clock.monotonic()
        self._recovered_at = now if self._recovered_at is None else self._recovered_at
        self._recovered |= loop in self._failing
        self._failing.discard(loop)
        if not self._failing or now - self._failed_at >= RECOVERED_AFTER_S:
            self._report_recovery()

    def ended(self, loop: str) -> None:
        """A loop has ended."""
        self.stuck_loops.ended(loop)
        if self._failing == {loop} and self._recovered:
            self._report_recovery()
        self._failing.discard(loop)

    def _report(self, loop: str, error: str, now: float) -> None:
        if now - self._reported_at >= REPORT_INTERVAL_S:
            self._reported_errors.clear()
        if error in self._reported_errors or len(self._reported_errors) >= MAX_ERRORS:
            return
        if not self._reported_errors:
            self._reported_at = now
        self._reported_errors.add(error)
        for_s = round(now - self._began_at, 1)
        _log.warning("waiting for a store", loop=loop, error=error, for_s=for_s)

    def _report_recovery(self) -> None:
        self._failing.clear()
        if self._recovered_at is not None:
            lasted_s = round(self._recovered_at - self._began_at, 1)
            _log.info("the stores answer again", lasted_s=lasted_s)
