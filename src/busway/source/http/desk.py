"""What the connections of one server share: limits, what is in flight, and how bodies are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from busway.ports import Appended, RequestAnswer, RequestRefusal
from busway.source.http.answer import accepted, http_date, text, to_bytes
from busway.source.http.binary import read_binary
from busway.source.http.config import IntakeConfig
from busway.source.http.head import ALLOWED, Head, Heads
from busway.source.http.large import Large
from busway.source.http.parcel import Parcel, read_batch, read_either, read_lines, read_one
from busway.source.http.problem import body_too_large, draining, foreign_page, no_key, too_busy

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ONE = Appended(accepted=1, duplicates=0)
_READERS: dict[str, Callable[[bytes, int], Parcel | RequestRefusal]] = {
    "one": read_one,
    "batch": read_batch,
    "lines": read_lines,
    "either": read_either,
}


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
        self.heads = Heads(takes_events=config.takes_events, other=config.other)
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
        if head.route != "events":
            return None
        if self.draining:
            return draining()
        if self._keys is not None or head.by_foreign_name:
            stranger = self._stranger(head)
            if stranger is not None:
                return stranger
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
        if head.method != "POST":
            return None
        if head.credential not in keys.intake:
            return no_key()
        keys.used.add(head.credential)
        return None

    def crowded(self, size_bytes: int) -> bool:
        """Say whether more is held than may be, not for one body's sake alone."""
        return self.held_bytes > max(self.limits.max_in_flight_bytes, size_bytes)

    def parcel(self, head: Head, body: bytes) -> Parcel | RequestRefusal:
        """Read the events of a body, which is not coded any more."""
        limit = self.limits.max_event_bytes
        if head.mode == "binary":
            return read_binary(head.attributes, head.content_type, body, limit)
        return _READERS[head.mode](body, limit)

    def accepted(self, appended: Appended) -> bytes:
        """Return the answer to events that are durable, on a connection that goes on."""
        if appended.accepted == 1 and not appended.duplicates:
            return self._accepted_one
        return to_bytes(accepted(appended), self.date, None, silent=False)

    def report(self, head: Head) -> RequestAnswer:
        """RequestAnswer what is not about events."""
        if head.method == "OPTIONS":
            return RequestAnswer(204, headers=(("allow", ALLOWED[head.route]),))
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
