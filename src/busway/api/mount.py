"""Mount an ASGI app behind the intake: connections that are not the intake's are served by it."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import Any, cast

from litestar.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

GRACE_S = 1.0


class Mount:
    """Makes a protocol for each connection, and ends them all when it is closed."""

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._state = ServerState()
        self._config = Config(
            cast(Any, app),
            http=HttpToolsProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._config.load()

    def protocol(self) -> asyncio.Protocol:
        """Return what takes over one connection."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        return HttpToolsProtocol(self._config, self._state, {})

    async def close(self, within_s: float = GRACE_S) -> None:
        """End live streams at once and let other requests finish, then close what is left."""
        self._stopping.set()
        for connection in tuple(self._state.connections):
            connection.shutdown()
        running = set(self._state.tasks)
        if running:
            _, late = await asyncio.wait(running, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in tuple(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
