"""What every lane of a process shares."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Protocol

import msgspec

from busway.bus.reader import SharedReader
from busway.clock import Clock
from busway.delivery.fingerprint import Fingerprinter
from busway.delivery.settlement import SettlementContext
from busway.flow import Flow
from busway.lane import Lane, LaneId
from busway.named_value import ValueChange
from busway.outcome import BLOCKED_BY_KEY, DELIVERED, Down, NotAttempted, Outcome, Retry
from busway.ports import Ledger, Load, RequestPermits, SinkLane
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.pause_gate import PauseGate
from busway.runtime.admission.throttle import RateGrant, RateLimiter
from busway.runtime.due_retry import DueRetries
from busway.runtime.lease.lease import Lease
from busway.runtime.outage_log import OutageLog
from busway.settlement import OffsetRange, Settlement
from busway.step import StepThreads


class DeliveryObserver(Protocol):
    """Observes settlements, retries, gaps in the log and fenced writes, for telemetry."""

    def settled(self, settlement: Settlement, times: StageTimes) -> None: ...

    def retried(self, flow: str, outcome: str, count: int = 1) -> None: ...

    def fenced(self, flow: str) -> None: ...

    def events_lost(self, flow: str, offsets: OffsetRange) -> None: ...


class StageTimes(msgspec.Struct, frozen=True):
    """How long the parts of one batch took, in seconds."""

    step: float
    sink: float
    settle: float

    @property
    def total(self) -> float:
        return self.step + self.sink + self.settle


class Context(msgspec.Struct, frozen=True):
    """The stores, the clock and the observer; ``log_identity`` is the log's.

    ``due_retries`` says for all flows together which of them have something to retry;
    ``outage_log`` is told by all loops together when stores are away; ``fingerprinter`` gives
    failures their fingerprints.
    """

    log_reader: SharedReader
    ledger: Ledger
    clock: Clock
    log_identity: str
    observer: DeliveryObserver
    due_retries: DueRetries
    outage_log: OutageLog = msgspec.field(default_factory=OutageLog)
    fingerprinter: Fingerprinter = msgspec.field(default_factory=Fingerprinter)
    step_threads: StepThreads = msgspec.field(default_factory=StepThreads)

    def settlement_context(self, flow: Flow) -> SettlementContext:
        """Return what settling a batch of a flow depends on, now."""
        return SettlementContext(
            flow.name,
            flow.version,
            flow.backoff,
            flow.ordered,
            self.clock.now(),
            random.random(),
            self.fingerprinter,
        )


LEASE_CHECK_INTERVAL_S = 0.1
"""How often one that is not sure of its lease looks whether it is again."""


class Admission(msgspec.Struct, frozen=True):
    """Leave to go to a sink: as its probe or not, and what was paid for it."""

    probing: bool
    grant: RateGrant


class LaneConsumer(msgspec.Struct, frozen=True):
    """A lane to work: its flow, the number of its rule, its partition, and the way to its sink.

    ``rate_limiter`` and ``permits`` hold for all lanes of the flow together: how fast, and how
    many at a time; ``pause_gate`` whether at all. ``lock`` is held while failed events of the lane
    are decided, by delivering and by retrying. ``lease`` is the lease under which it is worked.
    """

    context: Context
    flow: Flow
    rule_number: int
    guard: DestinationGuard
    partition: int
    rate_limiter: RateLimiter
    permits: RequestPermits
    lock: asyncio.Lock
    pause_gate: PauseGate = msgspec.field(default_factory=PauseGate)
    lease: Lease = msgspec.field(default_factory=Lease)

    async def admit(self, count: int) -> Admission:
        """Return when ``count`` events may go to the sink.

        What was paused, or found to be down, while they waited waits again, and so does what is
        not sure of its lease.
        """
        while True:
            await self.pause_gate.wait_open()
            while not self.lease.is_held:
                await self.context.clock.sleep(LEASE_CHECK_INTERVAL_S)
            await self.guard.wait_callable()
            leave = await self.try_admit(count)
            if leave is not None:
                return leave

    async def try_admit(self, count: int) -> Admission | None:
        """Return as :meth:`admit` does, but ``None`` when it is paused or down by its turn.

        The pace comes last, so that what it allows goes at once: nobody saves it up behind a
        destination that is down.
        """
        paid = await self.rate_limiter.acquire(
            count if self.guard.is_closed else self._probe_size(count)
        )
        probing = self.guard.try_enter() if self.pause_gate.is_open and self.lease.is_held else None
        going = self._probe_size(count) if probing else count
        if probing is None or paid.count < going:
            paid.refund(paid.count)
            return None
        paid.refund(paid.count - going)
        return Admission(probing, paid)

    def _probe_size(self, count: int) -> int:
        """Return how many of the events of a load go as a probe."""
        return count if self.guard.opened.keeps_positions else min(count, 1)

    async def deliver(self, load: Load, admission: Admission) -> Sequence[Outcome]:
        """Write a load that has leave to go; what turns out not to have gone is not paid for."""
        outcomes = await self.write(load)
        if admission.grant.grants and outcomes.count(DELIVERED) < len(outcomes):
            admission.grant.refund(sum(map(_was_not_sent, outcomes[: len(load.items)])))
        return outcomes

    @property
    def sink_lane(self) -> SinkLane:
        """The lane as its sink knows it."""
        return SinkLane(self.context.log_identity, self.flow.original_name, self.partition)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load of this lane to its destination, and return what it answers."""
        outcomes = await self.guard.write(load, self.flow.backoff)
        if (
            load.fencing_token
            and outcomes
            and isinstance(outcomes[0], NotAttempted)
            and self.pause_gate.is_open
        ):
            await self.current_lane()
        return outcomes

    async def current_lane(self) -> Lane | None:
        """Return the lane as the ledger has it.

        ``None`` if another worker holds it by now; then the lease is marked as lost.
        """
        lane_id = LaneId(self.flow.name, self.partition)
        for lane in await self.context.ledger.lanes():
            if lane.id == lane_id and lane.fencing_token == self.lease.fencing_token:
                return lane
        self.lease.mark_lost()
        self.context.observer.fenced(self.flow.name)
        return None

    def settlement_changes(self, settlement: Settlement) -> Sequence[ValueChange]:
        """Return what else changes in the ledger with a settlement of this lane."""
        return ()


def _was_not_sent(outcome: Outcome) -> bool:
    """Say whether an event did not go: there was no leave, no turn, or nobody who answered."""
    if isinstance(outcome, Retry):
        return outcome.error == BLOCKED_BY_KEY.error
    return isinstance(outcome, NotAttempted) or (
        isinstance(outcome, Down) and not outcome.was_received
    )
