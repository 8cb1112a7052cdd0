"""Large bodies: decoded in a thread and appended to the bus in parts.

The time that one request holds the event loop is bounded, however large its body and however small
its events, so that other requests do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from busway.errors import StoreError, StoreFull
from busway.ports import AppendReceipt, DecodedEvents, RequestRefusal
from busway.source.http.config import IntakeConfig
from busway.source.http.content_encoding import decompress
from busway.source.http.limit import IntakeLimits
from busway.source.http.request import Completed, Decoded, IntakeRequest
from busway.source.http.request_head import ParsedHead
from busway.source.refusal import too_many_in_flight

T = TypeVar("T")
MAX_INLINE_BYTES = 256 * 1024
"""A larger body is decoded in a thread; up to this size even the worst events take some 20 ms."""
MAX_INLINE_COMPRESSED_BYTES = 4 * 1024
"""A larger compressed body is decompressed in a thread; it may expand a thousandfold."""
MAX_EVENTS_PER_APPEND = 5_000
"""How many events of a request are appended at a time."""
_THREADS = 2


class AdmissionState(Protocol):
    """The part of the admission that this module uses."""

    config: IntakeConfig
    limits: IntakeLimits
    in_flight_bytes: int

    def decode(self, head: ParsedHead, body: bytes) -> Decoded: ...

    def is_over_limit(self, size_bytes: int) -> bool: ...


class LargeBodyReader:
    """Reads the large requests of one server, a few at a time."""

    def __init__(self, admission: AdmissionState) -> None:
        self._admission = admission
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._tasks: set[asyncio.Task[Completed]] = set()

    def is_large(self, head: ParsedHead, body: bytes) -> bool:
        """Say whether a body needs this reader; a compressed body always does, as it may expand."""
        return bool(head.content_encoding) or len(body) > MAX_INLINE_BYTES

    def needs_parts(self, batch: DecodedEvents) -> bool:
        """Say whether a batch has more events than one append may have."""
        return len(batch.raws) > MAX_EVENTS_PER_APPEND

    def append(
        self, request: IntakeRequest, head: ParsedHead, body: bytes
    ) -> asyncio.Task[Completed]:
        """Start reading a body and appending its events."""
        return self._start_task(self._read_and_append(request, head, body))

    def append_batch(self, request: IntakeRequest, batch: DecodedEvents) -> asyncio.Task[Completed]:
        """Start appending a batch in parts."""
        return self._start_task(self._append_in_parts(request, batch))

    def close(self) -> None:
        """Accept no further work; do not wait for bodies being read."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_task(self, work: Coroutine[Any, Any, Completed]) -> asyncio.Task[Completed]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read_and_append(
        self, request: IntakeRequest, head: ParsedHead, body: bytes
    ) -> Completed:
        content = (
            await self._decompress(request, head.content_encoding, body)
            if head.content_encoding
            else body
        )
        if isinstance(content, RequestRefusal):
            return content
        if len(content) > MAX_INLINE_BYTES:
            decoded = await self._in_thread(partial(self._admission.decode, head, content))
        else:
            decoded = self._admission.decode(head, content)
        return (
            await self._append_in_parts(request, decoded)
            if isinstance(decoded, DecodedEvents)
            else decoded
        )

    async def _decompress(
        self, request: IntakeRequest, encoding: str, body: bytes
    ) -> bytes | RequestRefusal:
        admission = self._admission
        work = partial(decompress, encoding, body, admission.limits.max_body_bytes)
        content = (
            work() if len(body) <= MAX_INLINE_COMPRESSED_BYTES else await self._in_thread(work)
        )
        if isinstance(content, RequestRefusal):
            return content
        admission.in_flight_bytes += len(content) - request.held_bytes
        request.held_bytes = len(content)
        return (
            too_many_in_flight("bytes") if admission.is_over_limit(request.held_bytes) else content
        )

    async def _append_in_parts(self, request: IntakeRequest, batch: DecodedEvents) -> Completed:
        """Append the events; each part starts when the previous part is durable."""
        raws, envelopes = batch.raws, batch.envelopes
        request.event_count = len(raws)
        accepted = duplicates = 0
        for first in range(0, len(raws), MAX_EVENTS_PER_APPEND):
            part = slice(first, first + MAX_EVENTS_PER_APPEND)
            try:
                receipt = await self._admission.config.intake.append(raws[part], envelopes[part])
            except StoreFull as error:
                if not first:
                    raise
                raise StoreError(f"{first} of the events are stored: {error}") from error
            accepted += receipt.accepted
            duplicates += receipt.duplicates
        return AppendReceipt(accepted, duplicates)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
