"""What Busway asks of a source, and what it hands to one.

A source is of one of two kinds. The intake server hands HTTP requests to a
:class:`RequestSource`; one worker at a time runs a :class:`ReaderSource` under a lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

from busway.clock import Clock
from busway.event import Event
from busway.ports.intake import AppendEnvelope, AppendReceipt

EVENTS = "events"
"""The name of the source of CloudEvents, which is there without being declared."""


def source_address(name: str) -> str:
    """Return the path at which a request source receives.

    >>> source_address("orders"), source_address("events")
    ('/in/orders', '/events')
    """
    return "/events" if name == EVENTS else f"/in/{name}"


@runtime_checkable
class Source(Protocol):
    """A declared source: a frozen record of its configuration.

    A declared source is also a :class:`RequestSource` or a :class:`ReaderSource`. One that is
    :class:`busway.ports.ValidatesConfig` is checked when the app is compiled.
    """

    @property
    def name(self) -> str:
        """Its name, unique in the app: the name in commands, metrics and the ledger."""
        ...


class RequestHead(msgspec.Struct, frozen=True):
    """The head of a request that is addressed to a source.

    ``path`` is the path below the source's address, ``""`` or beginning with ``/``; ``query`` is
    what follows the question mark, still percent-encoded. ``fields`` are the headers as they came,
    names in lower case, repeated ones included.
    """

    method: str
    path: str
    query: str
    fields: Sequence[tuple[str, bytes]]

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by lower-case name; repeated ones joined by ``", "`` (RFC 9110, 5.3)."""
        joined: dict[str, str] = {}
        for name, value in self.fields:
            text = value.decode("latin-1")
            joined[name] = f"{joined[name]}, {text}" if name in joined else text
        return joined


class SourceRequest(msgspec.Struct, frozen=True):
    """A complete request: ``body`` has no content coding any more, ``received_at`` is aware.

    No event of it may be larger than ``max_event_bytes``; the server refuses one that is.
    """

    head: RequestHead
    body: bytes
    received_at: datetime
    max_event_bytes: int


class EventFault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong with one event; ``index`` counts from 0, ``line`` (NDJSON only) from 1."""

    index: int
    reason: str
    line: int | None = None


class RequestRefusal(msgspec.Struct, frozen=True):
    """Why a request is refused: nothing of it is stored.

    The server answers with ``status`` and an RFC 9457 problem document. ``code`` names the reason
    for programs and never changes; refusals are counted by source and code, so a source has a few
    fixed ones. ``title`` is the code in words, ``detail`` says what was wrong and what to do.
    ``closes`` says that the connection cannot continue.
    """

    status: int
    code: str
    title: str
    detail: str
    faults: tuple[EventFault, ...] = ()
    more: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False

    def document(self) -> bytes:
        """Return the problem document."""
        shown: dict[str, object] = {
            "type": f"urn:busway:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            shown["errors"] = self.faults
        if self.more:
            shown["more"] = self.more
        return _encode(shown)


class RequestAnswer(msgspec.Struct, frozen=True):
    """An HTTP response."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()


class DecodedEvents(msgspec.Struct, frozen=True):
    """Events that are known to be valid: the bytes of each one's JSON format, and its envelope."""

    raws: Sequence[bytes]
    envelopes: Sequence[AppendEnvelope]


Received: TypeAlias = DecodedEvents | Sequence[Event] | RequestAnswer | RequestRefusal
"""What a source makes of a request.

``DecodedEvents``: events that the source has checked itself; the server stores them as they are.
A sequence of ``Event``: the server checks them as it checks those of ``POST /events``, and refuses
the request when one is not valid. Both are stored all or none (more than 5,000 in parts, one after
the other), and the server answers 202 when they are durable. ``RequestAnswer``: an immediate answer
without events, such as that to a webhook's challenge. ``RequestRefusal``: the request is not
accepted; it is counted by its code.
"""

Decoder: TypeAlias = Callable[[bytes], Received]


class RequestReceiver(Protocol):
    """An opened request source.

    The server has checked limits and keys, and has undone the content coding. It calls on the
    event loop's thread for a small body and on another thread for a large one, several at a time.
    So a receiver uses the CPU only: no I/O, no lock that is held for long, no state that changes.
    """

    def receive(self, request: SourceRequest) -> Received:
        """Return the events of a request, an immediate answer, or a refusal.

        It does not raise for what is in the request: an exception is a defect, answered with 500.
        Only :class:`busway.errors.EventError`, as ``Event`` raises it, refuses the request.
        The sender repeats a request whose answer it did not get. What must be stored once then
        needs an id that comes from the request.
        """
        ...


