"""What Busway asks of a sink, and what it hands to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from busway.clock import derived_id
from busway.concurrency import Concurrency
from busway.event import Event
from busway.outcome import Down, Outcome


class LoadItem(msgspec.Struct, frozen=True):
    """One event's results on their way to a sink, in the order in which the step gave them.

    A result is an :class:`Event`, or what ``json`` can write. ``offset`` places the event in its
    partition, ``flow`` is the flow that it goes through, by the name that its sink knows.
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
    """Leave to have one request on its way: what a destination takes at a time is kept here."""

    async def acquire(self) -> bool:
        """Return true when one more request may go, false when no more of the load is to go now.

        Without leave the rest of the load is
        :class:`busway.outcome.NotAttempted`, and nothing has to be given back.
        """
        ...

    def release(self, took_s: float | None = None, *, refused: bool = False) -> None:
        """Give one back: how long its answer took (``None``: there was none to learn from), and
        whether it was that this is too much for it now."""
        ...


class Load(msgspec.Struct, frozen=True):
    """What a lane hands to a sink at once.

    ``lane`` names the lane for ever (log identity, flow, partition). For fresh events ``start`` and
    ``end`` are the range of offsets that the load decides, and ``failed_offsets`` those offsets in
    it which are not to land now because they failed before the sink. A retry has neither: both are
    ``None``. ``permits`` are for a sink that
    :class:`TakesPermits`, one for each of its requests; for another one is held while it writes.
    ``fencing_token`` is the number of the lease under which it is worked: one that keeps positions
    keeps the largest of each lane too, and answers
    :class:`busway.outcome.NotAttempted` for all of a load under an older one. 0 is under no lease.
    """

    lane: tuple[str, str, int]
    items: Sequence[LoadItem]
    start: int | None = None
    end: int | None = None
    failed_offsets: Sequence[int] = ()
    ordered: bool = False
    permits: RequestPermits | None = None
    fencing_token: int = 0


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


class DeliveredRange(msgspec.Struct, frozen=True):
    """What a destination knows of a lane: the offsets from ``start`` up to ``end`` are decided, and
    of those that were asked about ``landed`` are in it."""

    start: int = 0
    end: int = 0
    delivered: frozenset[int] = frozenset()


@runtime_checkable
class KnowsDelivered(Protocol):
    """A destination that keeps positions and can tell what has landed."""

    async def delivered_range(
        self, lane: tuple[str, str, int], offsets: Sequence[int]
    ) -> DeliveredRange | Down:
        """Return what is known of a lane (see :class:`Load`) and of some of its offsets.

        Called beside writes, a few thousand offsets at a time. It never raises for a destination
        that takes nothing now: that is ``Down``.
        """
        ...


@runtime_checkable
class Pingable(Protocol):
    """A destination that can say whether it is there, without writing anything."""

    async def ping(self) -> Down | None:
        """Return ``None`` if it is there, or why it takes nothing now.

        Called when a flow starts, and again until it is there or a load was answered. It has no
        side effects at the destination: a connection, or a look at a file. It never raises for a
        destination that is away.
        """
        ...


class SinkContext(Protocol):
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

    async def open(self, context: SinkContext) -> Destination:
        """Connect lazily: a destination that is down must not stop the start.

        Raises :class:`SinkError` for a configuration that can never work.
        """
        ...


@runtime_checkable
class ValidatesConfig(Protocol):
    """A sink or a source that can be checked before it is opened: a start reports all mistakes
    at once."""

    def validate_config(self) -> None:
        """Raise :class:`SinkError`, or :class:`SourceError`, for a configuration that can never
        work. No I/O over a network.

        Called when the flows are compiled, with all variables set."""
        ...


class ResultLocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a sink's results are to be found: a row of a table (by its ``key`` columns, where it
    has some), a line of a file, a request, an event on the bus, a line of output."""

    kind: Literal["table", "file", "request", "mail", "event", "output"]
    place: str
    key: tuple[str, ...] = ()


@runtime_checkable
class LocatesResults(Protocol):
    """A sink that can say where its results land, for people who look for one."""

    def result_location(self) -> ResultLocation:
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
