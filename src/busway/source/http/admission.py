"""What the connections of one server share: limits, what is in flight, and how bodies are read."""

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
from busway.source.problem import (
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
    """A connection, as the desk sees it."""

    def check_timeouts(self, now: float) -> None:
        """Give up what has taken too long; ``now`` is monotonic."""
        ...

    def close_when_idle(self) -> None:
        """Close when there is nothing in flight."""
        ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class RequestAdmission:
    """Shared by all connections of a server; lives on one event loop."""

    def __init__(self, config: IntakeConfig) -> None:
        self.config = config
        self.limits = config.limits
        self._keys = config.keys
        self.head_parser = self._heads_for(config.sources)
        self.connections: set[AdmittedConnection] = set()
        self.draining = False
        self.in_flight_requests = 0
        """Requests in flight: from their head to their answer."""
        self.in_flight_bytes = 0
        """Bodies in flight."""
        self.no_requests = asyncio.Event()
        """Set while no request is in flight."""
        self.no_connections = asyncio.Event()
        """Set while there is no connection."""
        self.large_bodies = LargeBodyReader(self)
        self.no_requests.set()
        self.no_connections.set()
        self.tick()

    def _heads_for(self, sources: Sequence[SourceRoute]) -> HeadParser:
        config = self.config
        routes = SourceRoutes(sources, config.clock, config.limits.max_event_bytes)
        return HeadParser(routes, accepts_events=config.accepts_events, other_url=config.other_url)

    def change_sources(self, sources: Sequence[SourceRoute]) -> None:
        """Hand requests whose head comes from now on to other sources."""
        self.head_parser = self._heads_for(sources)

    def tick(self) -> None:
        """Take the time: once a second is enough for dates and timeouts."""
        self.now = self.config.clock.monotonic()
        clock = self.config.clock
        self.date = http_date(clock.now() - clock.wall_clock_offset())
        self._accepted_one_bytes = encode_response(
            accepted_response(_ONE_ACCEPTED), self.date, None, without_body=False
        )
        for guest in tuple(self.connections):
            guest.check_timeouts(self.now)

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
        """Say why a request cannot be taken now, as far as its head tells."""
        limits, length = self.limits, head.length or 0
        if length > limits.max_body_bytes:
            return body_too_large(limits.max_body_bytes)
        if head.route != "source":
            return None
        if self.draining:
            return draining()
        if self._keys is not None or head.by_foreign_host:
            stranger = self._sender_refusal(head)
            if stranger is not None:
                return stranger
        return self._too_much(length) or _paused(head)

    def _too_much(self, length: int) -> RequestRefusal | None:
        limits = self.limits
        full = self.in_flight_bytes and self.in_flight_bytes + length > limits.max_in_flight_bytes
        if full or self.in_flight_requests > limits.max_in_flight_requests:
            return too_many_in_flight("bytes" if full else "requests")
        return None

    def _sender_refusal(self, head: ParsedHead) -> RequestRefusal | None:
        """Say why whoever sends events may not."""
        keys = self._keys
        if keys is None:
            rebound = head.by_foreign_host and self.config.rejects_foreign_hosts
            return cross_origin_page() if rebound else None
        if head.decode is None:
            return None
        if head.credential not in keys.intake:
            return missing_key()
        keys.used.add(head.credential)
        return None

    def is_over_limit(self, size_bytes: int) -> bool:
        """Say whether more is held than may be, not for one body's sake alone."""
        return self.in_flight_bytes > max(self.limits.max_in_flight_bytes, size_bytes)

    def decode(self, head: ParsedHead, body: bytes) -> Decoded:
        """Return what the source makes of a body, which is not coded any more."""
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
        """Decode on the event loop's thread; what the source raises is reported, and refused."""
        try:
            return self.decode(head, body)
        except Exception as error:
            _report(head, error)
            return internal_error()

    def count_refusal(self, exchange: IntakeRequest, refusal: RequestRefusal) -> None:
        """Count a refused request for its source, or for an unknown one."""
        head = exchange.head
        if head is None or head.route != "source":
            return
        observer = self.config.unknown if head.source is None else head.source.observer
        observer.refused(refusal, exchange.started)

    def shaped(self, head: ParsedHead, appended: AppendReceipt) -> RequestAnswer:
        """Return the source's own answer to events that are durable."""
        receiver = cast(AnswersAccepted, cast(SourceRoute, head.source).receiver)
        try:
            return receiver.accepted(cast(RequestHead, head.request), appended)
        except Exception as error:
            _report(head, error)
            return accepted_response(appended)

    def accepted_bytes(self, appended: AppendReceipt) -> bytes:
        """Return the answer to events that are durable, on a connection that goes on."""
        if appended.accepted == 1 and not appended.duplicates:
            return self._accepted_one_bytes
        return encode_response(accepted_response(appended), self.date, None, without_body=False)

    def answer_route(self, head: ParsedHead) -> RequestAnswer:
        """RequestAnswer what is not about events."""
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


def _paused(head: ParsedHead) -> RequestRefusal | None:
    reason = "" if head.source is None else head.source.observer.paused
    return source_paused(reason) if reason else None


def _report(head: ParsedHead, error: Exception) -> None:
    context = {"message": f"the source at {head.path} failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
