"""The monitors of all request sources: their counts are kept in the ledger, pauses are noticed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import structlog

from busway.clock import Clock
from busway.control.source.record import (
    SourceCounts,
    add_counts,
    keep_records,
    records_of,
    source_pauses,
)
from busway.control.source.status import holding
from busway.delivery.operator_control import Pause
from busway.errors import StoreError
from busway.flow import CompiledApp
from busway.ports import Ledger
from busway.runtime.loop import Loop
from busway.runtime.signal import Signal
from busway.runtime.source.monitor import SourceMonitor
from busway.telemetry import Metrics

LOOK_EVERY_S = 0.5
"""How soon a pause by another process is noticed, and how much of the counts a crash may lose."""
UNKNOWN = ""
"""The name under which requests to sources that there are not are counted."""
LOG_EVERY_S = 10.0
"""How often refusals of one source are logged at most."""

_log = structlog.get_logger("busway")


class SourceMonitors:
    """Has a monitor for each source by its name, and one for unknown sources."""

    def __init__(self, ledger: Ledger, clock: Clock, metrics: Metrics) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._monitors: dict[str, SourceMonitor] = {}
        self._changed = Signal(clock)
        self._unlogged: dict[str, int] = {}
        self._logged_s: dict[str, float] = {}

    def monitor(self, name: str) -> SourceMonitor:
        """Return the monitor of a source; the same one after a reload."""
        return self._monitors.setdefault(name, SourceMonitor(self._clock))

    def wake(self) -> None:
        """Look at once at what people have changed."""
        self._changed.notify()

    async def begin(self, program: CompiledApp) -> None:
        """Keep which sources a program has, and learn which are paused, before anything comes."""
        await keep_records(self._ledger, records_of(program))
        await self.load()

    async def close(self) -> None:
        """Keep what was counted last."""
        with contextlib.suppress(StoreError):
            await self.keep()

    async def load(self) -> None:
        """Take the pauses from the ledger."""
        pauses = await source_pauses(self._ledger)
        now = self._clock.now()
        for name, monitor in self._monitors.items():
            monitor.paused = _told(name, holding(pauses, name, now))

    async def turn(self, loop: Loop) -> None:
        """Look who is paused, and keep what was counted."""
        await self.load()
        await self.keep()
        with loop.interruptible():
            await self._changed.wait(LOOK_EVERY_S)

    async def keep(self) -> None:
        """Add to the ledger what was counted; what it does not take is kept for the next time."""
        taken = {name: monitor.take() for name, monitor in self._monitors.items()}
        counted = {name: counts for name, counts in taken.items() if counts != SourceCounts()}
        self._log_refusals(counted)
        counted.pop(UNKNOWN, None)
        kept = False
        try:
            kept = await add_counts(self._ledger, counted)
        finally:
            if not kept:
                for name, counts in counted.items():
                    self._monitors[name].put_back(counts)

    def report(self) -> None:
        """Bring the metrics up to date."""
        for name, monitor in self._monitors.items():
            taken = monitor.take_metrics()
            for outcome, count in taken.events.items():
                self._metrics.source_events.labels(name, outcome).inc(count)
            for code, count in taken.refusals.items():
                self._metrics.source_refused.labels(name, code).inc(count)

    def _log_refusals(self, counted: Mapping[str, SourceCounts]) -> None:
        now = self._clock.monotonic()
        for name, counts in counted.items():
            last = counts.last_refusal
            if last is None:
                continue
            refused = self._unlogged.get(name, 0) + sum(counts.refused.values())
            self._unlogged[name] = refused
            if now - self._logged_s.get(name, -LOG_EVERY_S) < LOG_EVERY_S:
                continue
            self._unlogged[name], self._logged_s[name] = 0, now
            _log.warning(
                "requests refused", source=name, count=refused, reason=last.code, last=last.text
            )


def _told(name: str, pause: Pause | None) -> str:
    """Return what senders read while a source is paused: not who paused it, nor why."""
    if pause is None:
        return ""
    until = "" if pause.until is None else f" until {pause.until:%F %T} UTC"
    return f"the source {name!r} is paused{until}; send again later"
