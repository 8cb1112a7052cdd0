"""Configuration of the intake: address, limits, sources and callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Literal, Protocol

import msgspec

from busway.clock import Clock, SystemClock
from busway.ports import Intake
from busway.source.http.limit import IntakeLimits
from busway.source.http.route import SourceObserver, SourceRoute, UnobservedSource

KeyRefusal = Literal["missing", "wrong"]


class RequestObserver(Protocol):
    """Observes each request when its response is sent. Called on the hot path: must be fast."""

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        """``size_bytes`` is the size of the body as received."""
        ...


class NullRequestObserver:
    """An observer that does nothing."""

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        pass


class IntakeKeys(Protocol):
    """The current keys, by the digests of their secrets."""

    intake: Collection[bytes]
    """Keys that may send events."""
    used: set[bytes]
    """Collects the keys that were used."""


def _ignore_refusal(reason: KeyRefusal, peer: str) -> None:
    pass


def _no_metrics() -> bytes:
    return b""


def _always_ready() -> str | None:
    return None


def _no_notices() -> Sequence[str]:
    return ()


class IntakeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of one intake server."""

    intake: Intake
    host: str = "127.0.0.1"
    port: int = 8400
    """0 selects a free port."""
    limits: IntakeLimits = IntakeLimits()
    metrics: Callable[[], bytes] = _no_metrics
    """Returns the response body of ``GET /metrics`` in the Prometheus text format."""
    unready_reason: Callable[[], str | None] = _always_ready
    """Returns why the intake is not ready, ``None`` if it is ready."""
    notices: Callable[[], Sequence[str]] = _no_notices
    """Returns further lines for ``GET /readyz`` while the intake is ready."""
    observer: RequestObserver = NullRequestObserver()
    accepts_events: bool = True
    """Whether the server accepts events; if not, it serves health and metrics only."""
    sources: Sequence[SourceRoute] = ()
    """The sources that receive requests."""
    unknown: SourceObserver = UnobservedSource()
    """Observes requests to unknown sources."""
    fallback: Callable[[], asyncio.Protocol] | None = None
    """Makes the protocol that takes over a connection for a path outside the intake."""
    keys: IntakeKeys | None = None
    """The keys that may send events; ``None`` if no key is required."""
    rejects_foreign_hosts: bool = False
    """Whether a browser must use a host name that no web page can bind to this address."""
    on_key_refused: Callable[[KeyRefusal, str], object] = _ignore_refusal
    """Called for each request without a valid key, with the address of the client."""
    other_url: Callable[[], str] = str
    """Returns the URL of the API if it is served elsewhere; at the API, the URL of the intake."""
    clock: Clock = SystemClock()
