"""The intake server: listens, and stops without losing a request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from busway.source.http.admission import RequestAdmission
from busway.source.http.config import IntakeConfig
from busway.source.http.connection import Connection
from busway.source.http.route import SourceRoute

_BACKLOG = 1024
_CLOSE_GRACE_S = 1.0


class IntakeServer:
    """Takes events over HTTP and gives them to the bus (see ``docs/intake.md``).

    Runs on the event loop on which it is started, uvloop for speed.
    """

    def __init__(self, config: IntakeConfig) -> None:
        self._config = config
        self._admission: RequestAdmission | None = None
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        desk = self._admission = RequestAdmission(self._config)
        self._server = await loop.create_server(
            lambda: Connection(desk), self._config.host, self._config.port, backlog=_BACKLOG
        )
        self._tick(loop, desk)
        return int(self._server.sockets[0].getsockname()[1])

    def change_sources(self, sources: Sequence[SourceRoute]) -> None:
        """Hand requests to other sources from now on; what is in flight is finished."""
        self._config = msgspec.structs.replace(self._config, sources=sources)
        if self._admission is not None:
            self._admission.change_sources(sources)

    async def drain(self) -> None:
        """Take no new connection and no new event; return when no request is in flight.

        A request that comes meanwhile on an open connection gets 503, and the connection closes.
        How long it may take is the caller's: wrap it in ``asyncio.timeout``.
        """
        if self._admission is None or self._server is None:
            return
        self._admission.draining = True
        self._server.close()
        for guest in tuple(self._admission.connections):
            guest.close_when_idle()
        await self._admission.no_requests.wait()

    async def close(self) -> None:
        """Close every connection at once, with whatever is in flight on it."""
        if self._admission is None or self._server is None:
            return
        self._admission.draining = True
        self._server.close()
        for guest in tuple(self._admission.connections):
            guest.close()
        try:
            await asyncio.wait_for(self._admission.no_connections.wait(), _CLOSE_GRACE_S)
        except TimeoutError:
            for guest in tuple(self._admission.connections):
                guest.abort()
            await self._admission.no_connections.wait()
        self._admission.large_bodies.close()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, admission: RequestAdmission) -> None:
        limits = admission.limits
        shortest = min(limits.head_timeout_s, limits.body_timeout_s, limits.idle_timeout_s)
        admission.tick()
        self._timer = loop.call_later(min(1.0, shortest / 4), self._tick, loop, admission)
