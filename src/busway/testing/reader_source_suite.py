"""What every source must do that reads in a loop, under a lease, with a position."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from busway.event import Event
from busway.ports import (
    Acknowledges,
    ReaderContext,
    ReaderSource,
    ReportsProgress,
    SourceChunk,
    SourceReading,
)
from busway.testing.manual_clock import ManualClock
from busway.testing.source_suite import CODE, TIMEOUT_S, SourceSuite, check_events

LOOK_S = 0.01
"""How long the suite lets the reader work before it advances the clock by a second."""


class ReadProgress(msgspec.Struct):
    """What was read: the events, and after how many of them each position was returned."""

    events: list[Event]
    positions: list[tuple[int, bytes]]

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

    @property
    def position(self) -> bytes | None:
        """The last position."""
        return self.positions[-1][1] if self.positions else None


class ReaderSourceSuite(SourceSuite):
    """What holds for any source that one worker at a time reads from.

    While a reader waits, its clock advances a second at a time.
    """

    @abstractmethod
    async def add_records(self, place: Path, clock: ManualClock, count: int) -> None:
        """Have so many more records to read, each of which becomes one event."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @asynccontextmanager
    async def opened(
        self, place: Path, clock: ManualClock, position: bytes | None = None
    ) -> AsyncIterator[SourceReading]:
        source = self.declare(place)
        assert isinstance(source, ReaderSource)
        reading = await source.open(ReaderContext(clock), position)
        try:
            yield reading
        finally:
            await reading.close()

    async def read(self, reading: SourceReading, clock: ManualClock) -> SourceChunk:
        """Return the next chunk, checked."""
        async with asyncio.timeout(TIMEOUT_S):
            task = asyncio.ensure_future(reading.read())
            while not (await asyncio.wait({task}, timeout=LOOK_S))[0]:
                await clock.advance(1.0)
            chunk = await task
        check_events(chunk.events)
        for refusal in chunk.refused:
            assert CODE.fullmatch(refusal.code)
            assert refusal.detail
            assert refusal.count > 0
        if isinstance(reading, Acknowledges):
            for _ in range(2):
                await reading.acknowledge(chunk.position)
        return chunk

    async def read_all(
        self, reading: SourceReading, clock: ManualClock, count: int
    ) -> ReadProgress:
        """Return so many events, and the positions on the way."""
        read = ReadProgress([], [])
        while len(read.events) < count:
            chunk = await self.read(reading, clock)
            read.events += chunk.events
            read.positions.append((len(read.events), chunk.position))
        assert len(read.events) == count, "each record becomes one event"
        return read

    async def some_read(self, place: Path, clock: ManualClock) -> ReadProgress:
        """Read ten records that come little by little."""
        read = ReadProgress([], [])
        async with self.opened(place, clock) as reading:
            for count in (1, 2, 3, 4):
                await self.add_records(place, clock, count)
                before = len(read.events)
                more = await self.read_all(reading, clock, count)
                read.events += more.events
                read.positions += [(before + n, position) for n, position in more.positions]
        return read

    @pytest.mark.asyncio
    async def test_each_record_is_read_once(self, tmp_path: Path, clock: ManualClock) -> None:
        read = await self.some_read(tmp_path, clock)
        places = {(event.source, event.id) for event in read.events}
        assert len(places) == len(read.events) == 10

    @pytest.mark.asyncio
    async def test_it_resumes_at_every_position_with_exactly_the_rest(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        read = await self.some_read(tmp_path, clock)
        for done, position in read.positions:
            async with self.opened(tmp_path, clock, position) as reading:
                rest = await self.read_all(reading, clock, 10 - done)
            assert rest.ids == read.ids[done:]
            assert [one.data for one in rest.events] == [one.data for one in read.events[done:]]

    @pytest.mark.asyncio
    async def test_what_comes_later_follows_the_last_position(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        read = await self.some_read(tmp_path, clock)
        await self.add_records(tmp_path, clock, 3)
        async with self.opened(tmp_path, clock, read.position) as reading:
            later = await self.read_all(reading, clock, 3)
        assert not {*later.ids} & {*read.ids}

    @pytest.mark.asyncio
    async def test_a_position_never_goes_back(self, tmp_path: Path, clock: ManualClock) -> None:
        """Also after it was resumed in between: positions read again lead to no more events."""
        read = await self.some_read(tmp_path, clock)
        for done, position in read.positions:
            async with self.opened(tmp_path, clock, position) as reading:
                rest = await self.read_all(reading, clock, 10 - done)
            for again, later in rest.positions:
                async with self.opened(tmp_path, clock, later) as reading:
                    left = await self.read_all(reading, clock, 10 - done - again)
                assert left.ids == read.ids[done + again :]

    @pytest.mark.asyncio
    async def test_a_read_that_waits_is_cancelled_without_loss(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        read = await self.some_read(tmp_path, clock)
        async with self.opened(tmp_path, clock, read.position) as reading:
            waiting = asyncio.ensure_future(reading.read())
            await asyncio.wait({waiting}, timeout=LOOK_S)
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=TIMEOUT_S)
            assert waiting.done()
        await self.add_records(tmp_path, clock, 2)
        async with self.opened(tmp_path, clock, read.position) as reading:
            later = await self.read_all(reading, clock, 2)
        assert not {*later.ids} & {*read.ids}

    @pytest.mark.asyncio
    async def test_it_is_closed_at_any_time(self, tmp_path: Path, clock: ManualClock) -> None:
        async with self.opened(tmp_path, clock):
            pass
        async with self.opened(tmp_path, clock) as reading:
            await self.add_records(tmp_path, clock, 2)
            await self.read(reading, clock)
        await self.some_read(tmp_path, clock)

    @pytest.mark.asyncio
    async def test_it_tells_how_far_it_is(self, tmp_path: Path, clock: ManualClock) -> None:
        async with self.opened(tmp_path, clock) as reading:
            if not isinstance(reading, ReportsProgress):
                return
            _check_progress(reading)
            await self.add_records(tmp_path, clock, 2)
            _check_progress(reading)
            await self.read_all(reading, clock, 2)
            waiting = asyncio.ensure_future(reading.read())
            await asyncio.wait({waiting}, timeout=LOOK_S)
            _check_progress(reading)
            waiting.cancel()
            await asyncio.wait({waiting}, timeout=TIMEOUT_S)


def _check_progress(reading: ReportsProgress) -> None:
    progress = reading.progress()
    assert progress.lag is None or progress.lag >= 0
    assert progress.next_at is None or progress.next_at.tzinfo is not None
