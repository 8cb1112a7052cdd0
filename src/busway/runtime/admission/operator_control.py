"""The steering loop: turns valves, paces and permits as the ledger's controls say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from busway.concurrency import parse_concurrency
from busway.control.cluster import assigned_flows
from busway.control.context import ControlContext
from busway.control.operator_control import operation as steer
from busway.control.operator_control.drain import remaining
from busway.control.operator_control.record import (
    CONTROL,
    NO_CONTROLS,
    ControlTarget,
    decode_control_record,
    records_of,
    target_of_key,
)
from busway.control.record import flow_records
from busway.delivery.operator_control import (
    ControlRecord,
    ThrottleOverride,
    effective_controls,
)
from busway.delivery.rate import Rate
from busway.flow import Flow
from busway.runtime.admission.concurrency_limiter import ConcurrencyLimiter
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.pause_gate import PauseGate
from busway.runtime.admission.throttle import RateLimiter
from busway.runtime.loop import Loop
from busway.runtime.signal import Signal

INTERVAL_S = 0.5
"""How soon a change by another process is noticed."""


class ControlledFlow(msgspec.Struct, frozen=True):
    """A flow that is worked here, and what it is steered by."""

    flow: Flow
    guard: DestinationGuard
    pause_gate: PauseGate

    @property
    def targets(self) -> tuple[ControlTarget, ControlTarget]:
        """Whose records it obeys."""
        return ControlTarget("flow", self.flow.name), ControlTarget(
            "destination", self.flow.sink.name
        )


class Limiters(msgspec.Struct, frozen=True):
    """How fast one flow or one destination goes, and how many loads or requests at a time."""

    rate_limiter: RateLimiter
    concurrency_limiter: ConcurrencyLimiter

    def apply(self, override: ThrottleOverride | None) -> None:
        """Hold what an operator asked for, or what is declared."""
        rate = None if override is None else override.rate
        most = None if override is None else override.concurrency
        self.rate_limiter.override(None if rate is None else Rate.parse(rate))
        self.concurrency_limiter.override(None if most is None else parse_concurrency(most))


class OperatorControlLoop:
    """Obeys the records in the ledger, for every flow that is worked here."""

    def __init__(self, control: ControlContext) -> None:
        self._control = msgspec.structs.replace(control, wake=self.wake)
        self._flows: list[ControlledFlow] = []
        self._limiters: dict[ControlTarget, list[Limiters]] = {}
        self._raw_records: Mapping[str, bytes] | None = None
        self._records: dict[ControlTarget, ControlRecord] = {}
        self._changes_at: datetime | None = None
        self._changed = Signal(control.clock)
        self._is_woken = False

    def add_flow(self, flow: ControlledFlow) -> None:
        """Steer a flow from the next look on."""
        self._flows.append(flow)

    def add_limiters(self, target: ControlTarget, limiters: Limiters) -> None:
        """Hold the throttle of a flow or destination from the next look on."""
        self._limiters.setdefault(target, []).append(limiters)

    def wake(self) -> None:
        """Look now rather than in a while."""
        self._is_woken = True
        self._changed.notify()

    async def run_once(self, loop: Loop) -> None:
        """Look, finish what has drained, and wait."""
        self._is_woken = False
        await self.refresh()
        await self._finish_drains()
        with loop.interruptible():
            if not self._is_woken:
                await self._changed.wait(self._wait_s())

    async def refresh(self) -> None:
        """Obey what the ledger says now."""
        found = await self._control.ledger.get_values(CONTROL)
        now = self._control.clock.now()
        if found != self._raw_records:
            self._apply_records(found)
        elif self._changes_at is None or now < self._changes_at:
            return
        self._update_pause_gates(now)

    def _apply_records(self, found: Mapping[str, bytes]) -> None:
        before = self._records
        self._raw_records = dict(found)
        self._records = {
            target_of_key(key): decode_control_record(value) for key, value in found.items()
        }
        for target in {*before, *self._records}:
            old, new = before.get(target, NO_CONTROLS), self._records.get(target, NO_CONTROLS)
            if new.throttle != old.throttle:
                for reins in self._limiters.get(target, ()):
                    reins.apply(new.throttle)
            if new.resumed_at is not None and new.resumed_at != old.resumed_at:
                self._resume_destinations(target, new.resumed_at)

    def _resume_destinations(self, target: ControlTarget, at: datetime) -> None:
        """Call a destination at once that was down or gone before a time, or asked for a wait."""
        for one in self._flows:
            gate = one.guard
            shut = not gate.is_closed and gate.state_since <= at
            if target in one.targets and (shut or gate.limited_until is not None):
                gate.resume()

    def _update_pause_gates(self, now: datetime) -> None:
        edges = []
        ahead = self._control.clock.wall_clock_offset()
        for one in self._flows:
            flow = one.flow
            records = records_of(flow.name, flow.sink.name, flow.windows, self._records)
            found = effective_controls(records, now, ahead)
            one.pause_gate.update(found)
            edges.append(found.changes_at)
        self._changes_at = min((edge for edge in edges if edge is not None), default=None)

    def _wait_s(self) -> float:
        """Return how long to wait: until something changes by the clock, and never long."""
        if self._changes_at is None:
            return INTERVAL_S
        left_s = (self._changes_at - self._control.clock.now()).total_seconds()
        return min(max(left_s, 0.0), INTERVAL_S)

    async def _finish_drains(self) -> None:
        """Pause what has done what it was asked to finish."""
        for target, record in list(self._records.items()):
            flows = {one.flow.name for one in self._flows if target in one.targets}
            if record.drain is None or not flows:
                continue
            flows |= await self._flows_of_other_workers(target)
            left = await remaining(
                self._control.ledger, flows, record.drain, self._control.clock.now()
            )
            if not left.backlog and not left.parked:
                await steer.finish_drain(self._control, target, record.drain)

    async def _flows_of_other_workers(self, target: ControlTarget) -> set[str]:
        """Return the flows to a destination that other workers have, and this one may not."""
        if target.kind != "destination":
            return set()
        ledger, records = self._control.ledger, await flow_records(self._control.ledger)
        flows = [name for name, one in records.items() if one.destination == target.name]
        return await assigned_flows(ledger, self._control.clock, flows)
