"""The CRM: a real HTTP server that the demo takes down and brings back."""

from __future__ import annotations

import asyncio
from collections import Counter

from aiohttp import web


class Crm:
    """Takes orders by POST; remembers how often it got each, and under which keys."""

    def __init__(self, half: int) -> None:
        self.orders: Counter[int] = Counter()
        self.keys: dict[int, set[str]] = {}
        self.port = 0
        self.up = False
        self._runner: web.AppRunner | None = None
        self._half = half
        self.half_done = asyncio.Event()
        """Set once it has that many orders."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orders"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application()
        app.router.add_post("/orders", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.up = True

    async def stop(self) -> None:
        """Close every connection and refuse new ones."""
        self.up = False
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        order = (await request.json())["order"]
        self.orders[order] += 1
        self.keys.setdefault(order, set()).add(request.headers["Idempotency-Key"])
        if len(self.orders) >= self._half:
            self.half_done.set()
        return web.Response(status=204)
