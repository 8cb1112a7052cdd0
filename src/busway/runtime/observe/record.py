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
    version_name,
)
from busway.delivery.breaker import Breaker
from busway.flow import Flow
from busway.lane import Change
from busway.ports import Ledger, Places
from busway.runtime.hold.gate import Gate
from busway.runtime.loop import Loop
from busway.runtime.stuck import StuckLoops
from busway.telemetry import Metrics

_log = structlog.get_logger("busway")


class Recorder:
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
        self._unkept: dict[str, StuckRecord | None] = {}
        self._shown: set[str] = set()
        """The loops that the metrics say are stuck."""

    def changed(self, gate: Gate) -> None:
        """Note the state of a breaker; called whenever it changes."""
        name, breaker = gate.opened.sink.name, gate.breaker
        if not gate.heard:
            self._changed[name] = self._record(gate)
        self._metrics.breaker.labels(name).set(breaker.state != "closed")
        self._log_change(name, breaker)
        self._wake.set()

    async def begin(self, gate: Gate) -> None:
        """Keep the state of a breaker before anything is delivered."""
        self._metrics.breaker.labels(gate.opened.sink.name).set(not gate.closed)
        if not gate.heard:
            record = msgspec.json.encode(self._record(gate))
            await self._ledger.put(BREAKER + gate.opened.sink.name, record)

    def _record(self, gate: Gate) -> BreakerRecord:
        breaker = gate.breaker
        return BreakerRecord(
            breaker.state,
            breaker.reason,
            gate.since,
            breaker.failures,
            gate.probe_at,
            gate.waits_for,
            gate.worker,
            gate.decided_at if gate.limited_until else self._clock.now(),
            gate.limited_until,
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

    async def describe(self, flow: Flow) -> None:
        """Keep what a flow is."""
        record = FlowRecord(
            destination=flow.sink.name,
            version=flow.version,
            place=flow.place,
            ordered=flow.ordered,
            rule=flow.pattern.source,
            steps=tuple(step.name for step in flow.steps),
            known_as=flow.known_as,
            windows=flow.windows,
        )
        version = Change(
            version_name(flow.name, flow.version),
            msgspec.json.encode(self._version(flow)),
            expected=None,
        )
        await self._ledger.put(FLOW + flow.name, msgspec.json.encode(record))
        await self._ledger.change([version])

    def _version(self, flow: Flow) -> VersionRecord:
        sink = flow.sink
        return VersionRecord(
            flow.version,
            self._clock.now(),
            flow.place,
            sink.name,
            flow.pattern.source,
            tuple(step.name for step in flow.steps),
            sink.landing() if isinstance(sink, Places) else None,
        )

    async def turn(self, loop: Loop) -> None:
        """Write what changed, or wait for a change."""
        self._wake.clear()
        await self._keep_stuck()
        while self._changed:
            name, record = next(iter(self._changed.items()))
            await self._ledger.put(BREAKER + name, msgspec.json.encode(record))
            if self._changed[name] is record:  # it may have changed meanwhile
                del self._changed[name]
        with loop.idle():
            await self._wake.wait()

    async def _keep_stuck(self) -> None:
        """Keep which loops do not get on, and forget which do."""
        self._unkept |= self._stuck.news()
        stuck = set(self._stuck.records)
        for name in self._unkept.keys() | self._shown | stuck:
            self._metrics.stuck.labels(name).set(name in stuck)
        self._shown = stuck
        if not self._unkept:
            return
        kept = await self._ledger.get(STUCK)
        changes = [
            Change(STUCK + name, None if record is None else msgspec.json.encode(record))
            for name, record in self._unkept.items()
            if record is not None or STUCK + name in kept
        ]
        if changes:
            await self._ledger.change(changes)
        self._unkept.clear()
