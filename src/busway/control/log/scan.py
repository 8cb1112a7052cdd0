"""Scan the log backwards from its end, page by page.

Pages are small and are matched in a thread, so that a search through a million events does not
delay other requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from busway.ports import Log, LogBatch

BytesTest = Callable[[bytes], bool]
_READ_BYTES = 256 * 1024
_PAGE_BYTES = 2 * 1024 * 1024
_FIRST_EVENTS = 64
_MAX_EVENTS = 20_000
_SCAN_S = 1.0
"""The time after which the scan of one page ends."""


class EventMatcher(msgspec.Struct, frozen=True):
    """A quick test and an exact test of the bytes of an event.

    ``may_match`` is also called with the bytes of many events together; it may return false only if
    none of them matches.
    """

    may_match: BytesTest
    matches: BytesTest

    def may_match_any(self, events: Sequence[bytes]) -> bool:
        """Return quickly whether one of the events may match."""
        return len(events) == 1 or self.may_match(b"".join(events))


class Hit(msgspec.Struct, frozen=True):
    """An event in the log: its position, its append time, and its bytes."""

    partition: int
    offset: int
    appended_at: datetime
    raw: bytes


class PartitionRange(msgspec.Struct, frozen=True):
    """The offsets of a partition from ``first`` up to ``end``."""

    partition: int
    first: int
    end: int


class BackwardScan:
    """Scans one range backwards; the matching events are in ``hits``, the newest last.

    ``end`` is how far back the scan is, ``oldest`` the append time of the oldest scanned batch.
    """

    def __init__(self, log: Log, offset_range: PartitionRange, matcher: EventMatcher) -> None:
        self.offset_range = offset_range
        self.end = offset_range.end
        self.oldest: datetime | None = None
        self.hits: list[Hit] = []
        self.scanned = 0
        self._log = log
        self._wanted = matcher
        self._events = _FIRST_EVENTS

    @property
    def is_done(self) -> bool:
        return self.end <= self.offset_range.first

    @property
    def resumes_at(self) -> int:
        """The offset where a later scan resumes if ``hits`` were not consumed."""
        return self.hits[-1].offset + 1 if self.hits else self.end

    async def scan_page(self) -> None:
        """Scan one more page."""
        start = max(self.offset_range.first, self.end - self._events)
        page = await self._page(start)
        if not page:
            await self._skip_page(start)
            return
        first = max(self.offset_range.first, page[0].offset)
        found, reached, oldest = await asyncio.to_thread(
            _find_hits, page, (first, self.end), self._wanted
        )
        self.hits = found + self.hits
        self.scanned += self.end - reached
        self.oldest = oldest
        self._adapt(page)
        self.end = reached if reached > first else min(start, first)

    async def _skip_page(self, start: int) -> None:
        """Pass a page without anything: a hole, or what was trimmed meanwhile with all before."""
        base, _ = await self._log.bounds(self.offset_range.partition)
        self.end = start if base < start else self.offset_range.first
        self._events = min(2 * self._events, _MAX_EVENTS)

    async def _page(self, start: int) -> list[LogBatch]:
        page: list[LogBatch] = []
        at = start
        while at < self.end:
            read = await self._log.read(self.offset_range.partition, at, _READ_BYTES)
            if not read:
                break
            page += [batch for batch in read if batch.offset < self.end]
            at = read[-1].end
            await asyncio.sleep(0)
        return page

    def _adapt(self, page: Sequence[LogBatch]) -> None:
        """Let the next page be about as large as a page should be."""
        count = sum(len(batch.events) for batch in page)
        size = sum(len(raw) for batch in page for raw in batch.events[:4])
        looked = sum(len(batch.events[:4]) for batch in page)
        likely = _PAGE_BYTES * looked // max(size, 1)
        self._events = max(1, min(likely, 4 * count, _MAX_EVENTS))


def _find_hits(
    page: Sequence[LogBatch],
    bounds: tuple[int, int],
    matcher: EventMatcher,
    within_s: float = _SCAN_S,
) -> tuple[list[Hit], int, datetime]:
    """Return what is wanted of a page, the newest last, and how far back the look came.

    It ends after ``within_s`` seconds, and one event at least: the test may be slow.
    """
    first, end = bounds
    hits: list[Hit] = []
    ends_at = time.monotonic() + within_s
    for batch in reversed(page):
        indexes = range(max(first - batch.offset, 0), min(end - batch.offset, len(batch.events)))
        for index in reversed(indexes) if matcher.may_match_any(batch.events) else ():
            raw, offset = batch.events[index], batch.offset + index
            if matcher.may_match(raw) and matcher.matches(raw):
                hits.append(Hit(batch.partition, offset, batch.appended_at, raw))
            if time.monotonic() > ends_at:
                return hits[::-1], offset, batch.appended_at
    return hits[::-1], first, page[0].appended_at


class Scan:
    """Goes back through several stretches at once, so that the newest is found first."""

    def __init__(self, log: Log, ranges: Sequence[PartitionRange], matcher: EventMatcher) -> None:
        self._scans = [BackwardScan(log, offset_range, matcher) for offset_range in ranges]

    @property
    def scanned(self) -> int:
        """How many events it has looked at."""
        return sum(way.scanned for way in self._scans)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more."""
        return all(way.is_done and not way.hits for way in self._scans)

    @property
    def may_pause(self) -> bool:
        """Whether it came forward: what is found for sure needs a look at every way."""
        return all(way.is_done or way.oldest is not None for way in self._scans)

    @property
    def scanned_back_to(self) -> datetime | None:
        """What came after this has been looked at, ``None`` for all of it, or nothing yet."""
        seen = [way.oldest for way in self._scans if not way.is_done]
        return max((at for at in seen if at is not None), default=None)

    def remaining(self) -> list[PartitionRange]:
        """Return what was not looked at, or not taken: where a later scan goes on."""
        return [
            PartitionRange(way.offset_range.partition, way.offset_range.first, way.resumes_at)
            for way in self._scans
        ]

    async def scan_page(self) -> list[Hit]:
        """Look at one page more and return what is found for sure, the newest first."""
        open_ways = [way for way in self._scans if not way.is_done]
        if open_ways:
            await max(open_ways, key=_scan_order).scan_page()
        return self._ordered_hits()

    def _ordered_hits(self) -> list[Hit]:
        """Take what is newer than all that is not looked at yet."""
        limits = [way.oldest for way in self._scans if not way.is_done]
        if None in limits:
            return []
        limit = max((at for at in limits if at is not None), default=None)
        sure: list[Hit] = []
        for way in self._scans:
            while way.hits and (limit is None or way.hits[-1].appended_at >= limit):
                sure.append(way.hits.pop())
        sure.sort(key=lambda hit: (hit.appended_at, hit.partition, hit.offset), reverse=True)
        return sure


def _scan_order(scan: BackwardScan) -> tuple[bool, datetime | None]:
    """Order the ways by which one has the newest to look at: first those not looked at yet."""
    return (scan.oldest is None, scan.oldest)


async def ranges_between(
    log: Log, since: datetime | None = None, until: datetime | None = None
) -> list[PartitionRange]:
    """Return what was appended since (inclusive) and until (exclusive) two times, by partition."""
    found = []
    for partition in range(log.partitions):
        first, end = await log.bounds(partition)
        if since is not None:
            first = max(first, await log.offset_at(partition, since))
        if until is not None:
            end = min(end, await log.offset_at(partition, until))
        found.append(PartitionRange(partition, first, end))
    return found
