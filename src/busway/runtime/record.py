"""The recording loop: what the flows are and how their destinations do, for whoever looks."""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from busway.clock import Clock
from busway.control.record import BREAKER, FLOW, BreakerRecord, FlowRecord
from busway.flow import Flow
from busway.ports import Ledger
from busway.runtime.gate import Gate
from busway.runtime.loop import Loop
from busway.telemetry import Metrics

_log = structlog.get_logger("busway")


class Recorder:
    """Writes to the ledger what changed."""

    def __init__(self, ledger: Ledger, clock: Clock, metrics: Metrics) -> None:
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._changed: dict[str, BreakerRecord] = {}
        self._wake = asyncio.Event()

    def changed(self, gate: Gate) -> None:
        """Note the state of a breaker; called whenever it changes."""
        name, breaker = gate.opened.sink.name, gate.breaker
        self._changed[name] = BreakerRecord(breaker.state, breaker.reason, self._clock.now())
        self._metrics.breaker.labels(name).set(breaker.state != "closed")
        if breaker.state in ("open", "gone"):
            _log.warning(
                "destination is down", destination=name, state=breaker.state, reason=breaker.reason
            )
        self._wake.set()

    async def describe(self, flow: Flow) -> None:
        """Keep what a flow is."""
        record = FlowRecord(
            destination=flow.sink.name,
            version=flow.version,
            place=flow.place,
            ordered=flow.ordered,
            rule=flow.pattern.source,
            steps=tuple(step.name for step in flow.steps),
        )
        await self._ledger.put(FLOW + flow.name, msgspec.json.encode(record))

    async def turn(self, loop: Loop) -> None:
        """Write what changed, or wait for a change."""
        while self._changed:
            name, record = self._changed.popitem()
            await self._ledger.put(BREAKER + name, msgspec.json.encode(record))
        self._wake.clear()
        with loop.idle():
            await self._wake.wait()
