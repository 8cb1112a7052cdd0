"""Post events over HTTP: NDJSON in batches, single ones, and some of them twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

import aiohttp

from server import Failure

BATCH = 1_000
CONNECTIONS = 4
SINGLE_CONNECTIONS = 32
NDJSON = {"Content-Type": "application/x-ndjson"}
SINGLE = {"Content-Type": "application/cloudevents+json"}


class Post:
    """Posts to one server; ``accepted`` and ``duplicates`` are what its answers add up to."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/events"
        self.accepted = 0
        self.duplicates = 0

    async def batches(self, events: list[bytes]) -> None:
        """Post events in batches, a few at a time."""
        parts = (events[first : first + BATCH] for first in range(0, len(events), BATCH))
        bodies = (b"\n".join(part) for part in parts)
        await self._share(bodies, CONNECTIONS, lambda body: self._send(body, NDJSON))

    async def singles(self, events: list[bytes]) -> dict[bytes, tuple[float, float]]:
        """Post each event in a request of its own; return when, and when the answer came."""
        times: dict[bytes, tuple[float, float]] = {}

        async def send(event: bytes) -> None:
            began = time.perf_counter()
            await self._send(event, SINGLE)
            times[event] = began, time.perf_counter()

        await self._share(events, SINGLE_CONNECTIONS, send)
        return times

    async def _send(self, body: bytes, headers: dict[str, str]) -> None:
        async with self._session.post(self._url, data=body, headers=headers) as answer:
            if answer.status != 202:
                raise Failure(f"POST /events: {answer.status} {await answer.text()}")
            found = await answer.json()
        self.accepted += found["accepted"]
        self.duplicates += found["duplicates"]

    async def _share(
        self, bodies: Iterable[bytes], workers: int, send: Callable[[bytes], Awaitable[None]]
    ) -> None:
        shared = iter(bodies)

        async def work() -> None:
            for body in shared:
                await send(body)

        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
