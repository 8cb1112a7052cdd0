"""The port of sinks, and the records exchanged with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from busway.clock import derived_id
from busway.concurrency import Concurrency
from busway.event import Event
from busway.lane import EventRef
from busway.outcome import Down, Outcome


class LoadItem(msgspec.Struct, frozen=True):
    """The results of one event, in the order in which the step returned them.

    A result is an :class:`Event` or a JSON-serialisable value. ``offset`` is the event's offset in
    its partition, ``flow`` the name by which the sink knows the flow.
    """

    offset: int
    event: Event
    results: Sequence[object]
    flow: str

    @property
    def idempotency_keys(self) -> list[str]:
        """The stable idempotency keys of the results, derived from flow, event and index."""
        identity = f"{self.event.source}\0{self.event.id}"
        return [derived_id(self.flow, identity, index) for index in range(len(self.results))]


class RequestPermits(Protocol):
    """Permits to send requests; they enforce a destination's concurrency limit."""

    async def acquire(self) -> bool:
        """Wait for a permit. Returns false if no more requests of this load may be sent now.

        Without a permit, the rest of the load is :class:`busway.outcome.NotAttempted`, and there is
        nothing to release.
        """
        ...

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Return a permit.

        ``took_s`` is the response time, ``None`` if it says nothing about the destination's
        capacity. ``refused`` is true if the destination reported overload.
        """
        ...


class SinkLane(NamedTuple):
    """The identity of a lane as a sink keeps it: permanent, and unique across installations.

    ``log_identity`` is :attr:`Log.identity`, ``flow`` the flow's original name.
    """

    log_identity: str
    flow: str
    partition: int

    def event_ref(self, offset: int) -> EventRef:
        """Return the reference to an event of this lane."""
        return EventRef(self.flow, self.partition, offset)


class Load(msgspec.Struct, frozen=True):
    """The items that a lane hands to a sink in one call.

    For new events, ``start`` and ``end`` are the range of offsets that the load decides, and
    ``failed_offsets`` the offsets in it that must not be delivered now because they failed before
    the sink. A retry has no range: both are ``None``.

    A sink that :class:`TakesPermits` acquires one of ``permits`` for each request; for other sinks
    a permit is held during the write. ``fencing_token`` is the number of the lane's lease, 0
    without a lease. A destination that keeps positions also keeps the largest token of each lane,
    and answers a load with a smaller token with :class:`busway.outcome.NotAttempted` for all items.
    """

    lane: SinkLane
    items: Sequence[LoadItem]
    start: int | None = None
    end: int | None = None
    failed_offsets: Sequence[int] = ()
    ordered: bool = False
    permits: RequestPermits | None = None
    fencing_token: int = 0


class Destination(Protocol):
    """An opened sink.

    Several lanes call ``write`` concurrently. The loads of new events of one lane are sequential;
    its retries run concurrently with them.
    """

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Load the items and return one outcome per item, in order; never raises for an item.

        A destination that keeps positions delivers each offset at most once per lane: it writes the
        rows and its position in one transaction, remembers which offsets of the range were not
        delivered, and answers ``Delivered`` without writing for an offset that was. If it cannot
        store the position, all outcomes are ``Down``; for a load without items (all offsets failed)
        it returns one ``Down``.
        """
        ...

    async def close(self) -> None:
        """Release what it holds; called after the last write. To close it again does nothing."""
        ...


class DeliveredRange(msgspec.Struct, frozen=True):
    """A destination's position for a lane: the offsets from ``start`` up to ``end`` are decided.

    Of the offsets in question, ``delivered`` are stored there.
    """

    start: int = 0
    end: int = 0
    delivered: frozenset[int] = frozenset()


@runtime_checkable
class KnowsDelivered(Protocol):
    """A destination that keeps positions and can report which offsets were delivered."""

    async def delivered_range(
        self, lane: SinkLane, offsets: Sequence[int]
    ) -> DeliveredRange | Down:
        """Return the position of a lane (see :class:`Load`) and which of ``offsets`` it delivered.

        Called concurrently with writes, with up to a few thousand offsets. If the destination is
        unavailable, it returns ``Down`` instead of raising.
        """
        ...


@runtime_checkable
class Pingable(Protocol):
    """A destination whose availability can be checked without writing anything."""

    async def ping(self) -> Down | None:
        """Return ``None`` if the destination is available, else why it is not.

        Called when a flow starts, and again until it succeeds or a load was answered. It has no
        side effects at the destination: it opens a connection or checks a file. It does not raise
        if the destination is unavailable.
        """
        ...


class SinkContext(Protocol):
    """The services that a sink may use once it is opened."""

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events to the bus, durable when it returns; duplicates are dropped.

        Raises :class:`StoreFull` if the log is full, :class:`EventError` for an invalid event.
        """
        ...


@runtime_checkable
class Sink(Protocol):
    """A declared destination: a frozen record of its configuration. Equal sinks are opened once."""

    @property
    def name(self) -> str:
        """The display name: kind and place, without secrets."""
        ...

    async def open(self, context: SinkContext) -> Destination:
        """Return the destination; connect lazily, so that an outage does not prevent the start.

        Raises :class:`SinkError` for a configuration that can never work.
        """
        ...


@runtime_checkable
class ValidatesConfig(Protocol):
    """A sink or source that can be validated before it is opened: all mistakes are reported."""

    def validate_config(self) -> None:
        """Raise :class:`SinkError` or :class:`SourceError` for a configuration that never works.

        Called when the flows are compiled, with all environment variables set. No network I/O.
        """
        ...


class ResultLocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where to find a sink's results.

    They are rows of a table (with its ``key`` columns, if any), lines of a file, requests, mails,
    events on the bus, or lines of output.
    """

    kind: Literal["table", "file", "request", "mail", "event", "output"]
    place: str
    key: tuple[str, ...] = ()


@runtime_checkable
class LocatesResults(Protocol):
    """A sink that can describe where to find its results."""

    def result_location(self) -> ResultLocation:
        """Return the location as declared, without secrets."""
        ...


@runtime_checkable
class KeepsPositions(Protocol):
    """A sink that delivers each event exactly once (see :meth:`Destination.write`)."""

    @property
    def keeps_positions(self) -> Literal[True]: ...


@runtime_checkable
class TakesPermits(Protocol):
    """A sink that sends requests concurrently, and acquires one of the load's permits for each.

    ``concurrency`` is the maximum number of requests in flight, over all lanes that deliver to it.
    """

    @property
    def takes_permits(self) -> Literal[True]: ...

    @property
    def concurrency(self) -> Concurrency | str: ...
