"""One request on its way from its head to its answer."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

from busway.errors import StoreError, StoreFull
from busway.ports import Appended, DecodedEvents, RequestAnswer, RequestRefusal
from busway.source.http.body import Body
from busway.source.http.head import Head
from busway.source.http.problem import failed, store_failing, store_full

Decoded: TypeAlias = DecodedEvents | RequestAnswer | RequestRefusal
"""What a source made of a request, checked."""
Completed: TypeAlias = Appended | RequestAnswer | RequestRefusal
"""What became of a request."""
AnyFuture: TypeAlias = asyncio.Future[Appended] | asyncio.Future[Completed]


class Exchange:
    """A request, and what is known of its answer so far."""

    __slots__ = (
        "appending",
        "closes",
        "events",
        "head",
        "output",
        "received",
        "refusal",
        "size",
        "started",
        "status",
    )

    def __init__(self, head: Head | None, started: float) -> None:
        self.head = head
        self.started = started
        self.size = 0
        """Bytes of the body that are held."""
        self.received = 0
        """Bytes of the body as it came."""
        self.events = 0
        self.status = 0
        self.output: bytes | None = None
        self.refusal: RequestRefusal | None = None
        self.appending = False
        """The bus has its events."""
        self.closes = False
        """The connection ends after its answer."""


class Receiving:
    """A request whose body is still coming."""

    __slots__ = ("body", "exchange", "head")

    def __init__(self, exchange: Exchange, head: Head, body: Body) -> None:
        self.exchange = exchange
        self.head = head
        self.body = body


def outcome(future: AnyFuture) -> Completed:
    """Return what the bus says of events that it was given."""
    if future.cancelled():
        return store_failing("the bus has stopped; send again")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, StoreFull):
        return store_full(str(error))
    if isinstance(error, StoreError):
        return store_failing(str(error))
    context = {"message": "the bus failed on an append", "exception": error, "future": future}
    future.get_loop().call_exception_handler(context)
    return failed()
