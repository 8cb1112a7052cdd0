"""What every lane of a process shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import msgspec

from busway.bus.follow import Follow
from busway.clock import Clock
from busway.delivery.settle import Terms
from busway.flow import Flow
from busway.lane import Change, Counts, Settlement
from busway.outcome import Outcome
from busway.ports import Ledger, Load, Permits
from busway.runtime.gate import Gate
from busway.runtime.pace import Pace
from busway.runtime.valve import Valve


class DeliveryObserver(Protocol):
    """Hears of each settled batch and each retry; for telemetry."""

    def settled(self, place: tuple[str, int, int, int], counts: Counts, times: Times) -> None: ...

    def retried(self, flow: str, fate: str) -> None: ...


class Times(msgspec.Struct, frozen=True):
    """How long the parts of one batch took, in seconds."""

    step: float
    sink: float
    settle: float


class Hub(msgspec.Struct, frozen=True):
    """The stores, the clock and the observer; ``identity`` is the log's."""

    follow: Follow
    ledger: Ledger
    clock: Clock
    identity: str
    observer: DeliveryObserver

    def terms(self, flow: Flow) -> Terms:
        """Return what settling a batch of a flow depends on, now."""
        return Terms(
            flow.name, flow.version, flow.backoff, flow.ordered, self.clock.now(), random.random()
        )


class Assignment(msgspec.Struct, frozen=True):
    """A lane to work: its flow, the number of its rule, its partition, and the way to its sink.

    ``pace`` and ``permits`` hold for all lanes of the flow together: how fast, and how many at a
    time; ``valve`` whether at all. ``lock`` is held while troubles of the lane are decided, by
    delivering and by retrying.
    """

    hub: Hub
    flow: Flow
    rule: int
    gate: Gate
    partition: int
    pace: Pace
    permits: Permits
    lock: asyncio.Lock
    valve: Valve = msgspec.field(default_factory=Valve)

    async def clear(self, count: int) -> bool:
        """Return when ``count`` events may go to the sink; true when they are to probe it.

        What was paused while they waited waits again.
        """
        while True:
            await self.valve.opened()
            probing = await self.clear_or_shut(count)
            if probing is not None:
                return probing

    async def clear_or_shut(self, count: int) -> bool | None:
        """Return as :meth:`clear` does, but ``None`` when it was paused meanwhile."""
        await self.pace.allow(count)
        probing = await self.gate.ready()
        if self.valve.open:
            return probing
        if probing:
            self.gate.pass_up()
        return None

    @property
    def lane(self) -> tuple[str, str, int]:
        """Its name for ever, as sinks know it."""
        return (self.hub.identity, self.flow.known_as, self.partition)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load of this lane to its destination, and return what it answers."""
        return await self.gate.write(load, self.flow.backoff)

    def along(self, settlement: Settlement) -> Sequence[Change]:
        """Return what else changes in the ledger with a settlement of this lane."""
        return ()
