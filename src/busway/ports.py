"""Every extension point: what Busway asks of a log, a ledger and a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from busway.clock import derived_id
from busway.concurrency import Concurrency
from busway.event import Event
from busway.lane import (
    Audit,
    Change,
    Group,
    Lane,
    Lease,
    Query,
    Resolved,
    Settled,
    Settlement,
    Trouble,
    Verdict,
)
from busway.outcome import Down, Outcome


class Draft(msgspec.Struct, frozen=True):
    """Events for one partition, in order, each as the bytes of its JSON format."""

    partition: int
    events: Sequence[bytes]


class Batch(msgspec.Struct, frozen=True):
    """Events of one partition with consecutive offsets, as one append stored them."""

    partition: int
    offset: int
    appended_at: datetime
    events: Sequence[bytes]

    @property
    def end(self) -> int:
        """The offset after the last event."""
        return self.offset + len(self.events)


class Log(Protocol):
    """Holds events, in batches, and nothing else. Safe for concurrent use by tasks of one loop.

    ``identity`` names this log for ever (a copy of its data has the same one); ``partitions`` is
    fixed when the log is made. Offsets are dense: the n-th event of a partition has offset n.
    """

    @property
    def identity(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        """Store the drafts, all or none, and return the offset of the first event of each.

        Durable when it returns: one fsync (cluster: a quorum) for all of them. Called by one task
        at a time; no draft is empty. Raises :class:`StoreFull`, and then nothing is stored.
        """
        ...

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        """Return whole batches from the one that holds ``offset``, at least one where there is one.

        Further batches follow while they fit ``max_bytes`` (an engine may stop after a thousand).
        A trimmed ``offset`` reads from the first kept one. The first batch may begin before
        ``offset``; the caller cuts it.
        Raises :class:`StoreDamaged` when a stored batch is not what was written.
        """
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first kept offset and the end (the offset that the next event will get)."""
        ...

    async def trim(self, partition: int, offset: int) -> int:
        """Forget batches that end at or before ``offset``; return how many events went."""
        ...

    async def offset_at(self, partition: int, at: datetime) -> int:
        """Return the offset of the first kept batch appended at or after ``at``, or the end.

        Where the clock was set back between batches, it may be any batch at which that begins to
        hold.
        """
        ...

    async def size_bytes(self) -> int:
        """Return what the log takes up."""
        ...

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end of the partition is beyond ``offset``; it may return too early."""
        ...

    async def close(self) -> None: ...


class Addressed(Protocol):
    """What the bus asks of an event's envelope: who it is, and what order is kept by."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def partitionkey(self) -> str | None: ...

    @property
    def subject(self) -> str | None: ...


class Appended(msgspec.Struct, frozen=True):
    """What became of events given to the bus: stored now, or known already and dropped."""

    accepted: int
    duplicates: int


