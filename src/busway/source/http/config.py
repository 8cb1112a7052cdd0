"""What the intake is told: where to listen, how much to take, and whom to give it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol, Self

import msgspec

from busway.clock import Clock, SystemClock
from busway.ports import Intake
from busway.settings import Settings
from busway.source.http.route import SourceObserver, SourceRoute, UnobservedSource

KeyRefusal = Literal["missing", "wrong"]


class IntakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of anything is taken; sizes in bytes, times in seconds."""

    max_body_bytes: int = 16 * 1024 * 1024
    max_event_bytes: int = 1024 * 1024
    max_in_flight_bytes: int = 128 * 1024 * 1024
    max_in_flight_requests: int = 4096
    max_head_bytes: int = 32 * 1024
    head_timeout_s: float = 10.0
    """How long a head may take from its first byte on."""
    body_timeout_s: float = 30.0
    """How long a body may take, beside the time for its bytes at ``min_bytes_per_s``."""
    min_bytes_per_s: int = 16 * 1024
    idle_timeout_s: float = 75.0
    """How long a connection may stay open without a request."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings ask for."""
        return cls(
            max_body_bytes=settings.max_body_bytes,
            max_event_bytes=settings.max_event_bytes,
            max_in_flight_bytes=settings.max_in_flight_bytes,
            max_in_flight_requests=settings.max_in_flight_requests,
        )


class RequestObserver(Protocol):
    """Who is told of each request when its answer leaves. Called on the hot path: be quick."""

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        """``events`` were in the request, ``size_bytes`` is its body as it came."""
        ...


class NullRequestObserver:
    """The observer that does nothing."""

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        pass


class IntakeKeys(Protocol):
    """The keys as they are now, by the digests of their secrets."""

    intake: Collection[bytes]
    """Those that may send events."""
    used: set[bytes]
    """Where it is noted that one was used."""


def _ignore_refusal(reason: KeyRefusal, peer: str) -> None:
    pass


def _no_metrics() -> bytes:
    return b""


def _always_ready() -> str | None:
    return None


def _no_notices() -> Sequence[str]:
    return ()


class IntakeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How one intake server runs."""

    intake: Intake
    host: str = "127.0.0.1"
    port: int = 8400
    """0 takes a free one."""
    limits: IntakeLimits = IntakeLimits()
    metrics: Callable[[], bytes] = _no_metrics
    """Returns what ``GET /metrics`` says, in Prometheus's text format."""
    unready_reason: Callable[[], str | None] = _always_ready
    """Returns ``None`` when events can be taken, or else the reason why not."""
    notices: Callable[[], Sequence[str]] = _no_notices
    """Returns what else there is to say when events can be taken, a line each."""
    observer: RequestObserver = NullRequestObserver()
    accepts_events: bool = True
    """Whether events are taken at all; where not, only health and metrics are served."""
    sources: Sequence[SourceRoute] = ()
    """The sources that requests are handed to."""
    unknown: SourceObserver = UnobservedSource()
    """Is told of requests for a source that there is not."""
    fallback: Callable[[], asyncio.Protocol] | None = None
    """Makes the protocol that takes over a connection for a path that is not the intake's."""
    keys: IntakeKeys | None = None
    """The keys that may send events; ``None`` where no key is asked for."""
    rejects_foreign_hosts: bool = False
    """Whether a browser must call this machine by a name that no page can bind to its address."""
    on_key_refused: Callable[[KeyRefusal, str], object] = _ignore_refusal
    """Is told of each request without a valid key, and from which address it comes."""
    other_url: Callable[[], str] = str
    """Returns the URL of the API where it is elsewhere, and at the API's that of the intake."""
    clock: Clock = SystemClock()
