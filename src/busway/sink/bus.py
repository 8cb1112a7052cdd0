"""The ``bus`` sink: results become new events, whose ids make twice the same as once."""

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
"""How often events may cause events before it is taken for a loop."""

_TRACE_ATTRIBUTES = ("correlationid", "traceparent", "tracestate")
_KEY_ATTRIBUTES = ("partitionkey", "subject")
_LENGTH_CHECKED = tuple(
    name for name in MAX_LENGTHS if name not in ("causationid", "correlationid")
)
"""The attributes whose length is checked: the others are those of an event that was accepted."""


class Bus(DeclarableFunction, frozen=True):
    """The bus itself: how flows are chained.

    A result that is no event gets ``type`` (the flow's name when not given) and ``source``
    (``/busway/<flow>``); an event keeps its own. Order, tracing and causation follow the cause.

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
                " reserved for"
                " Busway's own events; give another type"
            )


class BusDestination:
    """Publishes all events of a load at once."""

    def __init__(self, sink: Bus, context: SinkContext) -> None:
        self._sink = sink
        self._context = context

    async def write(self, load: Load) -> Sequence[Outcome]:
        made = [self._make_events(flow_of(load.lane.flow), item) for item in load.items]
        events = [event for one in made if not isinstance(one, Rejected) for event in one]
        answer = await self._publish(events)
        if isinstance(answer, Rejected):
            return [one if isinstance(one, Rejected) else await self._publish(one) for one in made]
        return [one if isinstance(one, Rejected) else answer for one in made]

    async def ping(self) -> None:
        """The bus is where this runs."""

    async def close(self) -> None:
        """The bus is closed by whoever opened it."""

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
            made = [
                self._make_event(flow, result, key, common)
                for result, key in zip(item.results, item.idempotency_keys, strict=True)
            ]
            for event in made:
                _check_event(event, item.event)
        except EventError as error:
            return Rejected("EventError", str(error))
        return made

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
    """Return what an event hands on to those that it causes."""
    seen = event.envelope
    handed = {name: getattr(seen, name) for name in _TRACE_ATTRIBUTES + _KEY_ATTRIBUTES}
    return handed | {"causationid": seen.id, "correlationid": seen.correlationid or seen.id}


def _hops(event: Event) -> int:
    found = event.extensions.get(HOPS_EXTENSION, 0)
    return found if isinstance(found, int) else 0


def _check_event(event: Event, cause: Event) -> None:
    """Raise :class:`EventError` for what the bus does not accept, as the intake does not.

    What an event has from its cause is in the log already, and may go on.
    """
    seen, before = event.envelope, cause.envelope
    if is_reserved_type(seen.type):
        raise EventError(
            f"type is {seen.type[:60]!r}; types that begin with {RESERVED_TYPE_PREFIX!r} are"
            " reserved for"
            " Busway's own events"
        )
    for name in _LENGTH_CHECKED:
        value = getattr(seen, name)
        if value != getattr(before, name) and (reason := length_problem(name, value)):
            raise EventError(reason)
