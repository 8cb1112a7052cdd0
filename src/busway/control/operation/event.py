"""``busway event`` and ``busway events``: the story of an event, and which events there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Raw

from busway.control.event.story_record import (
    FlowStory,
    LogPosition,
    StoredResult,
    Story,
)
from busway.control.field import option
from busway.control.log.scan import PartitionRange
from busway.control.log.search import EventQuery, LogEvent, search_log
from busway.control.operation import Command, OperationContext, http, operation
from busway.control.page import Page, PageRequest, cursor_of, place_in
from busway.errors import BuswayError
from busway.ports import ResultLocation

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_EVENT = Raw(b'{"specversion":"1.0","id":"4711","source":"/shop","type":"order.created"}')
_LANDING = ResultLocation("table", "public.orders of postgres db.example/shop", ("order_id",))
_FLOW = FlowStory(
    flow="orders",
    state="delivered",
    text="it was delivered: no step filtered any event of its range",
    matched=True,
    since=_AT,
    until=_AT,
    version="3f1c9a0be2d4",
    destination="postgres db.example/shop orders",
    result=StoredResult(location=_LANDING),
)
STORY = Story(
    id="4711",
    source="/shop",
    type="order.created",
    position=LogPosition(2, 4711),
    appended_at=_AT,
    event=_EVENT,
    flows=[_FLOW],
)


class SearchPage(Page[LogEvent], frozen=True, kw_only=True):
    """Some events, the newest first; ``next`` is the cursor of the page after it.

    A page ends when it is full, or after a few seconds of searching: it may have fewer events than
    asked for, even none, and a ``next``. ``looked`` is how many events were read, ``back_to`` how
    far the search came, ``null`` when it came to its end.
    """

    items: Sequence[LogEvent]  # for the OpenAPI document, which does not look it up in the base
    next: str | None = None
    looked: int = 0
    back_to: datetime | None = None


class SearchEvents(PageRequest, frozen=True, kw_only=True):
    """Which events to search."""

    question: EventQuery = EventQuery()


class EventId(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which event is meant."""

    id: Annotated[str, option("Its id.")]
    source: Annotated[str | None, option("Its source, if several events have the id.")] = None


@operation(
    http("GET", "/events", tag="events"),
    command=Command("events", limit=20, example="--where data.customer.id=42 --since 2h"),
    summary="Search events",
    request=SearchEvents(),
    result=SearchPage(items=[LogEvent(2, 4711, _AT, _EVENT)], looked=500),
)
async def search_events(context: OperationContext, request: SearchEvents) -> SearchPage:
    """Search the events that the log holds, the newest first.

    PATH is a JSON path in the event, like type, source or data.customer.id.
    """
    control = context.control
    rest = place_in(request.cursor, list[PartitionRange]) if request.cursor else []
    if any(not 0 <= part.partition < control.log.partitions for part in rest):
        raise BuswayError("the cursor is not of this log; search again")
    found = await search_log(control, request.question, request.limit, rest)
    seen = [
        LogEvent(hit.partition, hit.offset, hit.appended_at, Raw(hit.raw)) for hit in found.hits
    ]
    next = cursor_of(found.remaining) if found.remaining else None
    return SearchPage(items=seen, next=next, looked=found.scanned, back_to=found.scanned_back_to)


@operation(
    http("GET", "/story", tag="events", may_miss=True),
    summary="Show an event's story",
    request=EventId(id="4711"),
    result=STORY,
)
async def show_story(context: OperationContext, request: EventId) -> Story:
    """Return where an event came from, what each flow did with it and why, and what it caused.

    It is the same as `/events/{id}`, for every id. Clients and proxies change a path before it is
    sent: they remove `.` and `..`, and some decode `%2F`. In the query an id arrives as it is.
    """
    from busway.control.event.story import assemble_story  # noqa: PLC0415 - not for clients

    return await assemble_story(context.control, request.id, request.source)
