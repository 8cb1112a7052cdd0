"""Look through the log from its end to its beginning, page by page, whatever it holds.

Pages are small, and what is in them is looked at in a thread: a search through a million events is
not felt by those who come in meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from busway.ports import Batch, Log

Test = Callable[[bytes], bool]
_READ_BYTES = 256 * 1024
_PAGE_BYTES = 2 * 1024 * 1024
_FIRST_EVENTS = 64
_MOST_EVENTS = 20_000
_LOOK_S = 1.0
"""After how long a look at one page ends, wherever it is then."""


class Wanted(msgspec.Struct, frozen=True):
    """What is looked for: a quick test and an exact one of the bytes of an event.

    ``near`` is asked about the bytes of many events together as well; it may say yes to anything,
    and no only where none of them is wanted.
    """

    near: Test
    exact: Test

    def in_any(self, events: Sequence[bytes]) -> bool:
        """Say quickly whether one of them may be wanted."""
        return len(events) == 1 or self.near(b"".join(events))


class Sighting(msgspec.Struct, frozen=True):
    """An event in the log: where it is, when it was appended, and its bytes."""

    partition: int
    offset: int
    came_at: datetime
    raw: bytes


class Stretch(msgspec.Struct, frozen=True):
    """The offsets of a partition from ``first`` up to ``end``."""

    partition: int
    first: int
    end: int


class Backward:
    """Goes back through one stretch; what it found waits in ``found``, the newest last.

    ``end`` is how far back it is, ``oldest`` when the oldest batch was appended that it has seen.
    """

    def __init__(self, log: Log, stretch: Stretch, wanted: Wanted) -> None:
        self.stretch = stretch
        self.end = stretch.end
        self.oldest: datetime | None = None
        self.found: list[Sighting] = []
        self.looked = 0
        self._log = log
        self._wanted = wanted
        self._events = _FIRST_EVENTS

    @property
    def done(self) -> bool:
        return self.end <= self.stretch.first

    @property
    def resumes_at(self) -> int:
        """Where a later look goes on when what is in ``found`` was not taken."""
        return self.found[-1].offset + 1 if self.found else self.end

    async def step(self) -> None:
        """Look at one page more."""
        start = max(self.stretch.first, self.end - self._events)
        page = await self._page(start)
        if not page:
            await self._pass(start)
            return
        first = max(self.stretch.first, page[0].offset)
        found, reached, oldest = await asyncio.to_thread(
            _matching, page, (first, self.end), self._wanted
        )
        self.found = found + self.found
        self.looked += self.end - reached
        self.oldest = oldest
        self._adapt(page)
        self.end = reached if reached > first else min(start, first)

    async def _pass(self, start: int) -> None:
        """Pass a page without anything: a hole, or what was trimmed meanwhile with all before."""
        base, _ = await self._log.bounds(self.stretch.partition)
        self.end = start if base < start else self.stretch.first
        self._events = min(2 * self._events, _MOST_EVENTS)

    async def _page(self, start: int) -> list[Batch]:
        page: list[Batch] = []
        at = start
        while at < self.end:
            read = await self._log.read(self.stretch.partition, at, _READ_BYTES)
            if not read:
                break
            page += [batch for batch in read if batch.offset < self.end]
            at = read[-1].end
            await asyncio.sleep(0)
        return page

    def _adapt(self, page: Sequence[Batch]) -> None:
        """Let the next page be about as large as a page should be."""
        count = sum(len(batch.events) for batch in page)
        size = sum(len(raw) for batch in page for raw in batch.events[:4])
        looked = sum(len(batch.events[:4]) for batch in page)
        likely = _PAGE_BYTES * looked // max(size, 1)
        self._events = max(1, min(likely, 4 * count, _MOST_EVENTS))


def _matching(
    page: Sequence[Batch], bounds: tuple[int, int], wanted: Wanted, within_s: float = _LOOK_S
) -> tuple[list[Sighting], int, datetime]:
    """Return what is wanted of a page, the newest last, and how far back the look came.

    It ends after ``within_s`` seconds, and one event at least: the test may be slow.
    """
    first, end = bounds
    found: list[Sighting] = []
    ends_at = time.monotonic() + within_s
    for batch in reversed(page):
        indexes = range(max(first - batch.offset, 0), min(end - batch.offset, len(batch.events)))
        for index in reversed(indexes) if wanted.in_any(batch.events) else ():
            raw, offset = batch.events[index], batch.offset + index
            if wanted.near(raw) and wanted.exact(raw):
                found.append(Sighting(batch.partition, offset, batch.appended_at, raw))
            if time.monotonic() > ends_at:
                return found[::-1], offset, batch.appended_at
    return found[::-1], first, page[0].appended_at


class Scan:
    """Goes back through several stretches at once, so that the newest is found first."""

    def __init__(self, log: Log, stretches: Sequence[Stretch], wanted: Wanted) -> None:
        self._ways = [Backward(log, one, wanted) for one in stretches]

    @property
    def looked(self) -> int:
        """How many events it has looked at."""
        return sum(way.looked for way in self._ways)

    @property
    def done(self) -> bool:
        """Whether there is nothing more."""
        return all(way.done and not way.found for way in self._ways)

    @property
    def may_pause(self) -> bool:
        """Whether it came forward: what is found for sure needs a look at every way."""
        return all(way.done or way.oldest is not None for way in self._ways)

    @property
    def back_to(self) -> datetime | None:
        """What came after this has been looked at, ``None`` for all of it, or nothing yet."""
        seen = [way.oldest for way in self._ways if not way.done]
        return max((at for at in seen if at is not None), default=None)

    def rest(self) -> list[Stretch]:
        """Return what was not looked at, or not taken: where a later scan goes on."""
        return [
            Stretch(way.stretch.partition, way.stretch.first, way.resumes_at) for way in self._ways
        ]

    async def step(self) -> list[Sighting]:
        """Look at one page more and return what is found for sure, the newest first."""
        open_ways = [way for way in self._ways if not way.done]
        if open_ways:
            await max(open_ways, key=_reach).step()
        return self._sure()

    def _sure(self) -> list[Sighting]:
        """Take what is newer than all that is not looked at yet."""
        limits = [way.oldest for way in self._ways if not way.done]
        if None in limits:
            return []
        limit = max((at for at in limits if at is not None), default=None)
        sure: list[Sighting] = []
        for way in self._ways:
            while way.found and (limit is None or way.found[-1].came_at >= limit):
                sure.append(way.found.pop())
        sure.sort(key=lambda one: (one.came_at, one.partition, one.offset), reverse=True)
        return sure


def _reach(way: Backward) -> tuple[bool, datetime | None]:
    """Order the ways by which one has the newest to look at: first those not looked at yet."""
    return (way.oldest is None, way.oldest)


async def stretches(
    log: Log, since: datetime | None = None, until: datetime | None = None
) -> list[Stretch]:
    """Return what was appended since (inclusive) and until (exclusive) two times, by partition."""
    found = []
    for partition in range(log.partitions):
        first, end = await log.bounds(partition)
        if since is not None:
            first = max(first, await log.offset_at(partition, since))
        if until is not None:
            end = min(end, await log.offset_at(partition, until))
        found.append(Stretch(partition, first, end))
    return found
