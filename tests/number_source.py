"""A source of numbers: a reader as a third party writes one, and what a test asks of it."""

from __future__ import annotations

import asyncio

import msgspec

from busway import Event
from busway.errors import SourceError
from busway.ports import ReaderContext, RecordRefusal, SourceChunk, SourceProgress


class Feed:
    """What there is to read, and what was done with it."""

    def __init__(self) -> None:
        self.end = 0
        self.per_chunk = 10
        self.error: Exception | None = None
        self.opened: list[int] = []
        self.acknowledged: list[int] = []
        self.closed = 0
        self.refused: tuple[RecordRefusal, ...] = ()
        self.changed = asyncio.Event()

    def put(self, count: int) -> None:
        """Have so many more numbers to read."""
        self.end += count
        self.changed.set()

    def fail(self, error: Exception | None) -> None:
        """Fail with an error from now on, or not any more."""
        self.error = error
        self.changed.set()


_feeds: dict[str, Feed] = {}


class Numbers(msgspec.Struct, frozen=True):
    """Counts; its position is the next number."""

    name: str

    @property
    def feed(self) -> Feed:
        return _feeds.setdefault(self.name, Feed())

    async def open(self, context: ReaderContext, position: bytes | None) -> Reading:
        start = int(position or b"0")
        if self.feed.error is not None:
            raise self.feed.error
        self.feed.opened.append(start)
        return Reading(self, start)


class Reading:
    def __init__(self, source: Numbers, start: int) -> None:
        self._source = source
        self._feed = source.feed
        self._next = start

    async def read(self) -> SourceChunk:
        feed = self._feed
        while feed.error is None and self._next >= feed.end:
            feed.changed.clear()
            await feed.changed.wait()
        if feed.error is not None:
            raise feed.error
        numbers = range(self._next, min(self._next + feed.per_chunk, feed.end))
        self._next = numbers.stop
        refused, feed.refused = feed.refused, ()
        return SourceChunk([self._event(n) for n in numbers], b"%d" % self._next, refused)

    async def acknowledge(self, position: bytes) -> None:
        self._feed.acknowledged.append(int(position))

    def progress(self) -> SourceProgress:
        return SourceProgress(lag=self._feed.end - self._next)

    async def close(self) -> None:
        self._feed.closed += 1

    def _event(self, number: int) -> Event:
        name = self._source.name
        return Event(
            type="number", source=f"/numbers/{name}", id=f"{name}-{number}", data={"n": number}
        )


def numbers(name: str) -> Numbers:
    """Return a source with nothing to read yet."""
    _feeds[name] = Feed()
    return Numbers(name)


def away() -> SourceError:
    return SourceError("the numbers are away")
