"""Serve an ASGI app on connections that the intake hands over."""

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
    """Creates a protocol for each connection, and ends all of them when it is closed."""

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
        """Return a protocol that takes over one connection."""
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        return HttpToolsProtocol(self._config, self._state, {})

    async def close(self, within_s: float = GRACE_S) -> None:
        """End live streams at once, wait for other requests, then close all connections."""
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
