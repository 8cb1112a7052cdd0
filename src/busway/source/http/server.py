"""The intake server: listens, drains and closes without losing a request."""

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
    """Accepts events over HTTP and appends them to the bus (see ``docs/intake.md``).

    Runs on the event loop that starts it; uvloop is faster.
    """

    def __init__(self, config: IntakeConfig) -> None:
        self._config = config
        self._admission: RequestAdmission | None = None
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> int:
        """Listen and return the port."""
        loop = asyncio.get_running_loop()
        admission = self._admission = RequestAdmission(self._config)
        self._server = await loop.create_server(
            lambda: Connection(admission), self._config.host, self._config.port, backlog=_BACKLOG
        )
        self._tick(loop, admission)
        return int(self._server.sockets[0].getsockname()[1])

    def change_sources(self, sources: Sequence[SourceRoute]) -> None:
        """Route new requests to other sources; requests in flight complete."""
        self._config = msgspec.structs.replace(self._config, sources=sources)
        if self._admission is not None:
            self._admission.change_sources(sources)

    async def drain(self) -> None:
        """Accept no new connection or event; return when no request is in flight.

        A request on an open connection gets 503 meanwhile, and the connection closes. The caller
        limits the time with ``asyncio.timeout``.
        """
        if self._admission is None or self._server is None:
            return
        self._admission.draining = True
        self._server.close()
        for connection in tuple(self._admission.connections):
            connection.close_when_idle()
        await self._admission.no_requests.wait()

    async def close(self) -> None:
        """Close all connections at once, including those with requests in flight."""
        if self._admission is None or self._server is None:
            return
        self._admission.draining = True
        self._server.close()
        for connection in tuple(self._admission.connections):
            connection.close()
        try:
            await asyncio.wait_for(self._admission.no_connections.wait(), _CLOSE_GRACE_S)
        except TimeoutError:
            for connection in tuple(self._admission.connections):
                connection.abort()
            await self._admission.no_connections.wait()
        self._admission.large_bodies.close()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, loop: asyncio.AbstractEventLoop, admission: RequestAdmission) -> None:
        limits = admission.limits
        shortest = min(limits.head_timeout_s, limits.body_timeout_s, limits.idle_timeout_s)
        admission.tick()
        self._timer = loop.call_later(min(1.0, shortest / 4), self._tick, loop, admission)
