"""Producers: each repeats a request until it is answered, as a careful client does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from crash.evidence import Sent

PRODUCERS = 5
KEYS = 11
"""Those that fail are spread over all keys: each key has some that wait behind, and go well."""
PATIENCE_S = 10.0
PAUSE_S = 0.05
LOOK_EVERY_S = 0.05
ELSEWHERE_AFTER_S = 2.0
"""How long it waits before it goes to another intake: they learn of each other within a second."""
ANSWERED_S = 180.0
"""How long it may take at most until what is sent gets a 202, whatever has been done."""


class Producer:
    """One keep-alive client, which sends one request after the other.

    It keeps to one of the ``urls``, and goes to the next one when that does not answer; any answer
    will do. ``acknowledged`` are the numbers of the events that got a 202, ``sent`` of all that it
    ever sent: a few requests are given up when their answer is lost. Its events have keys of its
    own, with ascending numbers.
    """

    def __init__(
        self, name: str, numbers: Callable[[], int], seed: str, patience_s: float, pace_s: float
    ) -> None:
        self.name = name
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()
        self.urls: Callable[[], Sequence[str]] = tuple
        self.stopping = False
        self.repeated = 0
        self.moved = 0
        self._patience_s = patience_s
        self._pace_s = pace_s
        self._numbers = numbers
        self._random = random.Random(seed)
        self._place = self._random.randrange(100)

    async def run(self) -> None:
        """Send until told to stop, and until the request in hand is answered."""
        timeout = aiohttp.ClientTimeout(total=self._patience_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.stopping:
                await self._send(session, self._request())
                await asyncio.sleep(self._random.random() * self._pace_s)

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
        urls = self.urls()
        if not urls:
            return False
        url = urls[self._place % len(urls)]
        lines = [self._event(number) for number in numbers]
        kind = "cloudevents+json" if len(lines) == 1 else "x-ndjson"
        headers = {"Content-Type": f"application/{kind}"}
        try:
            async with session.post(url, data=b"\n".join(lines), headers=headers) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            await self._move(session)
            return False
        assert answer.status in (202, 503), (answer.status, body)
        return answer.status == 202

    async def _move(self, session: aiohttp.ClientSession) -> None:
        if len(self.urls()) > 1:
            self._place += 1
            self.moved += 1
            await self._let_run(session, ELSEWHERE_AFTER_S)  # what is promised is about time

    async def _let_run(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Return when the next intake has run for so long, by the answers that it gave."""
        while seconds > 0:
            urls, began = self.urls(), time.monotonic()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                url = urls[self._place % len(urls)].removesuffix("/events") + "/readyz"
                async with session.get(url) as answer:
                    await answer.read()
            await asyncio.sleep(LOOK_EVERY_S)
            seconds -= min(time.monotonic() - began, 2 * LOOK_EVERY_S)

    def _event(self, number: int) -> bytes:
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": f"e{number}",
                "source": "/crash",
                "type": "crash.order",
                "subject": f"{self.name}-{number % KEYS}",
                "data": {"n": number, "text": "x" * 120},
            }
        )


class Producers:
    """All who send; each finishes the request in hand before it goes."""

    def __init__(self, seed: str, patience_s: float, pace_s: float) -> None:
        numbers = itertools.count()
        self.all = [
            Producer(f"p{each}", lambda: next(numbers), f"{seed}/{each}", patience_s, pace_s)
            for each in range(PRODUCERS)
        ]
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._running = [asyncio.create_task(one.run()) for one in self.all]

    def send_to(self, urls: Callable[[], Sequence[str]]) -> None:
        """Have them send to what ``urls`` returns each time: what is started again may move."""
        for one in self.all:
            one.urls = urls

    async def until_answered(self) -> None:
        """Return once one of them has got a 202 from now on."""
        await self.until_acknowledged(self.acknowledged)

    async def until_acknowledged(self, count: int) -> None:
        """Return once more than so many events have got a 202."""
        deadline = time.monotonic() + ANSWERED_S
        while self.acknowledged <= count:
            assert time.monotonic() < deadline, f"nothing is taken at {self.all[0].urls()}"
            await asyncio.sleep(LOOK_EVERY_S)

    async def finish(self) -> Sent:
        """Have them end when they are answered, and return what they sent."""
        for one in self.all:
            one.stopping = True
        async with asyncio.timeout(ANSWERED_S):
            await asyncio.gather(*self._running)
        return Sent(
            frozenset().union(*(one.acknowledged for one in self.all)),
            frozenset().union(*(one.sent for one in self.all)),
        )

    async def cancel(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def acknowledged(self) -> int:
        """How many events got a 202."""
        return sum(len(one.acknowledged) for one in self.all)

    @property
    def repeated(self) -> int:
        return sum(one.repeated for one in self.all)

    @property
    def moved(self) -> int:
        return sum(one.moved for one in self.all)


@asynccontextmanager
async def producing(
    seed: str, patience_s: float = PATIENCE_S, *, pace_s: float
) -> AsyncIterator[Producers]:
    """Run producers until they finish, or else until the end of the block.

    ``patience_s`` is how long they wait for an answer, ``pace_s`` how long they rest at most.
    """
    producers = Producers(seed, patience_s, pace_s)
    producers.start()
    try:
        yield producers
    finally:
        await producers.cancel()