@runtime_checkable
class PreparesDecoders(Protocol):
    """A receiver whose result depends on head and body only, prepared once for equal heads."""

    def prepare(self, head: RequestHead) -> Decoder | RequestRefusal:
        """Return what decodes the bodies of requests with this head, or refuse all of them.

        Called before the body is read, and not again for the same head while the server remembers
        it. The decoder is called like :meth:`RequestReceiver.receive`, in its place.
        """
        ...


@runtime_checkable
class AnswersAccepted(Protocol):
    """A receiver that shapes the answer to a request whose events are durable."""

    def accepted(self, head: RequestHead, appended: AppendReceipt) -> RequestAnswer:
        """Return the answer; called on the event loop's thread. Its status is from 200 to 299."""
        ...


@runtime_checkable
class RequestSource(Source, Protocol):
    """A source that receives HTTP requests at ``/in/{name}``."""

    @property
    def methods(self) -> Sequence[str]:
        """The methods it receives, like ``("POST",)``; the server answers others with 405."""
        ...

    def open_receiver(self, max_event_bytes: int) -> RequestReceiver:
        """Return a receiver; called when the server starts, and when the app is reloaded.

        No I/O over a network. Raises :class:`busway.errors.SourceError` for a configuration that
        can never work.
        """
        ...


class ReaderContext(msgspec.Struct, frozen=True):
    """What a reader may use while it reads: ``clock`` tells the time and waits."""

    clock: Clock


class RecordRefusal(msgspec.Struct, frozen=True):
    """Records of which a reader makes no event: how many, and why.

    ``code`` names the reason for programs and never changes: refusals are counted by source and
    code, so a source has a few fixed ones. ``detail`` says where and what was wrong.
    """

    code: str
    detail: str
    count: int = 1


class SourceChunk(msgspec.Struct, frozen=True):
    """Events that were read together, and the position after them.

    Events may be none, when only the position moves. The same record gets the same event id each
    time it is read: derived from the source and the record's place, never random. What was read and
    is no event is ``refused``.
    """

    events: Sequence[Event]
    position: bytes
    refused: Sequence[RecordRefusal] = ()


class SourceReading(Protocol):
    """An opened reader; its methods are called one after the other, by one loop."""

    async def read(self) -> SourceChunk:
        """Wait for something to read and return it.

        The events are appended and durable before the next call, and the position is saved in the
        ledger after them, at least every second. After a crash reading continues at a position
        that was saved before: repeats are recognised by their ids. May be cancelled while it
        waits. Raises :class:`busway.errors.SourceGap` when what follows the position is lost, which
        stops the source with an alert, and :class:`busway.errors.SourceError` for what may pass:
        the source is opened again after a wait.
        """
        ...

    async def close(self) -> None:
        """Release what it holds; called once, also after an error."""
        ...


@runtime_checkable
class Acknowledges(Protocol):
    """A reading whose broker wants to know what is done with."""

    async def acknowledge(self, position: bytes) -> None:
        """Tell the broker that all up to a position is durable here; may repeat.

        Called after each chunk, before the next one is read.
        """
        ...


class SourceProgress(msgspec.Struct, frozen=True):
    """How far a reading is, as far as it knows: when the next record is due, how many wait."""

    next_at: datetime | None = None
    lag: int | None = None


@runtime_checkable
class ReportsProgress(Protocol):
    """A reading that knows how far it is behind its source."""

    def progress(self) -> SourceProgress:
        """Return how far it is; called now and then, also during ``read``, and must not wait."""
        ...


@runtime_checkable
class ReaderSource(Source, Protocol):
    """A source that one worker at a time reads from, in a loop under a lease."""

    async def open(self, context: ReaderContext, position: bytes | None) -> SourceReading:
        """Begin to read after a position, which is one of its own; ``None`` is the first time.

        Raises :class:`busway.errors.SourceGap` and :class:`busway.errors.SourceError` as
        :meth:`SourceReading.read` does.
        """
        ...


_encode = msgspec.json.Encoder().encode
