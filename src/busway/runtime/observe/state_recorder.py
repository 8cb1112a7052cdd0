"""The recording loop: what the flows are and how their destinations do, for whoever looks."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from busway.clock import Clock
from busway.control.record import (
    BREAKER,
    FLOW,
    STUCK,
    BreakerRecord,
    FlowRecord,
    StuckRecord,
    VersionRecord,
    version_key,
)
from busway.delivery.breaker import Breaker
from busway.flow import Flow
from busway.named_value import ValueChange
from busway.ports import Ledger, LocatesResults
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.loop import Loop
from busway.runtime.stuck_loop import StuckLoops
from busway.telemetry import Metrics

_log = structlog.get_logger("busway")


class StateRecorder:
    """Writes to the ledger what changed."""

    def __init__(
        self, ledger: Ledger, clock: Clock, metrics: Metrics, stuck: StuckLoops | None = None
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._changed: dict[str, BreakerRecord] = {}
        self._states: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._stuck = stuck or StuckLoops(clock)
        self._stuck.on_change = self._wake.set
        self._unsaved: dict[str, StuckRecord | None] = {}
        self._logged: set[str] = set()
        """The loops that the metrics say are stuck."""

    def breaker_changed(self, guard: DestinationGuard) -> None:
        """Note the state of a breaker; called whenever it changes."""
        name, breaker = guard.opened.sink.name, guard.breaker
        if not guard.is_adopted:
            self._changed[name] = self._record(guard)
        self._metrics.breaker_open.labels(name).set(breaker.state != "closed")
        self._log_change(name, breaker)
        self._wake.set()

    async def save_breaker(self, guard: DestinationGuard) -> None:
        """Keep the state of a breaker before anything is delivered."""
        self._metrics.breaker_open.labels(guard.opened.sink.name).set(not guard.is_closed)
        if not guard.is_adopted:
            record = msgspec.json.encode(self._record(guard))
            await self._ledger.put_value(BREAKER + guard.opened.sink.name, record)

    def _record(self, guard: DestinationGuard) -> BreakerRecord:
        breaker = guard.breaker
        return BreakerRecord(
            breaker.state,
            breaker.reason,
            guard.state_since,
            breaker.failures,
            guard.probe_at,
            guard.unreached_reason,
            guard.worker,
            guard.decided_at if guard.limited_until else self._clock.now(),
            guard.limited_until,
        )

    def _log_change(self, name: str, breaker: Breaker) -> None:
        """Log that a destination goes down or up, and not each probe that fails meanwhile."""
        before, self._states[name] = self._states.get(name, "closed"), breaker.state
        if breaker.state == "gone" or (breaker.state == "open" and before == "closed"):
            _log.warning(
                "destination is down", destination=name, state=breaker.state, reason=breaker.reason
            )
        elif breaker.state == "closed" and before != "closed":
            _log.info("destination takes events again", destination=name)

    async def save_flow(self, flow: Flow) -> None:
        """Keep what a flow is."""
        record = FlowRecord(
            destination=flow.sink.name,
            version=flow.version,
            location=flow.location,
            ordered=flow.ordered,
            rule=flow.pattern.source,
            steps=tuple(step.name for step in flow.steps),
            known_as=flow.original_name,
            windows=flow.windows,
        )
        version = ValueChange(
            version_key(flow.name, flow.version),
            msgspec.json.encode(self._version(flow)),
            expected=None,
        )
        await self._ledger.put_value(FLOW + flow.name, msgspec.json.encode(record))
        await self._ledger.change_values([version])

    def _version(self, flow: Flow) -> VersionRecord:
        sink = flow.sink
        return VersionRecord(
            flow.version,
            self._clock.now(),
            flow.location,
            sink.name,
            flow.pattern.source,
            tuple(step.name for step in flow.steps),
            sink.result_location() if isinstance(sink, LocatesResults) else None,
        )

    async def run_once(self, loop: Loop) -> None:
        """Write what changed, or wait for a change."""
        self._wake.clear()
        await self._save_stuck_loops()
        while self._changed:
            name, record = next(iter(self._changed.items()))
            await self._ledger.put_value(BREAKER + name, msgspec.json.encode(record))
            if self._changed[name] is record:  # it may have changed meanwhile
                del self._changed[name]
        with loop.interruptible():
            await self._wake.wait()

    async def _save_stuck_loops(self) -> None:
        """Keep which loops do not get on, and forget which do."""
        self._unsaved |= self._stuck.take_changes()
        stuck = set(self._stuck.records)
        for name in self._unsaved.keys() | self._logged | stuck:
            self._metrics.loop_stuck.labels(name).set(name in stuck)
        self._logged = stuck
        if not self._unsaved:
            return
        kept = await self._ledger.get_values(STUCK)
        changes = [
            ValueChange(STUCK + name, None if record is None else msgspec.json.encode(record))
            for name, record in self._unsaved.items()
            if record is not None or STUCK + name in kept
        ]
        if changes:
            await self._ledger.change_values(changes)
        self._unsaved.clear()