class Intake(Protocol):
    """The way into the bus. Called by sources, many times at once, on the event loop's thread."""

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[Addressed]
    ) -> asyncio.Future[Appended]:
        """Store events that are known to be valid, all or none; resolves once they are durable.

        ``raws`` are the bytes of each event's JSON format, ``envelopes`` their attributes in the
        same order; both belong to the bus from then on. Returns at once, a future so that no task
        is needed for a request. Raises, through the future, :class:`StoreFull` when the disk or
        the limit is full and another :class:`StoreError` when the store cannot be used now.
        """
        ...


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

    async def lease(self, leases: Sequence[Lease]) -> Sequence[int | None]:
        """Give each lane to its worker, where its epoch is as seen; return the new epochs.

        ``None`` for a lane that somebody else leased meanwhile, or that is not there.
        """
        ...

    async def rename_flow(self, old: str, new: str, audit: Sequence[Audit] = ()) -> bool:
        """Give all that is kept of a flow's lanes another name; false when ``new`` has lanes."""
        ...

    async def remove_flow(self, flow: str, audit: Sequence[Audit] = ()) -> bool:
        """Forget all that is kept of a flow's lanes, troubles too; false when it has none."""
        ...

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[Change] = ()
    ) -> Sequence[bool]:
        """Apply each settlement whose ``start`` is its lane's cursor, under the epoch that it has.

        Says which were applied. The ``changes`` are made with them where all of them were applied.
        """
        ...

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        """Apply each verdict whose trouble still has those ``attempts`` and state; say which.

        ``audit`` is kept with them where one at least was applied. The ``changes`` are made with
        them, however many were applied; where one is not as expected, nothing is.
        """
        ...

    async def troubles(self, query: Query) -> Sequence[Trouble]:
        """Return the troubles that a query asks for."""
        ...

    async def groups(self, query: Query) -> Sequence[Group]:
        """Return the troubles that a query asks for by root cause, the largest group first.

        Its ``limit`` is one of groups; ``after`` and ``due_by`` are not looked at.
        """
        ...

    async def count_troubles(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Count the parked and dead troubles kept for each (flow, partition), from the rows."""
        ...

    async def next_due(self) -> datetime | None:
        """Return when the next parked event is due, ``None`` when none is."""
        ...

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        """Return for each key of an ordered lane how many of its events are parked."""
        ...

    async def settled(self, flow: str, partition: int | None = None) -> Sequence[Settled]:
        """Return the ranges of settlements of a flow, by partition and start.

        Ranges of one version that touch are merged where all of it was within ten minutes.
        """
        ...

    async def resolved(self, event_id: str) -> Sequence[Resolved]:
        """Return what became of the troubles with an event of this id, oldest first."""
        ...

    async def forget(self, before: datetime) -> None:
        """Forget what was resolved before a time, and merge settled ranges older than it."""
        ...

    async def put(self, name: str, value: bytes) -> None:
        """Keep a small named value (a breaker's state, a control)."""
        ...

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        """Return the named values whose names begin with ``prefix``."""
        ...

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        """Change named values, all or, where one is not as expected, none; say which."""
        ...

    async def audits(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[Audit]:
        """Return what was changed of a target and all below it, the latest first.

        ``before`` is the ``seq`` of the last one of the page before.
        """
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Maintained(Protocol):
    """A store that wants to be tidied up now and then, while it is used."""

    async def maintain(self) -> None:
        """Do what keeps the store small and fast; called by one task, about once a second."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A log that can tell at little cost when an event came."""

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        """Return when the batch with this offset was appended, ``None`` where it is not kept."""
        ...


class Stores(msgspec.Struct, frozen=True):
    """An engine's log and ledger, opened together."""

    log: Log
    ledger: Ledger
    release: Callable[[], None] = lambda: None
    """What gives the place back after both are closed (a lock on a directory)."""
    place: Path | None = None
    """The directory that both are in, of engines that have one."""

    async def close(self) -> None:
        """Close both, whatever happens to the first."""
        try:
            await self.log.close()
        finally:
            try:
                await self.ledger.close()
            finally:
                self.release()


class Item(msgspec.Struct, frozen=True):
    """One event's results on their way to a sink, in the order in which the step gave them.

    A result is an :class:`Event`, or what ``json`` can write. ``offset`` places the event in its
    partition, ``flow`` is the flow that it goes through, by the name that its sink knows.
    """

    offset: int
    event: Event
    results: Sequence[object]
    flow: str

    @property
    def keys(self) -> list[str]:
        """The stable idempotency keys of the results, derived from flow, event and index."""
        identity = f"{self.event.source}\0{self.event.id}"
        return [derived_id(self.flow, identity, index) for index in range(len(self.results))]


class Permits(Protocol):
    """Leave to have one request on its way: what a destination takes at a time is kept here."""

    async def acquire(self) -> bool:
        """Return true when one more request may go, false when no more of the load is to go now.

        Without leave the rest of the load is :class:`busway.outcome.Untried`, and nothing has to
        be given back.
        """
        ...

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back: how long its answer took (``None``: there was none to learn from), and
        whether it was that this is too much for it now."""
        ...


class Load(msgspec.Struct, frozen=True):
    """What a lane hands to a sink at once.

    ``lane`` names the lane for ever (log identity, flow, partition). For fresh events ``start`` and
    ``end`` are the range of offsets that the load decides, and ``holes`` those offsets in it which
    are not to land now because they failed before the sink. A retry has neither: both are ``None``.
    ``permits`` are for a sink that :class:`TakesPermits`, one for each of its requests; for another
    one is held while it writes.
    """

    lane: tuple[str, str, int]
    items: Sequence[Item]
    start: int | None = None
    end: int | None = None
    holes: Sequence[int] = ()
    ordered: bool = False
    permits: Permits | None = None


class Destination(Protocol):
    """An opened sink. ``write`` is called by several lanes at a time; one lane's fresh
    loads come one after the other, its retries beside them."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Load the items and return one outcome for each, in order; it never raises for an item.

        A destination that keeps positions lands each offset at most once per lane: it writes the
        rows and its position in one transaction, remembers which offsets of the range did not
        land, and answers ``Delivered`` without writing for an offset that has landed already. What
        it could not remember is ``Down`` for all: a load without items, which only has holes, is
        then answered by that one outcome.
        """
        ...

    async def close(self) -> None: ...


class Standing(msgspec.Struct, frozen=True):
    """What a destination knows of a lane: the offsets from ``start`` up to ``end`` are decided, and
    of those that were asked about ``landed`` are in it."""

    start: int = 0
    end: int = 0
    landed: frozenset[int] = frozenset()


@runtime_checkable
class KnowsLanded(Protocol):
    """A destination that keeps positions and can tell what has landed."""

    async def landed(self, lane: tuple[str, str, int], offsets: Sequence[int]) -> Standing | Down:
        """Return what is known of a lane (see :class:`Load`) and of some of its offsets.

        Called beside writes, a few thousand offsets at a time. It never raises for a destination
        that takes nothing now: that is ``Down``.
        """
        ...


class Supplies(Protocol):
    """What a sink may use when it is opened."""

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events to the bus, durable when it returns; duplicates are dropped.

        Raises :class:`StoreFull` when the bus takes none now, :class:`EventError` for a bad one."""
        ...


@runtime_checkable
class Sink(Protocol):
    """A declared destination: a frozen record of its configuration. Equal ones are opened once."""

    @property
    def name(self) -> str:
        """What a person calls it: kind and place, without secrets."""
        ...

    async def open(self, supplies: Supplies) -> Destination:
        """Connect lazily: a destination that is down must not stop the start.

        Raises :class:`SinkError` for a configuration that can never work.
        """
        ...


class Landing(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a sink's results are to be found: a row of a table (by its ``key`` columns, where it
    has some), a line of a file, a request, an event on the bus, a line of output."""

    kind: Literal["table", "file", "request", "mail", "event", "output"]
    place: str
    key: tuple[str, ...] = ()


@runtime_checkable
class Places(Protocol):
    """A sink that can say where its results land, for people who look for one."""

    def landing(self) -> Landing:
        """Return the place, without secrets, as it is declared."""
        ...


@runtime_checkable
class KeepsPositions(Protocol):
    """A sink that lands each event exactly once (see :meth:`Destination.write`)."""

    @property
    def keeps_positions(self) -> Literal[True]: ...


@runtime_checkable
class TakesPermits(Protocol):
    """A sink that sends several requests at a time, and takes a permit of its load for each.

    ``concurrency`` is how many it may have on their way, over all lanes that deliver to it.
    """

    @property
    def takes_permits(self) -> Literal[True]: ...

    @property
    def concurrency(self) -> Concurrency | str: ...
