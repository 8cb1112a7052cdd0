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
from busway.ports import AppendReceipt, DecodedEvents, RequestRefusal
from busway.source.http.config import IntakeConfig, IntakeLimits
from busway.source.http.content_encoding import decompress
from busway.source.http.request import Completed, Decoded, IntakeRequest
from busway.source.http.request_head import ParsedHead
from busway.source.problem import too_many_in_flight

T = TypeVar("T")
MAX_INLINE_BYTES = 256 * 1024
"""A body that is larger is read in a thread: even its worst events are some 20 ms below it."""
MAX_INLINE_COMPRESSED_BYTES = 4 * 1024
"""A compressed body that is larger is; a thousand times as much may be in it."""
MAX_EVENTS_PER_APPEND = 5_000
"""How many events of a request are given to the bus at a time."""
_THREADS = 2


class AdmissionState(Protocol):
    """What is asked of the server's desk."""

    config: IntakeConfig
    limits: IntakeLimits
    in_flight_bytes: int

    def decode(self, head: ParsedHead, body: bytes) -> Decoded: ...

    def is_over_limit(self, size_bytes: int) -> bool: ...


class LargeBodyReader:
    """Takes the large requests of one server, a few at a time."""

    def __init__(self, admission: AdmissionState) -> None:
        self._admission = admission
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._tasks: set[asyncio.Task[Completed]] = set()

    def is_large(self, head: ParsedHead, body: bytes) -> bool:
        """Say whether a body is to be read here: a compressed one always, as it may be."""
        return bool(head.content_encoding) or len(body) > MAX_INLINE_BYTES

    def needs_parts(self, batch: DecodedEvents) -> bool:
        """Say whether there are more events than are given to the bus at once."""
        return len(batch.raws) > MAX_EVENTS_PER_APPEND

    def append(
        self, request: IntakeRequest, head: ParsedHead, body: bytes
    ) -> asyncio.Task[Completed]:
        """Read a body, and append its events."""
        return self._start_task(self._read_and_append(request, head, body))

    def append_batch(self, request: IntakeRequest, batch: DecodedEvents) -> asyncio.Task[Completed]:
        """Append many events."""
        return self._start_task(self._append_in_parts(request, batch))

    def close(self) -> None:
        """Take nothing more; what is being read is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_task(self, work: Coroutine[Any, Any, Completed]) -> asyncio.Task[Completed]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read_and_append(
        self, request: IntakeRequest, head: ParsedHead, body: bytes
    ) -> Completed:
        plain = (
            await self._decompress(request, head.content_encoding, body)
            if head.content_encoding
            else body
        )
        if isinstance(plain, RequestRefusal):
            return plain
        if len(plain) > MAX_INLINE_BYTES:
            found = await self._in_thread(partial(self._admission.decode, head, plain))
        else:
            found = self._admission.decode(head, plain)
        return (
            await self._append_in_parts(request, found)
            if isinstance(found, DecodedEvents)
            else found
        )

    async def _decompress(
        self, request: IntakeRequest, encoding: str, body: bytes
    ) -> bytes | RequestRefusal:
        desk = self._admission
        work = partial(decompress, encoding, body, desk.limits.max_body_bytes)
        plain = work() if len(body) <= MAX_INLINE_COMPRESSED_BYTES else await self._in_thread(work)
        if isinstance(plain, RequestRefusal):
            return plain
        desk.in_flight_bytes += len(plain) - request.held_bytes
        request.held_bytes = len(plain)
        return too_many_in_flight("bytes") if desk.is_over_limit(request.held_bytes) else plain

    async def _append_in_parts(self, request: IntakeRequest, batch: DecodedEvents) -> Completed:
        """Append the events, each part when the one before it is durable."""
        raws, envelopes = batch.raws, batch.envelopes
        request.event_count = len(raws)
        accepted = duplicates = 0
        for first in range(0, len(raws), MAX_EVENTS_PER_APPEND):
            part = slice(first, first + MAX_EVENTS_PER_APPEND)
            try:
                found = await self._admission.config.intake.append(raws[part], envelopes[part])
            except StoreFull as error:
                if not first:
                    raise
                raise StoreError(f"{first} of the events are stored: {error}") from error
            accepted += found.accepted
            duplicates += found.duplicates
        return AppendReceipt(accepted, duplicates)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
