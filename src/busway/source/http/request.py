"""A request in flight, from its head to its response."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from busway.errors import StoreError, StoreFull
from busway.ports import AppendReceipt, DecodedEvents, RequestAnswer, RequestRefusal
from busway.source.http.body import Body
from busway.source.http.request_head import ParsedHead
from busway.source.refusal import internal_error, store_full, store_unavailable

Decoded: TypeAlias = DecodedEvents | RequestAnswer | RequestRefusal
"""What a source decoded from a request, validated."""
Completed: TypeAlias = AppendReceipt | RequestAnswer | RequestRefusal
"""The result of a request."""
AnyFuture: TypeAlias = asyncio.Future[AppendReceipt] | asyncio.Future[Completed]


class IntakeRequest:
    """A request and the state of its response."""

    __slots__ = (
        "appending",
        "closes_connection",
        "event_count",
        "head",
        "held_bytes",
        "received_bytes",
        "refusal",
        "response_bytes",
        "started",
        "status",
    )

    def __init__(self, head: ParsedHead | None, started: float) -> None:
        self.head = head
        self.started = started
        self.held_bytes = 0
        """Bytes of the body in memory, decompressed if it was compressed."""
        self.received_bytes = 0
        """Bytes of the body as received."""
        self.event_count = 0
        self.status = 0
        self.response_bytes: bytes | None = None
        self.refusal: RequestRefusal | None = None
        self.appending = False
        """The bus is appending the events."""
        self.closes_connection = False
        """The connection closes after the response."""


class IncompleteRequest:
    """A request whose body is incomplete."""

    __slots__ = ("body", "head", "request")

    def __init__(self, request: IntakeRequest, head: ParsedHead, body: Body) -> None:
        self.request = request
        self.head = head
        self.body = body


def append_result(future: AnyFuture) -> Completed:
    """Return the result of an append, or the refusal that its error means."""
    if future.cancelled():
        return store_unavailable("the bus has stopped; send again")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, StoreFull):
        return store_full(str(error))
    if isinstance(error, StoreError):
        return store_unavailable(str(error))
    context = {"message": "the bus failed on an append", "exception": error, "future": future}
    future.get_loop().call_exception_handler(context)
    return internal_error()
