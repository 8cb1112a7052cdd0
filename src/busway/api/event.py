"""``/events``: events of the log, searched, and the story of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, QueryParameter
from msgspec import Raw

from busway.api.openapi import NAMES, example
from busway.api.page import Cursor, Limit
from busway.control.context import ControlContext
from busway.control.event.assemble import assemble_story
from busway.control.event.story import FlowStory, LogPosition, StoredResult, Story
from busway.control.log.scan import Hit, PartitionRange
from busway.control.log.search import EventQuery, LogEvent, SearchResult, search_log
from busway.control.page import cursor_of, place_in
from busway.errors import BuswayError
from busway.ports import ResultLocation

Time = Annotated[datetime, msgspec.Meta(tz=True)]
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
_STORY = Story(
    id="4711",
    source="/shop",
    type="order.created",
    position=LogPosition(2, 4711),
    appended_at=_AT,
    event=_EVENT,
    flows=[_FLOW],
)


class SeenPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some events, the newest first; ``next`` is the cursor of the page after it.

    A page ends when it is full, or after a few seconds of looking: it may have fewer events than
    asked for, even none, and a ``next``. ``looked`` is how many events were looked at, ``back_to``
    how far the search came, ``null`` when it came to its end.
    """

    items: tuple[LogEvent, ...]
    next: str | None = None
    looked: int = 0
    back_to: datetime | None = None


_PAGE = SeenPage(items=(LogEvent(2, 4711, _AT, _EVENT),), looked=500)


class _Named(msgspec.Struct, frozen=True):
    id: str | None
    key: str | None
    type: str | None
    source: str | None


def _named(
    id: Annotated[str | None, QueryParameter(description="Its id.")] = None,
    key: Annotated[str | None, QueryParameter(description="Its partition key or subject.")] = None,
    type: Annotated[str | None, QueryParameter(description="Its type.")] = None,
    source: Annotated[str | None, QueryParameter(description="Its source.")] = None,
) -> _Named:
    return _Named(id, key, type, source)


def _question(
    named: NamedDependency[_Named],
    where: Annotated[
        list[str] | None,
        QueryParameter(description="What is in it, like `data.customer.id=42`; may be repeated."),
    ] = None,
    since: Annotated[Time | None, QueryParameter(description="It came then or later.")] = None,
    until: Annotated[Time | None, QueryParameter(description="It came before then.")] = None,
) -> EventQuery:
    return EventQuery(
        id=named.id,
        key=named.key,
        type=named.type,
        source=named.source,
        where=tuple(where or ()),
        since=since,
        until=until,
    )


@get(
    "/",
    summary="Search events",
    dependencies={
        "named": Provide(_named, sync_to_thread=False),
        "question": Provide(_question, sync_to_thread=False),
    },
    opt=example(_PAGE),
)
async def list_events(
    control: NamedDependency[ControlContext],
    question: NamedDependency[EventQuery],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> SeenPage:
    """Return the events of the log that fit all that is given, the newest first."""
    rest = place_in(cursor, list[PartitionRange]) if cursor else []
    if any(not 0 <= one.partition < control.log.partitions for one in rest):
        raise BuswayError("the cursor is not of this log; search anew")
    return _page(await search_log(control, question, limit, rest))


@get("/{id:path}", summary="Tell an event's story", opt=example(_STORY))
async def show_event(
    control: NamedDependency[ControlContext],
    request: Request[Any, Any, Any],
    id: FromPath[str],
    source: Annotated[
        str | None, QueryParameter(description="Its source, where several have the id.")
    ] = None,
) -> Story:
    """Return where an event came from, what each flow did with it and why, and what it caused."""
    return await assemble_story(control, _as_sent(request, id), source)


@get("/", summary="Tell the story of an event of any id", opt=example(_STORY))
async def show_story(
    control: NamedDependency[ControlContext],
    id: Annotated[str, QueryParameter(description="Its id.")],
    source: Annotated[
        str | None, QueryParameter(description="Its source, where several have the id.")
    ] = None,
) -> Story:
    """Return the same as `/events/{id}`, for every id.

    Clients and proxies change a path before it is sent: they take out `.` and `..`, and some decode
    `%2F`. In the query an id arrives as it is.
    """
    return await assemble_story(control, id, source)


def _as_sent(request: Request[Any, Any, Any], id: str) -> str:
    """Return the id with its slashes as they came: the path that is routed by has fewer."""
    raw = request.scope.get("raw_path", b"").decode("ascii", "replace").partition("?")[0]
    _, found, rest = raw.partition("/events/")
    return unquote(rest) if found else id.removeprefix("/")


def _page(found: SearchResult) -> SeenPage:
    return SeenPage(
        items=tuple(map(_seen, found.hits)),
        next=cursor_of(found.remaining) if found.remaining else None,
        looked=found.scanned,
        back_to=found.scanned_back_to,
    )


def _seen(one: Hit) -> LogEvent:
    return LogEvent(one.partition, one.offset, one.appended_at, Raw(one.raw))


stories = Router("/story", route_handlers=[show_story], opt=NAMES, tags=["events"])
router = Router("/events", route_handlers=[list_events, show_event], tags=["events"])
