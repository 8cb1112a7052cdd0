"""What every lane of a process shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import msgspec

from busway.bus.follow import Follow
from busway.clock import Clock
from busway.delivery.fingerprint import Causes
from busway.delivery.settle import Terms
from busway.flow import Flow
from busway.lane import Change, Counts, Lane, Settlement
from busway.outcome import DELIVERED, HELD, Down, Outcome, Retry, Untried
from busway.ports import Ledger, Load, Permits
from busway.runtime.due import Dues
from busway.runtime.hold.gate import Gate
from busway.runtime.hold.pace import Pace, Paid
from busway.runtime.hold.valve import Valve
from busway.runtime.lease.tenure import Tenure
from busway.runtime.outage import Outage


class DeliveryObserver(Protocol):
    """Hears of each settled batch, retry, hole and refusal of an old lease; for telemetry."""

    def settled(self, place: tuple[str, int, int, int], counts: Counts, times: Times) -> None: ...

    def retried(self, flow: str, fate: str, count: int = 1) -> None: ...

    def fenced(self, flow: str) -> None: ...

    def missing(self, place: tuple[str, int, int, int]) -> None: ...


class Times(msgspec.Struct, frozen=True):
    """How long the parts of one batch took, in seconds."""

    step: float
    sink: float
    settle: float


class Hub(msgspec.Struct, frozen=True):
    """The stores, the clock and the observer; ``identity`` is the log's.

    ``dues`` says for all flows together which of them have something to retry; ``outage`` is told
    by all loops together when stores are away; ``causes`` gives failures their fingerprints.
    """

    follow: Follow
    ledger: Ledger
    clock: Clock
    identity: str
    observer: DeliveryObserver
    dues: Dues
    outage: Outage = msgspec.field(default_factory=Outage)
    causes: Causes = msgspec.field(default_factory=Causes)

    def terms(self, flow: Flow) -> Terms:
        """Return what settling a batch of a flow depends on, now."""
        return Terms(
            flow.name,
            flow.version,
            flow.backoff,
            flow.ordered,
            self.clock.now(),
            random.random(),
            self.causes,
        )


HELD_EVERY_S = 0.1
"""How often one that is not sure of its lease looks whether it is again."""


class Leave(msgspec.Struct, frozen=True):
    """Leave to go to a sink: as its probe or not, and what was paid for it."""

    probing: bool
    paid: Paid


class Assignment(msgspec.Struct, frozen=True):
    """A lane to work: its flow, the number of its rule, its partition, and the way to its sink.

    ``pace`` and ``permits`` hold for all lanes of the flow together: how fast, and how many at a
    time; ``valve`` whether at all. ``lock`` is held while troubles of the lane are decided, by
    delivering and by retrying. ``tenure`` is the lease under which it is worked.
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
    tenure: Tenure = msgspec.field(default_factory=Tenure)

    async def clear(self, count: int) -> Leave:
        """Return when ``count`` events may go to the sink.

        What was paused, or found to be down, while they waited waits again, and so does what is
        not sure of its lease.
        """
        while True:
            await self.valve.opened()
            while not self.tenure.held:
                await self.hub.clock.sleep(HELD_EVERY_S)
            await self.gate.due()
            leave = await self.leave(count)
            if leave is not None:
                return leave

    async def leave(self, count: int) -> Leave | None:
        """Return as :meth:`clear` does, but ``None`` when it is paused or down by its turn.

        The pace comes last, so that what it allows goes at once: nobody saves it up behind a
        destination that is down.
        """
        paid = await self.pace.allow(count if self.gate.closed else self._probes(count))
        probing = self.gate.enter() if self.valve.open and self.tenure.held else None
        going = self._probes(count) if probing else count
        if probing is None or paid.count < going:
            paid.give_back(paid.count)
            return None
        paid.give_back(paid.count - going)
        return Leave(probing, paid)

    def _probes(self, count: int) -> int:
        """Return how many of the events of a load go as a probe."""
        return count if self.gate.opened.keeps_positions else min(count, 1)

    async def deliver(self, load: Load, leave: Leave) -> Sequence[Outcome]:
        """Write a load that has leave to go; what turns out not to have gone is not paid for."""
        outcomes = await self.write(load)
        if leave.paid.by and outcomes.count(DELIVERED) < len(outcomes):
            leave.paid.give_back(sum(map(_stayed, outcomes[: len(load.items)])))
        return outcomes

    @property
    def lane(self) -> tuple[str, str, int]:
        """Its name for ever, as sinks know it."""
        return (self.hub.identity, self.flow.known_as, self.partition)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load of this lane to its destination, and return what it answers."""
        outcomes = await self.gate.write(load, self.flow.backoff)
        if load.epoch and outcomes and isinstance(outcomes[0], Untried) and self.valve.open:
            await self.found()
        return outcomes

    async def found(self) -> Lane | None:
        """Return its lane as the ledger has it; ``None``, and lost, when it is somebody else's."""
        mine = (self.flow.name, self.partition, self.tenure.epoch)
        for lane in await self.hub.ledger.lanes():
            if (lane.flow, lane.partition, lane.epoch) == mine:
                return lane
        self.tenure.lose()
        self.hub.observer.fenced(self.flow.name)
        return None

    def along(self, settlement: Settlement) -> Sequence[Change]:
        """Return what else changes in the ledger with a settlement of this lane."""
        return ()


def _stayed(outcome: Outcome) -> bool:
    """Say whether an event did not go: there was no leave, no turn, or nobody who answered."""
    if isinstance(outcome, Retry):
        return outcome.error == HELD.error
    return isinstance(outcome, Untried) or (isinstance(outcome, Down) and not outcome.reached)
