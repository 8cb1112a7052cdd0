"""Bodies that take long to read: read in a thread, and given to the bus in parts.

What one request takes of the event loop at a time is bounded, however large its body is and however
small its events are, so that no other request waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from busway.errors import StoreError, StoreFull
from busway.ports import Appended, DecodedEvents, RequestRefusal
from busway.source.http.coding import inflate
from busway.source.http.config import IntakeConfig, Limits
from busway.source.http.exchange import Completed, Decoded, Exchange
from busway.source.http.head import Head
from busway.source.http.problem import too_busy

T = TypeVar("T")
PLAIN_BYTES = 256 * 1024
"""A body that is larger is read in a thread: even its worst events are some 20 ms below it."""
CODED_BYTES = 4 * 1024
"""A compressed body that is larger is; a thousand times as much may be in it."""
PART_EVENTS = 5_000
"""How many events of a request are given to the bus at a time."""
_THREADS = 2


class Desk(Protocol):
    """What is asked of the server's desk."""

    config: IntakeConfig
    limits: Limits
    held_bytes: int

    def decode(self, head: Head, body: bytes) -> Decoded: ...

    def crowded(self, size_bytes: int) -> bool: ...


class Large:
    """Takes the large requests of one server, a few at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._tasks: set[asyncio.Task[Completed]] = set()

    def is_large(self, head: Head, body: bytes) -> bool:
        """Say whether a body is to be read here: a compressed one always, as it may be."""
        return bool(head.coding) or len(body) > PLAIN_BYTES

    def has_many(self, parcel: DecodedEvents) -> bool:
        """Say whether there are more events than are given to the bus at once."""
        return len(parcel.raws) > PART_EVENTS

    def append(self, exchange: Exchange, head: Head, body: bytes) -> asyncio.Task[Completed]:
        """Read a body, and append its events."""
        return self._begun(self._read_and_append(exchange, head, body))

    def append_parcel(self, exchange: Exchange, parcel: DecodedEvents) -> asyncio.Task[Completed]:
        """Append many events."""
        return self._begun(self._in_parts(exchange, parcel))

    def close(self) -> None:
        """Take nothing more; what is being read is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begun(self, work: Coroutine[Any, Any, Completed]) -> asyncio.Task[Completed]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read_and_append(self, exchange: Exchange, head: Head, body: bytes) -> Completed:
        plain = await self._inflated(exchange, head.coding, body) if head.coding else body
        if isinstance(plain, RequestRefusal):
            return plain
        if len(plain) > PLAIN_BYTES:
            found = await self._in_thread(partial(self._desk.decode, head, plain))
        else:
            found = self._desk.decode(head, plain)
        return await self._in_parts(exchange, found) if isinstance(found, DecodedEvents) else found

    async def _inflated(
        self, exchange: Exchange, coding: str, body: bytes
    ) -> bytes | RequestRefusal:
        desk = self._desk
        work = partial(inflate, coding, body, desk.limits.max_body_bytes)
        plain = work() if len(body) <= CODED_BYTES else await self._in_thread(work)
        if isinstance(plain, RequestRefusal):
            return plain
        desk.held_bytes += len(plain) - exchange.size
        exchange.size = len(plain)
        return too_busy("bytes") if desk.crowded(exchange.size) else plain

    async def _in_parts(self, exchange: Exchange, parcel: DecodedEvents) -> Completed:
        """Append the events, each part when the one before it is durable."""
        raws, envelopes = parcel.raws, parcel.envelopes
        exchange.events = len(raws)
        accepted = duplicates = 0
        for first in range(0, len(raws), PART_EVENTS):
            part = slice(first, first + PART_EVENTS)
            try:
                found = await self._desk.config.intake.append(raws[part], envelopes[part])
            except StoreFull as error:
                if not first:
                    raise
                raise StoreError(f"{first} of the events are stored: {error}") from error
            accepted += found.accepted
            duplicates += found.duplicates
        return Appended(accepted, duplicates)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
