"""State shared by the connections of one server: limits, requests in flight, decoding."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from busway.errors import EventError
from busway.ports import (
    AnswersAccepted,
    AppendReceipt,
    DecodedEvents,
    EventFault,
    RequestAnswer,
    RequestHead,
    RequestRefusal,
)
from busway.source.decode import read_events
from busway.source.http.config import IntakeConfig
from busway.source.http.large_body import LargeBodyReader
from busway.source.http.request import Decoded, IntakeRequest
from busway.source.http.request_head import HeadParser, ParsedHead, allowed
from busway.source.http.response import (
    accepted_response,
    encode_response,
    http_date,
    text_response,
)
from busway.source.http.route import SourceRoute, SourceRoutes
from busway.source.refusal import (
    body_too_large,
    cross_origin_page,
    draining,
    internal_error,
    invalid_events,
    missing_key,
    source_paused,
    too_many_in_flight,
)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ONE_ACCEPTED = AppendReceipt(accepted=1, duplicates=0)


class AdmittedConnection(Protocol):
    """The part of a connection that the admission uses."""

    def check_timeouts(self, now: float) -> None:
        """Time out a head, a body or an idle connection; ``now`` is monotonic."""
        ...

    def close_when_idle(self) -> None:
        """Close if no request is in flight."""
        ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class RequestAdmission:
    """Admits and decodes the requests of all connections of a server; belongs to one event loop."""

    def __init__(self, config: IntakeConfig) -> None:
        self.config = config
        self.limits = config.limits
        self._keys = config.keys
        self.head_parser = self._head_parser_for(config.sources)
        self.connections: set[AdmittedConnection] = set()
        self.draining = False
        self.in_flight_requests = 0
        """Number of requests between their head and their response."""
        self.in_flight_bytes = 0
        """Size of all bodies in memory."""
        self.no_requests = asyncio.Event()
        """Set while no request is in flight."""
        self.no_connections = asyncio.Event()
        """Set while no connection is open."""
        self.large_bodies = LargeBodyReader(self)
        self.no_requests.set()
        self.no_connections.set()
        self.tick()

    def _head_parser_for(self, sources: Sequence[SourceRoute]) -> HeadParser:
        config = self.config
        routes = SourceRoutes(sources, config.clock, config.limits.max_event_bytes)
        return HeadParser(routes, accepts_events=config.accepts_events, other_url=config.other_url)

    def change_sources(self, sources: Sequence[SourceRoute]) -> None:
        """Route requests to other sources, starting with the next parsed head."""
        self.head_parser = self._head_parser_for(sources)

    def tick(self) -> None:
        """Update the time and check timeouts; once a second is enough for both."""
        self.now = self.config.clock.monotonic()
        clock = self.config.clock
        self.date = http_date(clock.now() - clock.wall_clock_offset())
        self._accepted_one_bytes = encode_response(
            accepted_response(_ONE_ACCEPTED), self.date, None, without_body=False
        )
        for connection in tuple(self.connections):
            connection.check_timeouts(self.now)

    def add_connection(self, connection: AdmittedConnection) -> None:
        self.connections.add(connection)
        self.no_connections.clear()

    def remove_connection(self, connection: AdmittedConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.no_connections.set()

    def open_request(self) -> None:
        self.in_flight_requests += 1
        if self.in_flight_requests == 1:
            self.no_requests.clear()

    def close_request(self, size_bytes: int) -> None:
        self.in_flight_requests -= 1
        self.in_flight_bytes -= size_bytes
        if not self.in_flight_requests:
            self.no_requests.set()

    def refusal_for(self, head: ParsedHead) -> RequestRefusal | None:
        """Return why a request is refused, judging by its head; ``None`` to admit it."""
        limits, length = self.limits, head.length or 0
        if length > limits.max_body_bytes:
            return body_too_large(limits.max_body_bytes)
        if head.route != "source":
            return None
        if self.draining:
            return draining()
        if self._keys is not None or head.by_foreign_host:
            refusal = self._sender_refusal(head)
            if refusal is not None:
                return refusal
        return self._overload_refusal(length) or _paused_refusal(head)

    def _overload_refusal(self, length: int) -> RequestRefusal | None:
        limits = self.limits
        full = self.in_flight_bytes and self.in_flight_bytes + length > limits.max_in_flight_bytes
        if full or self.in_flight_requests > limits.max_in_flight_requests:
            return too_many_in_flight("bytes" if full else "requests")
        return None

    def _sender_refusal(self, head: ParsedHead) -> RequestRefusal | None:
        """Return why the sender may not send events; ``None`` if it may."""
        keys = self._keys
        if keys is None:
            is_rebound = head.by_foreign_host and self.config.rejects_foreign_hosts
            return cross_origin_page() if is_rebound else None
        if head.decode is None:
            return None
        if head.credential not in keys.intake:
            return missing_key()
        keys.used.add(head.credential)
        return None

    def is_over_limit(self, size_bytes: int) -> bool:
        """Say whether bodies in memory exceed the limit; one body alone may exceed it."""
        return self.in_flight_bytes > max(self.limits.max_in_flight_bytes, size_bytes)

    def decode(self, head: ParsedHead, body: bytes) -> Decoded:
        """Return what the source decodes from a body; its content encoding is already removed."""
        if head.decode is None:
            return RequestAnswer(204)
        try:
            received = head.decode(body)
        except EventError as error:
            return invalid_events([EventFault(0, str(error))], 1)
        if isinstance(received, DecodedEvents | RequestRefusal | RequestAnswer):
            return received
        return read_events(received, self.limits.max_event_bytes)

    def decode_here(self, head: ParsedHead, body: bytes) -> Decoded:
        """Decode on the event loop; report an exception of the source and refuse the request."""
        try:
            return self.decode(head, body)
        except Exception as error:
            _report(head, error)
            return internal_error()

    def count_refusal(self, request: IntakeRequest, refusal: RequestRefusal) -> None:
        """Count a refused request for its source, or as one to an unknown source."""
        head = request.head
        if head is None or head.route != "source":
            return
        observer = self.config.unknown if head.source is None else head.source.observer
        observer.refused(refusal, request.started)

    def source_response(self, head: ParsedHead, appended: AppendReceipt) -> RequestAnswer:
        """Return the source's own response to events that are durable."""
        receiver = cast(AnswersAccepted, cast(SourceRoute, head.source).receiver)
        try:
            return receiver.accepted(cast(RequestHead, head.request), appended)
        except Exception as error:
            _report(head, error)
            return accepted_response(appended)

    def accepted_bytes(self, appended: AppendReceipt) -> bytes:
        """Return the response to events that are durable, for a connection that stays open."""
        if appended.accepted == 1 and not appended.duplicates:
            return self._accepted_one_bytes
        return encode_response(accepted_response(appended), self.date, None, without_body=False)

    def answer_route(self, head: ParsedHead) -> RequestAnswer:
        """Return the response to a request that carries no events."""
        if head.method == "OPTIONS":
            return RequestAnswer(204, headers=(("allow", allowed(head)),))
        if head.route == "healthz":
            return text_response(200, b"ok\n")
        if head.route == "metrics":
            return text_response(200, self.config.metrics(), METRICS_TYPE)
        reason = "stopping" if self.draining else self.config.unready_reason()
        if reason is not None:
            return text_response(503, f"{reason}\n".encode())
        return text_response(
            200, "".join(f"{line}\n" for line in ("ready", *self.config.notices())).encode()
        )


def _paused_refusal(head: ParsedHead) -> RequestRefusal | None:
    reason = "" if head.source is None else head.source.observer.paused
    return source_paused(reason) if reason else None


def _report(head: ParsedHead, error: Exception) -> None:
    context = {"message": f"the source at {head.path} failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
