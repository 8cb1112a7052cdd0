"""The ``bus`` sink: publishes results as new events with deterministic ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from busway.attribute import (
    HOPS_EXTENSION,
    MAX_LENGTHS,
    RESERVED_TYPE_PREFIX,
    is_reserved_type,
    length_problem,
)
from busway.declarable import DeclarableFunction
from busway.errors import EventError, SinkError, StoreFull
from busway.event import Event
from busway.lane import flow_of
from busway.outcome import DELIVERED, Down, Outcome, Rejected
from busway.ports import Load, LoadItem, ResultLocation, SinkContext

MAX_HOPS = 32
"""Longest chain of events that cause events before it counts as a loop."""

_TRACE_ATTRIBUTES = ("correlationid", "traceparent", "tracestate")
_KEY_ATTRIBUTES = ("partitionkey", "subject")
_LENGTH_CHECKED = tuple(
    name for name in MAX_LENGTHS if name not in ("causationid", "correlationid")
)
"""Attributes whose length is checked; the others come from an accepted event."""


class Bus(DeclarableFunction, frozen=True):
    """The bus itself: how flows are chained.

    A result that is not an event gets ``type`` (default: the name of the flow) and ``source``
    (default: ``/busway/<flow>``); an event keeps its own. Partition key, tracing and causation are
    inherited from the cause.

    >>> Bus(type="order.checked").name
    'bus'
    """

    type: str | None = None
    source: str | None = None

    @property
    def name(self) -> str:
        return "bus"

    def result_location(self) -> ResultLocation:
        return ResultLocation("event", f"the bus, as {self.type}" if self.type else "the bus")

    async def open(self, context: SinkContext) -> BusDestination:
        self.validate_config()
        return BusDestination(self, context)

    def validate_config(self) -> None:
        for name in ("type", "source"):
            if reason := length_problem(name, getattr(self, name)):
                raise SinkError(f"bus({name}=…): {reason}")
        if is_reserved_type(self.type):
            raise SinkError(
                f"bus(type={self.type!r}): types that begin with {RESERVED_TYPE_PREFIX!r} are"
                " reserved for Busway's own events; give another type"
            )


class BusDestination:
    """Publishes the events of a load at once."""

    def __init__(self, sink: Bus, context: SinkContext) -> None:
        self._sink = sink
        self._context = context

    async def write(self, load: Load) -> Sequence[Outcome]:
        batches = [self._make_events(flow_of(load.lane.flow), item) for item in load.items]
        events = [event for batch in batches if not isinstance(batch, Rejected) for event in batch]
        outcome = await self._publish(events)
        if isinstance(outcome, Rejected):
            return [
                batch if isinstance(batch, Rejected) else await self._publish(batch)
                for batch in batches
            ]
        return [batch if isinstance(batch, Rejected) else outcome for batch in batches]

    async def ping(self) -> None:
        """Do nothing: the bus is part of this process."""

    async def close(self) -> None:
        """Do nothing: the owner of the bus closes it."""

    async def _publish(self, events: Sequence[Event]) -> Outcome:
        try:
            if events:
                await self._context.publish(events)
        except EventError as error:
            return Rejected("EventError", str(error))
        except StoreFull as error:
            return Down(f"the bus is full: {error}", reachable=True)
        return DELIVERED

    def _make_events(self, flow: str, item: LoadItem) -> Sequence[Event] | Rejected:
        try:
            hops = _hops(item.event) + 1
            if hops > MAX_HOPS:
                return Rejected(
                    "loop",
                    f"{MAX_HOPS} events led to this one, each caused by the one before;"
                    " narrow the flow's rule so that it does not match what it publishes",
                )
            common = _inherited_attributes(item.event) | {HOPS_EXTENSION: hops}
            events = [
                self._make_event(flow, result, key, common)
                for result, key in zip(item.results, item.idempotency_keys, strict=True)
            ]
            for event in events:
                _check_event(event, item.event)
        except EventError as error:
            return Rejected("EventError", str(error))
        return events

    def _make_event(
        self, flow: str, result: object, key: str, inherited: Mapping[str, object]
    ) -> Event:
        if not isinstance(result, Event):
            return Event(
                id=key,
                type=self._sink.type or flow,
                source=self._sink.source or f"/busway/{flow}",
                data=result,
                **inherited,
            )
        own = {
            "id": key,
            "causationid": inherited["causationid"],
            HOPS_EXTENSION: inherited[HOPS_EXTENSION],
        }
        names = _TRACE_ATTRIBUTES if result.key else _TRACE_ATTRIBUTES + _KEY_ATTRIBUTES
        own |= {name: inherited[name] for name in names if getattr(result.envelope, name) is None}
        return result.replace(**own)


def _inherited_attributes(event: Event) -> dict[str, object]:
    """Return the attributes that the events caused by an event inherit."""
    envelope = event.envelope
    inherited = {name: getattr(envelope, name) for name in _TRACE_ATTRIBUTES + _KEY_ATTRIBUTES}
    return inherited | {
        "causationid": envelope.id,
        "correlationid": envelope.correlationid or envelope.id,
    }


def _hops(event: Event) -> int:
    hops = event.extensions.get(HOPS_EXTENSION, 0)
    return hops if isinstance(hops, int) else 0


def _check_event(event: Event, cause: Event) -> None:
    """Raise :class:`EventError` for an event that the intake would not accept either.

    Attributes inherited from the cause are in the log already and are not checked.
    """
    envelope, cause_envelope = event.envelope, cause.envelope
    if is_reserved_type(envelope.type):
        raise EventError(
            f"type is {envelope.type[:60]!r}; types that begin with {RESERVED_TYPE_PREFIX!r} are"
            " reserved for Busway's own events"
        )
    for name in _LENGTH_CHECKED:
        value = getattr(envelope, name)
        if value != getattr(cause_envelope, name) and (reason := length_problem(name, value)):
            raise EventError(reason)
