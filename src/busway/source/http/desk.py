"""What the connections of one server share: limits, what is in flight, and how bodies are read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from busway.ports import (
    AnswersAccepted,
    Appended,
    DecodedEvents,
    RequestAnswer,
    RequestHead,
    RequestRefusal,
)
from busway.source.http.answer import accepted, http_date, text, to_bytes
from busway.source.http.config import IntakeConfig
from busway.source.http.exchange import Decoded, Exchange
from busway.source.http.head import Head, Heads, allowed
from busway.source.http.large import Large
from busway.source.http.parcel import read_events
from busway.source.http.problem import (
    body_too_large,
    draining,
    failed,
    foreign_page,
    no_key,
    source_paused,
    too_busy,
)
from busway.source.http.route import SourceRoute, SourceRoutes

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ONE = Appended(accepted=1, duplicates=0)


class Guest(Protocol):
    """A connection, as the desk sees it."""

    def check(self, now: float) -> None:
        """Give up what has taken too long; ``now`` is monotonic."""
        ...

    def retire(self) -> None:
        """Close when there is nothing in flight."""
        ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Desk:
    """Shared by all connections of a server; lives on one event loop."""

    def __init__(self, config: IntakeConfig) -> None:
        self.config = config
        self.limits = config.limits
        self._keys = config.keys
        self.heads = self._heads_for(config.sources)
        self.guests: set[Guest] = set()
        self.draining = False
        self.requests = 0
        """Requests in flight: from their head to their answer."""
        self.held_bytes = 0
        """Bodies in flight."""
        self.quiet = asyncio.Event()
        """Set while no request is in flight."""
        self.empty = asyncio.Event()
        """Set while there is no connection."""
        self.large = Large(self)
        self.quiet.set()
        self.empty.set()
        self.tick()

    def _heads_for(self, sources: Sequence[SourceRoute]) -> Heads:
        config = self.config
        routes = SourceRoutes(sources, config.clock, config.limits.max_event_bytes)
        return Heads(routes, takes_events=config.takes_events, other=config.other)

    def change_sources(self, sources: Sequence[SourceRoute]) -> None:
        """Hand requests whose head comes from now on to other sources."""
        self.heads = self._heads_for(sources)

    def tick(self) -> None:
        """Take the time: once a second is enough for dates and timeouts."""
        self.now = self.config.clock.monotonic()
        clock = self.config.clock
        self.date = http_date(clock.now() - clock.ahead())
        self._accepted_one = to_bytes(accepted(_ONE), self.date, None, silent=False)
        for guest in tuple(self.guests):
            guest.check(self.now)

    def enter(self, guest: Guest) -> None:
        self.guests.add(guest)
        self.empty.clear()

    def leave(self, guest: Guest) -> None:
        self.guests.discard(guest)
        if not self.guests:
            self.empty.set()

    def open_request(self) -> None:
        self.requests += 1
        if self.requests == 1:
            self.quiet.clear()

    def close_request(self, size_bytes: int) -> None:
        self.requests -= 1
        self.held_bytes -= size_bytes
        if not self.requests:
            self.quiet.set()

    def refusal_for(self, head: Head) -> RequestRefusal | None:
        """Say why a request cannot be taken now, as far as its head tells."""
        limits, length = self.limits, head.length or 0
        if length > limits.max_body_bytes:
            return body_too_large(limits.max_body_bytes)
        if head.route != "source":
            return None
        if self.draining:
            return draining()
        if self._keys is not None or head.by_foreign_name:
            stranger = self._stranger(head)
            if stranger is not None:
                return stranger
        return self._too_much(length) or _paused(head)

    def _too_much(self, length: int) -> RequestRefusal | None:
        limits = self.limits
        full = self.held_bytes and self.held_bytes + length > limits.max_in_flight_bytes
        if full or self.requests > limits.max_in_flight_requests:
            return too_busy("bytes" if full else "requests")
        return None

    def _stranger(self, head: Head) -> RequestRefusal | None:
        """Say why whoever sends events may not."""
        keys = self._keys
        if keys is None:
            rebound = head.by_foreign_name and self.config.own_names_only
            return foreign_page() if rebound else None
        if head.decode is None:
            return None
        if head.credential not in keys.intake:
            return no_key()
        keys.used.add(head.credential)
        return None

    def crowded(self, size_bytes: int) -> bool:
        """Say whether more is held than may be, not for one body's sake alone."""
        return self.held_bytes > max(self.limits.max_in_flight_bytes, size_bytes)

    def decode(self, head: Head, body: bytes) -> Decoded:
        """Return what the source makes of a body, which is not coded any more."""
        if head.decode is None:
            return RequestAnswer(204)
        received = head.decode(body)
        if isinstance(received, DecodedEvents | RequestRefusal | RequestAnswer):
            return received
        return read_events(received, self.limits.max_event_bytes)

    def decode_here(self, head: Head, body: bytes) -> Decoded:
        """Decode on the event loop's thread; what the source raises is reported, and refused."""
        try:
            return self.decode(head, body)
        except Exception as error:
            _report(head, error)
            return failed()

    def count_refusal(self, exchange: Exchange, refusal: RequestRefusal) -> None:
        """Count a refused request for its source, or for an unknown one."""
        head = exchange.head
        if head is None or head.route != "source":
            return
        observer = self.config.unknown if head.source is None else head.source.observer
        observer.refused(refusal, exchange.started)

    def shaped(self, head: Head, appended: Appended) -> RequestAnswer:
        """Return the source's own answer to events that are durable."""
        receiver = cast(AnswersAccepted, cast(SourceRoute, head.source).receiver)
        try:
            return receiver.accepted(cast(RequestHead, head.request), appended)
        except Exception as error:
            _report(head, error)
            return accepted(appended)

    def accepted(self, appended: Appended) -> bytes:
        """Return the answer to events that are durable, on a connection that goes on."""
        if appended.accepted == 1 and not appended.duplicates:
            return self._accepted_one
        return to_bytes(accepted(appended), self.date, None, silent=False)

    def report(self, head: Head) -> RequestAnswer:
        """RequestAnswer what is not about events."""
        if head.method == "OPTIONS":
            return RequestAnswer(204, headers=(("allow", allowed(head)),))
        if head.route == "healthz":
            return text(200, b"ok\n")
        if head.route == "metrics":
            return text(200, self.config.metrics(), METRICS_TYPE)
        reason = "stopping" if self.draining else self.config.ready()
        if reason is not None:
            return text(503, f"{reason}\n".encode())
        return text(
            200, "".join(f"{line}\n" for line in ("ready", *self.config.remarks())).encode()
        )


def _paused(head: Head) -> RequestRefusal | None:
    reason = "" if head.source is None else head.source.observer.paused
    return source_paused(reason) if reason else None


def _report(head: Head, error: Exception) -> None:
    context = {"message": f"the source at {head.path} failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
