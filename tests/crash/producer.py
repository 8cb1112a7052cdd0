"""Producers: each repeats a request until it is answered, as a careful client does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import aiohttp
import msgspec

PAUSE_S = 0.05
PACE_S = 0.05


class Producer:
    """One keep-alive client, which sends one request after the other.

    ``acknowledged`` are the numbers of the events that got a 202, ``sent`` of all that it ever
    sent: a few requests are given up when their answer is lost. Its events have keys of its own,
    with ascending numbers.
    """

    def __init__(self, name: str, numbers: Callable[[], int], seed: str) -> None:
        self.name = name
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()
        self.url: str | None = None
        self.stopping = False
        self.repeated = 0
        self._numbers = numbers
        self._random = random.Random(seed)

    async def run(self) -> None:
        """Send until told to stop, and until the request in hand is answered."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.stopping:
                await self._send(session, self._request())
                await asyncio.sleep(self._random.random() * PACE_S)

    def _request(self) -> list[int]:
        count = 1 if self._random.random() < 0.7 else self._random.randint(2, 60)
        return [self._numbers() for _ in range(count)]

    async def _send(self, session: aiohttp.ClientSession, numbers: list[int]) -> None:
        self.sent.update(numbers)
        again = self._random.random() < 0.03
        while not await self._posted(session, numbers):
            if self._random.random() < 0.002:
                return
            await asyncio.sleep(PAUSE_S)
            self.repeated += 1
        self.acknowledged.update(numbers)
        if again:
            await self._posted(session, numbers)

    async def _posted(self, session: aiohttp.ClientSession, numbers: list[int]) -> bool:
        if self.url is None:
            return False
        lines = [self._event(number) for number in numbers]
        kind = "cloudevents+json" if len(lines) == 1 else "x-ndjson"
        headers = {"Content-Type": f"application/{kind}"}
        try:
            async with session.post(self.url, data=b"\n".join(lines), headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            return False
        assert answer.status in (202, 503), (answer.status, body)
        return answer.status == 202

    def _event(self, number: int) -> bytes:
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": f"e{number}",
                "source": "/crash",
                "type": "crash.order",
                "subject": f"{self.name}-{number % 3}",
                "data": {"n": number, "text": "x" * 120},
            }
        )
