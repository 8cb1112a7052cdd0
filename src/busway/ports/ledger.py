"""The port of ledgers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from busway.audit_record import AuditRecord
from busway.failed_event import (
    FailedEvent,
    FailedEventGroup,
    FailedEventQuery,
    Resolution,
    ResolvedEvent,
)
from busway.lane import FailedEventCounts, Lane, LaneId, LeaseRequest
from busway.named_value import ValueChange
from busway.settlement import SettledRange, Settlement


class Ledger(Protocol):
    """Holds all mutable state. Each method is one transaction, durable when it returns.

    Many tasks call it concurrently; adapters serialise. Conservation always holds: for each lane
    ``cursor - start`` equals ``counts.total``, and ``counts.parked`` and ``counts.dead`` equal the
    numbers of its failed events in that state. The first parked event of each key always has a due
    time: a transaction that leaves it without one sets the transaction's own time. A change that
    breaks these rules is rejected with ``ValueError``.
    """

    async def lanes(self) -> Sequence[Lane]:
        """Return all lanes, sorted by flow and partition."""
        ...

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        """Return the lane; create it at ``start`` if it does not exist."""
        ...

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        """Lease each lane whose fencing token is the expected one; return the new tokens.

        Returns ``None`` for a lane that does not exist or that another worker has leased since.
        ``changes`` are applied in the same transaction, even if no lane was leased. If a change
        finds another value than it expects, nothing is applied.
        """
        ...

    async def rename_flow(self, old: str, new: str, audit: Sequence[AuditRecord] = ()) -> bool:
        """Rename a flow in all its records; return false if ``new`` has lanes already."""
        ...

    async def remove_flow(self, flow: str, audit: Sequence[AuditRecord] = ()) -> bool:
        """Delete all records of a flow, failed events included; return false if it has no lanes."""
        ...

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        """Apply each settlement whose ``start`` and fencing token match its lane; return which.

        ``start`` must equal the lane's cursor. ``changes`` are applied in the same transaction if
        all settlements are.
        """
        ...

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        """Apply each resolution whose failed event has the expected attempts and state.

        Returns which were applied. ``audit`` is stored if at least one was. ``changes`` are applied
        in the same transaction, even if no resolution was. If a change finds another value than it
        expects, nothing is applied.
        """
        ...

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        """Return the failed events that match a query."""
        ...

    async def failed_event_groups(self, query: FailedEventQuery) -> Sequence[FailedEventGroup]:
        """Return the matching failed events grouped by root cause, the largest group first.

        ``limit`` counts groups; ``after`` and ``due_by`` are ignored.
        """
        ...

    async def count_failed_events(self) -> Mapping[LaneId, FailedEventCounts]:
        """Count the stored failed events of each lane that has any."""
        ...

    async def due_flows(self, by: datetime) -> Collection[str]:
        """Return the flows with parked events that are due by a time."""
        ...

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        """Return the number of parked events for each key of an ordered lane."""
        ...

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        """Return the settled ranges of a flow, sorted by partition and start.

        Adjacent ranges of one version are merged if they span at most ten minutes.
        """
        ...

    async def resolved_events(self, event_id: str) -> Sequence[ResolvedEvent]:
        """Return the resolved failed events with this event id, oldest first."""
        ...

    async def prune_history(self, before: datetime) -> None:
        """Delete events resolved before a time, and merge settled ranges older than it."""
        ...

    async def put_value(self, name: str, value: bytes) -> None:
        """Store a small named value, such as a breaker's state or an operator control."""
        ...

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        """Return the named values whose names start with ``prefix``."""
        ...

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        """Apply all changes atomically, or none if any expected value differs.

        Returns whether they were applied.
        """
        ...

    async def audit_records(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """Return the audit records of a target and everything below it, latest first.

        ``before`` is the ``seq`` of the last record of the previous page.
        """
        ...

    async def close(self) -> None: ...
