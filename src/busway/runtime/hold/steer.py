"""The steering loop: turns valves, paces and permits as the ledger's controls say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from busway.concurrency import concurrency
from busway.control.control import Control
from busway.control.record import flow_records
from busway.control.steer import operation as steer
from busway.control.steer.draining import remaining
from busway.control.steer.record import CONTROL, NOTHING, Target, decoded, records_of, target_of
from busway.control.workforce import worked_flows
from busway.delivery.hold import Override, Steering, stance
from busway.delivery.throttle import Rate
from busway.flow import Flow
from busway.runtime.hold.gate import Gate
from busway.runtime.hold.pace import Pace
from busway.runtime.hold.permit import Slots
from busway.runtime.hold.valve import Valve
from busway.runtime.loop import Loop
from busway.runtime.signal import Signal

EVERY_S = 0.5
"""How soon a change by another process is noticed."""


class Steered(msgspec.Struct, frozen=True):
    """A flow that is worked here, and what it is steered by."""

    flow: Flow
    gate: Gate
    valve: Valve

    @property
    def targets(self) -> tuple[Target, Target]:
        """Whose records it obeys."""
        return Target("flow", self.flow.name), Target("destination", self.flow.sink.name)


class Reins(msgspec.Struct, frozen=True):
    """How fast one flow or one destination goes, and how many loads or requests at a time."""

    pace: Pace
    slots: Slots

    def hold(self, asked: Override | None) -> None:
        """Hold what an operator asked for, or what is declared."""
        rate = None if asked is None else asked.rate
        most = None if asked is None else asked.concurrency
        self.pace.change(None if rate is None else Rate.parse(rate))
        self.slots.change(None if most is None else concurrency(most))


class Steersman:
    """Obeys the records in the ledger, for every flow that is worked here."""

    def __init__(self, control: Control) -> None:
        self._control = msgspec.structs.replace(control, wake=self.wake)
        self._steered: list[Steered] = []
        self._reins: dict[Target, list[Reins]] = {}
        self._found: Mapping[str, bytes] | None = None
        self._records: dict[Target, Steering] = {}
        self._edge: datetime | None = None
        self._changed = Signal(control.clock)
        self._woken = False

    def add(self, steered: Steered) -> None:
        """Steer a flow from the next look on."""
        self._steered.append(steered)

    def rein(self, target: Target, reins: Reins) -> None:
        """Hold the throttle of a flow or destination from the next look on."""
        self._reins.setdefault(target, []).append(reins)

    def wake(self) -> None:
        """Look now rather than in a while."""
        self._woken = True
        self._changed.give()

    async def turn(self, loop: Loop) -> None:
        """Look, finish what has drained, and wait."""
        self._woken = False
        await self.look()
        await self._finish_drains()
        with loop.idle():
            if not self._woken:
                await self._changed.within(self._wait_s())

    async def look(self) -> None:
        """Obey what the ledger says now."""
        found = await self._control.ledger.get(CONTROL)
        now = self._control.clock.now()
        if found != self._found:
            self._obey(found)
        elif self._edge is None or now < self._edge:
            return
        self._turn_valves(now)

    def _obey(self, found: Mapping[str, bytes]) -> None:
        before = self._records
        self._found = dict(found)
        self._records = {target_of(key): decoded(value) for key, value in found.items()}
        for target in {*before, *self._records}:
            old, new = before.get(target, NOTHING), self._records.get(target, NOTHING)
            if new.throttle != old.throttle:
                for reins in self._reins.get(target, ()):
                    reins.hold(new.throttle)
            if new.resumed_at is not None and new.resumed_at != old.resumed_at:
                self._lift(target, new.resumed_at)

    def _lift(self, target: Target, at: datetime) -> None:
        """Call a destination at once that was down or gone before a time, or asked for a wait."""
        for one in self._steered:
            gate = one.gate
            shut = not gate.closed and gate.since <= at
            if target in one.targets and (shut or gate.limited_until is not None):
                gate.resume()

    def _turn_valves(self, now: datetime) -> None:
        edges = []
        ahead = self._control.clock.ahead()
        for one in self._steered:
            flow = one.flow
            records = records_of(flow.name, flow.sink.name, flow.windows, self._records)
            found = stance(records, now, ahead)
            one.valve.turn(found)
            edges.append(found.changes_at)
        self._edge = min((edge for edge in edges if edge is not None), default=None)

    def _wait_s(self) -> float:
        """Return how long to wait: until something changes by the clock, and never long."""
        if self._edge is None:
            return EVERY_S
        left_s = (self._edge - self._control.clock.now()).total_seconds()
        return min(max(left_s, 0.0), EVERY_S)

    async def _finish_drains(self) -> None:
        """Pause what has done what it was asked to finish."""
        for target, record in list(self._records.items()):
            flows = {one.flow.name for one in self._steered if target in one.targets}
            if record.drain is None or not flows:
                continue
            flows |= await self._elsewhere(target)
            left = await remaining(
                self._control.ledger, flows, record.drain, self._control.clock.now()
            )
            if not left.backlog and not left.parked:
                await steer.drained(self._control, target, record.drain)

    async def _elsewhere(self, target: Target) -> set[str]:
        """Return the flows to a destination that other workers have, and this one may not."""
        if target.kind != "destination":
            return set()
        ledger, records = self._control.ledger, await flow_records(self._control.ledger)
        flows = [name for name, one in records.items() if one.destination == target.name]
        return await worked_flows(ledger, self._control.clock, flows)
