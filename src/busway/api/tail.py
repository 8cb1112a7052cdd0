"""``/tail``: events as they come, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from busway.api.openapi import NAMES, example
from busway.control.context import ControlContext
from busway.control.log.tail import (
    KEEP_ALIVE_S,
    LogTail,
    SkippedEvents,
    TailEvent,
    TailFilter,
    TailLoad,
    TailRequest,
    offsets_at_position,
    offsets_from,
    tail_rules,
)

_PIECE = 100
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_EXAMPLE = (
    "id: 42.17\n"
    'data: {"partition":0,"offset":41,"appended_at":"2026-03-01T12:00:00Z",'
    '"event":{"specversion":"1.0","id":"4711","source":"/shop","type":"order.created"}}\n\n'
)
_encode = msgspec.json.Encoder().encode


class Where(msgspec.Struct, frozen=True):
    """Where to begin and to end."""

    begin: str = "now"
    follow: bool = True
    limit: int | None = None


def where(
    begin: Annotated[
        str, QueryParameter(name="from", description="`now`, `beginning`, or a time.")
    ] = "now",
    follow: Annotated[bool, QueryParameter(description="Go on with what comes later.")] = True,
    limit: Annotated[
        int | None, QueryParameter(ge=1, description="End after so many events.")
    ] = None,
) -> Where:
    """Return where to begin and to end."""
    return Where(begin, follow, limit)


def wanted(
    pattern: Annotated[str | None, QueryParameter(description="An event pattern, as JSON.")] = None,
    type: Annotated[str | None, QueryParameter(description="Of this type.")] = None,
    source: Annotated[str | None, QueryParameter(description="From this source.")] = None,
    flow: Annotated[str | None, QueryParameter(description="That this flow's rule wants.")] = None,
) -> TailFilter:
    """Return which events are asked for."""
    return TailFilter(pattern=pattern, type=type, source=source, flow=flow)


@get(
    "/tail",
    summary="Watch events come",
    media_type="text/event-stream",
    opt=example(_EXAMPLE),
    dependencies={
        "wanted": Provide(wanted, sync_to_thread=False),
        "where": Provide(where, sync_to_thread=False),
    },
)
async def tail_events(
    control: NamedDependency[ControlContext],
    stopping: NamedDependency[asyncio.Event],
    wanted: NamedDependency[TailFilter],
    where: NamedDependency[Where],
    load: NamedDependency[TailLoad],
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="Go on after the event with this id."),
    ] = None,
) -> Stream:
    """Send events that are wanted as server-sent events, each with its place in the log as its id.

    A watcher of what comes now who is too slow is told by an event `skipped` how many it missed; so
    is who asks for what is kept no more.
    """
    resumed = None if last_event_id is None else offsets_at_position(control.log, last_event_id)
    watch = TailRequest(
        rules=await tail_rules(control, wanted),
        offsets=resumed or await offsets_from(control.log, where.begin),
        live=where.begin == "now" and resumed is None,
        follow=where.follow,
    )
    stream = _Stream(control, watch, load, stopping)
    return Stream(stream.chunks(where.limit), media_type="text/event-stream", headers=_HEADERS)


class _Stream:
    """The bytes of one tail, made as its reader takes them."""

    def __init__(
        self, control: ControlContext, watch: TailRequest, load: TailLoad, stopping: asyncio.Event
    ) -> None:
        self._clock = control.clock
        self._tail = LogTail(control.log, watch)
        self._follow = watch.follow
        self._load = load
        self._stopping = stopping

    async def chunks(self, limit: int | None) -> AsyncIterator[bytes]:
        """Yield until ``limit`` events, the end where it is not to follow, or the server's stop."""
        left = sys.maxsize if limit is None else limit
        end = await self._tail.ends()
        yield _beat(self._tail.position)
        with self._load.track():
            while left and not self._stopping.is_set():
                async for count, chunk in self._pieces(end, left):
                    left -= count
                    yield chunk
                if not left or (not self._follow and self._tail.is_past(end)):
                    return
                if self._follow:
                    if not await self._woken():
                        yield _beat(self._tail.position)
                    end = await self._tail.ends()

    async def _pieces(self, end: Sequence[int], left: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield some events at a time and how many they are, at most ``left`` together."""
        skipped = await self._tail.skip_lost()
        if skipped:
            yield 0, b"".join(map(_skipped, skipped))
        began = self._clock.monotonic()
        async for taken in self._tail.read(end):
            for first in range(0, min(len(taken), left), _PIECE):
                piece = taken[first : min(first + _PIECE, left)]
                chunk = b"".join(_shown(one, self._tail.position_after(one)) for one in piece)
                rest_s = self._load.pause_s(self._clock.monotonic() - began)
                yield len(piece), chunk
                await self._clock.sleep(rest_s)
                began = self._clock.monotonic()
            left -= min(len(taken), left)
            if not left:
                return
        await self._clock.sleep(self._load.pause_s(self._clock.monotonic() - began))

    async def _woken(self) -> bool:
        """Return when there may be more, false when it is time for a sign of life."""
        waiting = {
            asyncio.ensure_future(self._tail.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        }
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for one in waiting:
                one.cancel()
        return bool(done)


def _beat(place: str) -> bytes:
    """Return a sign of life: no event, but where to go on from."""
    return f": keep-alive\nid: {place}\n\n".encode()


def _shown(one: TailEvent, place: str) -> bytes:
    data = _encode(one)
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return b"id: %s\ndata: %s\n\n" % (place.encode(), data)


def _skipped(one: SkippedEvents) -> bytes:
    return b"event: skipped\ndata: %s\n\n" % _encode(one)


router = Router("/", route_handlers=[tail_events], opt=NAMES, tags=["events"])
