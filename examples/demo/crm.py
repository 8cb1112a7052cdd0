"""The CRM: a real HTTP server that the demo takes down and brings back."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

from aiohttp import web


class Crm:
    """Takes orders by POST; remembers how often it got each, and under which keys."""

    def __init__(self, part: int) -> None:
        self.orders: Counter[int] = Counter()
        self.keys: dict[int, set[str]] = {}
        self._keeper = _kept_port()
        self.port: int = self._keeper.getsockname()[1]
        self.up = False
        self._runner: web.AppRunner | None = None
        self._part = part
        self.part_done = asyncio.Event()
        """Set once it has that many orders: then it takes no more until it is started again."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orders"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_post("/orders", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_port=True).start()
        self.up = True

    async def stop(self) -> None:
        """Close every connection and refuse new ones."""
        self.up = False
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        if not self.up:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        order = (await request.json())["order"]
        self.orders[order] += 1
        self.keys.setdefault(order, set()).add(request.headers["Idempotency-Key"])
        if len(self.orders) >= self._part and not self.part_done.is_set():
            self.up = False
            self.part_done.set()
        return web.Response(status=204)


def _kept_port() -> socket.socket:
    """Return a socket that keeps a port from others also while nothing listens on it."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper
