"""Routes from paths to the sources that receive their requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from busway.clock import Clock, append_time
from busway.ports import (
    EVENTS,
    AnswersAccepted,
    AppendReceipt,
    Decoder,
    PreparesDecoders,
    Received,
    RequestHead,
    RequestReceiver,
    RequestRefusal,
    SourceRequest,
    source_address,
)
from busway.source.refusal import events_off, unknown_source

BELOW = source_address("")
"""Prefix of the addresses of declared sources."""


class SourceObserver(Protocol):
    """Observes the requests of one source and says whether it is paused. On the hot path."""

    paused: str
    """The detail of the refusal while the source is paused, else empty."""

    def accepted(self, appended: AppendReceipt, at_s: float) -> None:
        """The events of a request are durable; ``at_s`` is its start in monotonic seconds."""
        ...

    def refused(self, refusal: RequestRefusal, at_s: float) -> None:
        """A request was refused."""
        ...


class UnobservedSource:
    """The observer that does nothing."""

    paused = ""

    def accepted(self, appended: AppendReceipt, at_s: float) -> None:
        pass

    def refused(self, refusal: RequestRefusal, at_s: float) -> None:
        pass


class SourceRoute(msgspec.Struct, frozen=True):
    """An opened request source at its address."""

    address: str
    receiver: RequestReceiver
    methods: Sequence[str] = ("POST",)
    observer: SourceObserver = UnobservedSource()
    shapes_answers: bool = False
    """Whether the source returns its own response once events are durable; computed only once."""

    def __post_init__(self) -> None:
        shapes = isinstance(self.receiver, AnswersAccepted)
        msgspec.structs.force_setattr(self, "shapes_answers", shapes)

    @property
    def allow(self) -> str:
        """The allowed methods as the header Allow lists them."""
        return ", ".join(dict.fromkeys((*self.methods, "OPTIONS")))


class SourceRoutes:
    """The routes of one server."""

    def __init__(self, routes: Sequence[SourceRoute], clock: Clock, max_event_bytes: int) -> None:
        self._routes = {route.address: route for route in routes}
        self._clock = clock
        self._max_event_bytes = max_event_bytes

    def find(self, path: str) -> SourceRoute | RequestRefusal:
        """Return the route of a path that :func:`is_source` accepts."""
        address = path
        if path.startswith(BELOW):
            address = BELOW + path.removeprefix(BELOW).partition("/")[0]
        route = self._routes.get(address)
        if route is None:
            return events_off() if path == source_address(EVENTS) else unknown_source(address)
        return route

    def decoder(self, route: SourceRoute, head: RequestHead) -> Decoder | RequestRefusal:
        """Return the decoder for bodies of requests with this head."""
        receiver = route.receiver
        if isinstance(receiver, PreparesDecoders):
            return receiver.prepare(head)

        def receive(body: bytes) -> Received:
            now = append_time(self._clock)
            return receiver.receive(SourceRequest(head, body, now, self._max_event_bytes))

        return receive


def is_source(path: str) -> bool:
    """Say whether a path is the address of a source, known or not."""
    return path == source_address(EVENTS) or path.startswith(BELOW)
