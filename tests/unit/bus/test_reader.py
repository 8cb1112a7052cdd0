"""Lanes that read the same batches have them fetched and matched once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from busway.bus.reader import CACHE_BYTES, MatchedBatch, SharedReader
from busway.ports import LogBatch, NewBatch
from busway.rule import Pattern, RuleIndex
from busway.testing import MemoryLog

AT = datetime(2030, 1, 1, tzinfo=UTC)
EVERYTHING = 1 << 30


class WatchedLog(MemoryLog):
    """A log that says where it was read."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.read_at: list[tuple[int, int]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        self.read_at.append((partition, offset))
        await self.answers.wait()
        return await super().read(partition, offset, max_bytes)


def event(number: int) -> bytes:
    kind = "even" if number % 2 == 0 else "odd"
    return b'{"specversion":"1.0","id":"%d","source":"/t","type":"%s"}' % (number, kind.encode())


@pytest.fixture
def log() -> WatchedLog:
    return WatchedLog(2)


@pytest.fixture
def follow(log: WatchedLog) -> SharedReader:
    patterns = [Pattern.parse({"type": [kind]}) for kind in ("even", "odd")]
    return SharedReader(log, RuleIndex(patterns, checked=True))


async def filled(log: WatchedLog, batches: int) -> None:
    for number in range(batches):
        await log.append([NewBatch(0, [event(2 * number), event(2 * number + 1)])], AT)


def shape(found: Sequence[MatchedBatch]) -> list[tuple[int, dict[int, list[int]]]]:
    return [
        (one.batch.offset, {rule: list(at) for rule, at in one.wanted.items()}) for one in found
    ]


async def test_a_second_lane_gets_the_same_without_the_log(
    log: WatchedLog, follow: SharedReader
) -> None:
    await filled(log, 3)
    first = await follow.read(0, 0, EVERYTHING)
    assert shape(first) == [(offset, {0: [0], 1: [1]}) for offset in (0, 2, 4)]
    assert shape(await follow.read(0, 0, EVERYTHING)) == shape(first)
    assert shape(await follow.read(0, 2, EVERYTHING)) == shape(first[1:])
    assert log.read_at == [(0, 0)]


async def test_what_came_since_is_read_from_its_offset_on(
    log: WatchedLog, follow: SharedReader
) -> None:
    await filled(log, 2)
    await follow.read(0, 0, EVERYTHING)
    await filled(log, 1)
    assert [one.batch.offset for one in await follow.read(0, 0, EVERYTHING)] == [0, 2]
    assert [one.batch.offset for one in await follow.read(0, 4, EVERYTHING)] == [4]


async def test_who_cannot_go_on_reads_further(log: WatchedLog, follow: SharedReader) -> None:
    assert await follow.read_further(0, 0, EVERYTHING) == []
    await filled(log, 1)
    assert [one.batch.offset for one in await follow.read_further(0, 0, EVERYTHING)] == [0]
    await filled(log, 2)
    assert [one.batch.offset for one in await follow.read_further(0, 0, EVERYTHING)] == [0, 2, 4]
    await filled(log, 1)
    assert [one.batch.offset for one in await follow.read_further(0, 0, 0)] == [0, 2]


async def test_lanes_that_ask_at_once_have_the_log_read_once(
    log: WatchedLog, follow: SharedReader
) -> None:
    await filled(log, 3)
    log.answers.clear()
    lanes = [asyncio.create_task(follow.read(0, 0, EVERYTHING)) for _ in range(5)]
    await asyncio.wait(lanes, timeout=0)
    lanes[0].cancel()  # whose read it was: the others are not told that it was cut off
    log.answers.set()
    await asyncio.wait(lanes)
    assert [len(one.result()) for one in lanes[1:]] == [3, 3, 3, 3]
    assert log.read_at == [(0, 0), (0, 0)]


async def test_what_is_kept_has_an_end(log: WatchedLog, follow: SharedReader) -> None:
    large = b" " * (CACHE_BYTES // 4)
    for number in range(6):
        await log.append([NewBatch(0, [event(number) + large])], AT)
        await follow.read(0, number, EVERYTHING)
    log.read_at.clear()
    for number in (5, 4, 3):
        assert len(await follow.read(0, number, EVERYTHING)) == 6 - number
    assert log.read_at == []
    assert len(await follow.read(0, 2, 1)) == 1
    assert log.read_at == [(0, 2)]


async def test_what_is_known_fits_the_bytes_that_are_asked_for(
    log: WatchedLog, follow: SharedReader
) -> None:
    await filled(log, 3)
    await follow.read(0, 0, EVERYTHING)
    a_batch = len(event(0)) + len(event(1))
    for max_bytes, count in ((0, 1), (2 * a_batch - 1, 1), (2 * a_batch, 2), (EVERYTHING, 3)):
        assert len(await follow.read(0, 0, max_bytes)) == count
    assert log.read_at == [(0, 0)]


async def test_the_end_is_asked_for_again(log: WatchedLog, follow: SharedReader) -> None:
    await filled(log, 1)
    await follow.read(0, 0, EVERYTHING)
    assert await follow.read(0, 2, EVERYTHING) == []
    await filled(log, 1)
    assert [one.batch.offset for one in await follow.read(0, 2, EVERYTHING)] == [2]


async def test_an_offset_inside_of_a_batch_is_read(log: WatchedLog, follow: SharedReader) -> None:
    await filled(log, 2)
    await follow.read(0, 0, EVERYTHING)
    assert [one.batch.offset for one in await follow.read(0, 1, EVERYTHING)] == [0, 2]
    assert await follow.read(1, 0, EVERYTHING) == []
