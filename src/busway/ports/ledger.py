"""What Busway asks of a ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from busway.lane import (
    AuditRecord,
    FailedEvent,
    FailedEventGroup,
    FailedEventQuery,
    Lane,
    LeaseRequest,
    Resolution,
    ResolvedEvent,
    SettledRange,
    Settlement,
    ValueChange,
)


class Ledger(Protocol):
    """Holds everything that changes. Each method is one transaction, durable when it returns.

    Called by many tasks at a time; adapters serialise. Conservation holds at every instant:
    for each lane ``cursor - start`` equals ``counts.total``, and ``counts.parked`` and
    ``counts.dead`` are the numbers of its troubles in that state. Of the parked events of one key
    the first is always due: a transaction that leaves it waiting makes it due at its own time.
    What breaks these rules by itself is refused with ``ValueError``.
    """

    async def lanes(self) -> Sequence[Lane]:
        """Return every lane there is, by flow and partition."""
        ...

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        """Return the lane, made at ``start`` when there is none."""
        ...

    async def lease(
        self, leases: Sequence[LeaseRequest], changes: Sequence[ValueChange] = ()
    ) -> Sequence[int | None]:
        """Give each lane to its worker, where its epoch is as seen; return the new epochs.

        ``None`` for a lane that somebody else leased meanwhile, or that is not there. The
        ``changes`` are made with them, however many were leased; where one is not as expected,
        nothing is.
        """
        ...

    async def rename_flow(self, old: str, new: str, audit: Sequence[AuditRecord] = ()) -> bool:
        """Give all that is kept of a flow's lanes another name; false when ``new`` has lanes."""
        ...

    async def remove_flow(self, flow: str, audit: Sequence[AuditRecord] = ()) -> bool:
        """Forget all that is kept of a flow's lanes, troubles too; false when it has none."""
        ...

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[ValueChange] = ()
    ) -> Sequence[bool]:
        """Apply each settlement whose ``start`` is its lane's cursor, under the epoch that it has.

        Says which were applied. The ``changes`` are made with them where all of them were applied.
        """
        ...

    async def resolve(
        self,
        resolutions: Sequence[Resolution],
        audit: Sequence[AuditRecord] = (),
        changes: Sequence[ValueChange] = (),
    ) -> Sequence[bool]:
        """Apply each verdict whose trouble still has those ``attempts`` and state; say which.

        ``audit`` is kept with them where one at least was applied. The ``changes`` are made with
        them, however many were applied; where one is not as expected, nothing is.
        """
        ...

    async def failed_events(self, query: FailedEventQuery) -> Sequence[FailedEvent]:
        """Return the troubles that a query asks for."""
        ...

    async def failed_event_groups(self, query: FailedEventQuery) -> Sequence[FailedEventGroup]:
        """Return the troubles that a query asks for by root cause, the largest group first.

        Its ``limit`` is one of groups; ``after`` and ``due_by`` are not looked at.
        """
        ...

    async def count_failed_events(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Count the parked and dead troubles kept for each (flow, partition), from the rows."""
        ...

    async def due_flows(self, by: datetime) -> Collection[str]:
        """Return the flows that have parked events which are due by a time."""
        ...

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        """Return for each key of an ordered lane how many of its events are parked."""
        ...

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        """Return the ranges of settlements of a flow, by partition and start.

        Ranges of one version that touch are merged where all of it was within ten minutes.
        """
        ...

    async def resolved_events(self, event_id: str) -> Sequence[ResolvedEvent]:
        """Return what became of the troubles with an event of this id, oldest first."""
        ...

    async def prune_history(self, before: datetime) -> None:
        """Forget what was resolved before a time, and merge settled ranges older than it."""
        ...

    async def put_value(self, name: str, value: bytes) -> None:
        """Keep a small named value (a breaker's state, a control)."""
        ...

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        """Return the named values whose names begin with ``prefix``."""
        ...

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        """Change named values, all or, where one is not as expected, none; say which."""
        ...

    async def audit_records(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[AuditRecord]:
        """Return what was changed of a target and all below it, the latest first.

        ``before`` is the ``seq`` of the last one of the page before.
        """
        ...

    async def close(self) -> None: ...
