"""``/tail``: new events as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.params import HeaderParameter, QueryParameter, SkipValidation
from litestar.response import Stream

from busway.api.openapi import MAY_MISS, example
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

_CHUNK_EVENTS = 100
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_EXAMPLE = (
    "id: 42.17\n"
    'data: {"partition":0,"offset":41,"appended_at":"2026-03-01T12:00:00Z",'
    '"event":{"specversion":"1.0","id":"4711","source":"/shop","type":"order.created"}}\n\n'
)
_encode = msgspec.json.Encoder().encode


class TailRange(msgspec.Struct, frozen=True):
    """Where the stream begins and ends."""

    begin: str = "now"
    follow: bool = True
    limit: int | None = None


def tail_range(
    begin: Annotated[
        str, QueryParameter(name="from", description="`now`, `beginning`, or a time.")
    ] = "now",
    follow: Annotated[bool, QueryParameter(description="Continue with later events.")] = True,
    limit: Annotated[
        int | None, QueryParameter(ge=1, description="End after this many events.")
    ] = None,
) -> TailRange:
    """Return where the stream begins and ends."""
    return TailRange(begin, follow, limit)


def tail_filter(
    pattern: Annotated[str | None, QueryParameter(description="An event pattern, as JSON.")] = None,
    type: Annotated[str | None, QueryParameter(description="Of this type.")] = None,
    source: Annotated[str | None, QueryParameter(description="From this source.")] = None,
    flow: Annotated[str | None, QueryParameter(description="That match this flow's rule.")] = None,
) -> TailFilter:
    """Return which events the stream has."""
    return TailFilter(pattern=pattern, type=type, source=source, flow=flow)


@get(
    "/tail",
    summary="Stream events",
    media_type="text/event-stream",
    opt=example(_EXAMPLE) | MAY_MISS,
    tags=["events"],
    dependencies={
        "wanted": Provide(tail_filter, sync_to_thread=False),
        "where": Provide(tail_range, sync_to_thread=False),
    },
)
async def tail_events(
    control: NamedDependency[SkipValidation[ControlContext]],
    stopping: NamedDependency[asyncio.Event],
    wanted: NamedDependency[TailFilter],
    where: NamedDependency[TailRange],
    load: NamedDependency[TailLoad],
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="Continue after the event with this id."),
    ] = None,
) -> Stream:
    """Stream events as server-sent events; the id of each is its position in the log.

    An event `skipped` tells a client that is too slow, or that asks for events which are no longer
    stored, how many it missed.
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
    """The bytes of one stream, encoded as its client reads them."""

    def __init__(
        self, control: ControlContext, watch: TailRequest, load: TailLoad, stopping: asyncio.Event
    ) -> None:
        self._clock = control.clock
        self._tail = LogTail(control.log, watch)
        self._follow = watch.follow
        self._load = load
        self._stopping = stopping

    async def chunks(self, limit: int | None) -> AsyncIterator[bytes]:
        """Yield until ``limit`` events, the log's end (unless it follows), or the server's stop."""
        left = sys.maxsize if limit is None else limit
        end = await self._tail.ends()
        yield _keep_alive(self._tail.position)
        with self._load.track():
            while left and not self._stopping.is_set():
                async for count, chunk in self._pieces(end, left):
                    left -= count
                    yield chunk
                if not left or (not self._follow and self._tail.is_past(end)):
                    return
                if self._follow:
                    if not await self._woken():
                        yield _keep_alive(self._tail.position)
                    end = await self._tail.ends()

    async def _pieces(self, end: Sequence[int], left: int) -> AsyncIterator[tuple[int, bytes]]:
        """Yield chunks and how many events each has, at most ``left`` in total."""
        skipped = await self._tail.skip_lost()
        if skipped:
            yield 0, b"".join(map(_skipped_chunk, skipped))
        began = self._clock.monotonic()
        async for taken in self._tail.read(end):
            for first in range(0, min(len(taken), left), _CHUNK_EVENTS):
                piece = taken[first : min(first + _CHUNK_EVENTS, left)]
                chunk = b"".join(
                    _event_chunk(event, self._tail.position_after(event)) for event in piece
                )
                rest_s = self._load.pause_s(self._clock.monotonic() - began)
                yield len(piece), chunk
                await self._clock.sleep(rest_s)
                began = self._clock.monotonic()
            left -= min(len(taken), left)
            if not left:
                return
        await self._clock.sleep(self._load.pause_s(self._clock.monotonic() - began))

    async def _woken(self) -> bool:
        """Wait for more events; return false when a keep-alive is due."""
        waiting = {
            asyncio.ensure_future(self._tail.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        }
        try:
            done, _ = await asyncio.wait(
                waiting, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in waiting:
                task.cancel()
        return bool(done)


def _keep_alive(place: str) -> bytes:
    """Return a keep-alive: no event, but the position to resume from."""
    return f": keep-alive\nid: {place}\n\n".encode()


def _event_chunk(event: TailEvent, place: str) -> bytes:
    data = _encode(event)
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return b"id: %s\ndata: %s\n\n" % (place.encode(), data)


def _skipped_chunk(skipped: SkippedEvents) -> bytes:
    return b"event: skipped\ndata: %s\n\n" % _encode(skipped)
