"""What every log must do. Subclass a suite, say how to open your log, and run pytest.

::

    class TestMyLog(DurableLogSuite):
        async def open_log(self, place: Path, partitions: int) -> Log:
            return await MyLog.open(place / "log", partitions)
"""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from busway.errors import StoreFull
from busway.ports import HasAppendTimes, Log, LogBatch, NewBatch

AT = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
TIMEOUT_S = 60.0
PARTITIONS = 3
_MANY_BYTES = 1 << 30


def events_of(batches: Sequence[LogBatch], offset: int = 0) -> list[bytes]:
    """Return the events from an offset on, after a look at how the batches join."""
    for before, after in itertools.pairwise(batches):
        assert before.end == after.offset
    return [e for b in batches for n, e in enumerate(b.events, b.offset) if n >= offset]


@pytest.mark.asyncio
class LogSuite(ABC):
    """What holds for any log, also for one that forgets when it is closed."""

    @abstractmethod
    async def open_log(self, place: Path, partitions: int) -> Log:
        """Open the log at a place, made when it is not there; closed by the suite."""

    @pytest_asyncio.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[Log]:
        log = await self.open_log(tmp_path, PARTITIONS)
        yield log
        await log.close()

    async def test_a_new_log_is_empty(self, log: Log) -> None:
        assert log.partitions == PARTITIONS
        assert log.identity
        for partition in range(PARTITIONS):
            assert await log.bounds(partition) == (0, 0)
            assert list(await log.read(partition, 0, _MANY_BYTES)) == []

    async def test_offsets_are_dense_in_each_partition(self, log: Log) -> None:
        first = await log.append([NewBatch(0, [b"a", b"b"]), NewBatch(2, [b"c"])], AT)
        second = await log.append(
            [NewBatch(2, [b"d"]), NewBatch(0, [b"e"]), NewBatch(0, [b"f", b"g"])], AT
        )
        assert (list(first), list(second)) == ([0, 0], [1, 2, 3])
        assert [await log.bounds(p) for p in range(PARTITIONS)] == [(0, 5), (0, 0), (0, 2)]

    async def test_what_was_appended_is_read(self, log: Log) -> None:
        new_batches = [NewBatch(1, [b"", b"\x00\xff", "ü".encode()]), NewBatch(1, [b"x" * 300_000])]
        await log.append(new_batches, AT)
        await log.append([NewBatch(1, [b"last"])], AT + timedelta(microseconds=1))
        batches = await log.read(1, 0, _MANY_BYTES)
        expected = [*new_batches[0].events, *new_batches[1].events, b"last"]
        assert events_of(batches) == expected
        assert {b.partition for b in batches} == {1}
        assert batches[0].appended_at == AT
        assert batches[-1].appended_at == AT + timedelta(microseconds=1)

    async def test_a_read_begins_with_the_batch_that_holds_the_offset(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a", b"b", b"c"])], AT)
        await log.append([NewBatch(0, [b"d", b"e"])], AT)
        for offset in range(5):
            batches = await log.read(0, offset, _MANY_BYTES)
            assert batches[0].offset <= offset < batches[0].end
            assert events_of(batches, offset) == [b"a", b"b", b"c", b"d", b"e"][offset:]
        assert list(await log.read(0, 5, _MANY_BYTES)) == []
        assert list(await log.read(0, 99, _MANY_BYTES)) == []

    async def test_a_read_stops_at_max_bytes_but_gives_one_batch(self, log: Log) -> None:
        for text in (b"aaaa", b"bbbb", b"cccc"):
            await log.append([NewBatch(0, [text])], AT)
        assert events_of(await log.read(0, 0, 0)) == [b"aaaa"]
        assert events_of(await log.read(0, 0, 7)) == [b"aaaa"]
        assert events_of(await log.read(0, 0, 8)) == [b"aaaa", b"bbbb"]
        assert events_of(await log.read(0, 1, 8)) == [b"bbbb", b"cccc"]

    async def test_partitions_do_not_see_each_other(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a"]), NewBatch(1, [b"b"]), NewBatch(2, [b"c"])], AT)
        await log.trim(1, 1)
        found = [events_of(await log.read(p, 0, _MANY_BYTES)) for p in range(PARTITIONS)]
        assert found == [[b"a"], [], [b"c"]]

    async def test_trim_forgets_whole_batches_only(self, log: Log) -> None:
        for _ in range(3):
            await log.append([NewBatch(0, [b"a", b"b"])], AT)
        assert await log.trim(0, 3) == 2
        assert await log.bounds(0) == (2, 6)
        assert (await log.read(0, 0, _MANY_BYTES))[0].offset == 2
        assert await log.trim(0, 3) == 0
        assert await log.trim(0, 99) == 4
        assert await log.bounds(0) == (6, 6)
        assert list(await log.read(0, 0, _MANY_BYTES)) == []

    async def test_a_trimmed_partition_goes_on_where_it_ended(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a", b"b"])], AT)
        await log.trim(0, 2)
        assert list(await log.append([NewBatch(0, [b"c"])], AT)) == [2]
        assert await log.bounds(0) == (2, 3)
        assert events_of(await log.read(0, 0, _MANY_BYTES)) == [b"c"]

    async def test_a_trim_of_much_is_complete(self, log: Log) -> None:
        for _ in range(30):
            await log.append([NewBatch(0, [b"x" * 10_000] * 100)], AT)
        before = await log.size_bytes()
        assert await log.trim(0, 2_950) == 2_900
        assert await log.bounds(0) == (2_900, 3_000)
        assert await log.size_bytes() < before / 2

    async def test_offset_at_finds_the_first_batch_since(self, log: Log) -> None:
        for minute in range(3):
            await log.append([NewBatch(0, [b"a", b"b"])], AT + timedelta(minutes=minute))
        assert await log.offset_at(0, AT - timedelta(days=1)) == 0
        assert await log.offset_at(0, AT) == 0
        assert await log.offset_at(0, AT + timedelta(microseconds=1)) == 2
        assert await log.offset_at(0, AT + timedelta(minutes=2)) == 4
        assert await log.offset_at(0, AT + timedelta(days=1)) == 6
        await log.trim(0, 2)
        assert await log.offset_at(0, AT) == 2
        assert await log.offset_at(1, AT) == 0

    async def test_a_log_goes_on_behind_what_it_has_lost(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a", b"b"])], AT)
        assert await log.skip_to(0, 5) == 2
        assert await log.bounds(0) == (0, 5)
        assert list(await log.append([NewBatch(0, [b"c"]), NewBatch(1, [b"x"])], AT)) == [5, 0]
        assert list(await log.append([NewBatch(0, [b"d"])], AT)) == [6]
        assert await log.bounds(0) == (0, 7)
        for offset in (0, 1):
            assert (
                events_of(await log.read(0, offset, _MANY_BYTES), offset) == [b"a", b"b"][offset:]
            )
        for offset in (2, 3, 4, 5):
            for max_bytes in (0, _MANY_BYTES):
                assert (await log.read(0, offset, max_bytes))[0].offset == 5
            assert events_of(await log.read(0, offset, _MANY_BYTES)) == [b"c", b"d"]
        if isinstance(log, HasAppendTimes):
            found = [await log.appended_at(0, offset) for offset in range(8)]
            assert found == [AT, AT, None, None, None, AT, AT, None]

    async def test_a_log_that_is_as_far_does_not_go_on_elsewhere(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a", b"b"])], AT)
        for offset in (0, 1, 2):
            assert await log.skip_to(0, offset) == 2
        assert await log.bounds(0) == (0, 2)
        assert await log.skip_to(0, 3) == 2
        assert await log.skip_to(0, 3) == 3
        assert [await log.bounds(partition) for partition in (0, 1)] == [(0, 3), (0, 0)]
        assert list(await log.append([NewBatch(0, [b"c"])], AT)) == [3]

    async def test_a_log_without_events_begins_where_it_goes_on(self, log: Log) -> None:
        await log.append([NewBatch(1, [b"a"])], AT)
        await log.trim(1, 1)
        for partition, before in ((0, 0), (1, 1)):
            assert await log.skip_to(partition, 5) == before
            assert await log.bounds(partition) == (5, 5)
            assert list(await log.read(partition, 0, _MANY_BYTES)) == []
            assert list(await log.append([NewBatch(partition, [b"b"])], AT)) == [5]
            assert events_of(await log.read(partition, 0, _MANY_BYTES)) == [b"b"]
            assert await log.bounds(partition) == (5, 6)

    async def test_a_hole_at_the_end_holds_nothing(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a"])], AT)
        waiting = asyncio.create_task(log.wait(0, 1))
        await asyncio.sleep(0)
        await log.skip_to(0, 3)
        async with asyncio.timeout(TIMEOUT_S):
            await waiting
        await log.skip_to(0, 5)
        for offset in (1, 2, 4, 5):
            assert list(await log.read(0, offset, _MANY_BYTES)) == []
        await log.append([NewBatch(0, [b"b"])], AT)
        for offset in (1, 2, 4, 5):
            assert events_of(await log.read(0, offset, 0)) == [b"b"]

    async def test_offset_at_finds_what_is_behind_a_hole(self, log: Log) -> None:
        minute = timedelta(minutes=1)
        await log.append([NewBatch(0, [b"a"])], AT)
        await log.append([NewBatch(0, [b"b"])], AT + minute)
        await log.skip_to(0, 5)
        assert await log.offset_at(0, AT + minute) == 1
        assert await log.offset_at(0, AT + 2 * minute) == 5
        await log.append([NewBatch(0, [b"c"])], AT + 3 * minute)
        await log.append([NewBatch(0, [b"d"])], AT + 4 * minute)
        found = [await log.offset_at(0, AT + number * minute) for number in range(6)]
        assert found == [0, 1, 5, 5, 6, 7]
        await log.trim(0, 2)
        assert await log.offset_at(0, AT) == 5

    async def test_a_trim_goes_over_a_hole(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a", b"b"])], AT)
        await log.append([NewBatch(0, [b"c"])], AT)
        await log.skip_to(0, 5)
        await log.append([NewBatch(0, [b"d"])], AT)
        assert await log.trim(0, 2) == 2
        assert await log.bounds(0) == (2, 6)
        assert await log.trim(0, 4) == 3
        assert await log.bounds(0) == (5, 6)
        await log.skip_to(0, 9)
        assert await log.trim(0, 7) == 4
        assert await log.bounds(0) == (9, 9)
        assert list(await log.append([NewBatch(0, [b"e"])], AT)) == [9]
        assert events_of(await log.read(0, 0, _MANY_BYTES)) == [b"e"]

    async def test_a_log_goes_on_while_events_are_appended(self, log: Log) -> None:
        async def moved() -> list[int]:
            return [await log.skip_to(0, 10 * n) for n in range(1, 11)]

        async def appended() -> list[int]:
            return [(await log.append([NewBatch(0, [b"%d" % n])], AT))[0] for n in range(30)]

        (_, firsts) = await asyncio.gather(moved(), appended())
        assert firsts == sorted(set(firsts))
        for number, first in enumerate(firsts):
            assert events_of(await log.read(0, first, 0), first) == [b"%d" % number]

    async def test_wait_returns_when_there_is_more_already(self, log: Log) -> None:
        await log.append([NewBatch(0, [b"a"])], AT)
        async with asyncio.timeout(TIMEOUT_S):
            await log.wait(0, 0)

    async def test_wait_returns_when_more_comes(self, log: Log) -> None:
        waiting = [asyncio.create_task(log.wait(0, 0)) for _ in range(5)]
        await asyncio.sleep(0)
        await log.append([NewBatch(0, [b"a"])], AT)
        async with asyncio.timeout(TIMEOUT_S):
            await asyncio.gather(*waiting)
        assert await log.bounds(0) == (0, 1)

    async def test_a_wait_that_is_given_up_harms_nobody(self, log: Log) -> None:
        given_up, patient = (asyncio.create_task(log.wait(0, 0)) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        await log.append([NewBatch(0, [b"a"])], AT)
        async with asyncio.timeout(TIMEOUT_S):
            await patient

    async def test_a_follower_sees_each_event_once_in_order(self, log: Log) -> None:
        seen: list[bytes] = []

        async def follow() -> None:
            while len(seen) < 500:
                await log.wait(0, len(seen))
                seen.extend(events_of(await log.read(0, len(seen), 100), len(seen)))

        follower = asyncio.create_task(follow())
        sent = [b"%d" % n for n in range(500)]
        for start in range(0, 500, 7):
            await log.append([NewBatch(0, sent[start : start + 7])], AT)
        async with asyncio.timeout(TIMEOUT_S):
            await follower
        assert seen == sent

    async def test_an_append_that_is_given_up_is_whole_or_not_there(self, log: Log) -> None:
        append = asyncio.create_task(log.append([NewBatch(0, [b"a", b"b"])], AT))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        await log.append([NewBatch(0, [b"c"])], AT)
        found = events_of(await log.read(0, 0, _MANY_BYTES))
        assert found in ([b"c"], [b"a", b"b", b"c"])
        assert await log.bounds(0) == (0, len(found))


class DurableLogSuite(LogSuite):
    """What holds beyond that for a log which is still there when it is opened again."""

    async def test_it_is_the_same_log_when_it_is_opened_again(self, tmp_path: Path) -> None:
        log = await self.open_log(tmp_path, 2)
        identity = log.identity
        await log.append([NewBatch(1, [b"a", b"b"])], AT)
        await log.close()
        log = await self.open_log(tmp_path, 7)
        try:
            assert (log.identity, log.partitions) == (identity, 2)
            assert await log.bounds(1) == (0, 2)
            (batch,) = await log.read(1, 0, _MANY_BYTES)
            assert (list(batch.events), batch.appended_at) == ([b"a", b"b"], AT)
            assert list(await log.append([NewBatch(1, [b"c"])], AT)) == [2]
        finally:
            await log.close()

    async def test_a_hole_is_there_when_it_is_opened_again(self, tmp_path: Path) -> None:
        log = await self.open_log(tmp_path, 2)
        await log.append([NewBatch(0, [b"a", b"b"])], AT)
        for partition in (0, 1):
            await log.skip_to(partition, 5)
        await log.close()
        log = await self.open_log(tmp_path, 2)
        try:
            assert [await log.bounds(partition) for partition in (0, 1)] == [(0, 5), (5, 5)]
            new_batches = [NewBatch(0, [b"c"]), NewBatch(1, [b"d"])]
            assert list(await log.append(new_batches, AT)) == [5, 5]
        finally:
            await log.close()
        log = await self.open_log(tmp_path, 2)
        try:
            assert events_of(await log.read(0, 0, _MANY_BYTES)) == [b"a", b"b"]
            assert events_of(await log.read(0, 2, _MANY_BYTES)) == [b"c"]
            assert events_of(await log.read(1, 0, _MANY_BYTES)) == [b"d"]
        finally:
            await log.close()

    async def test_what_others_append_goes_behind_a_hole(self, tmp_path: Path) -> None:
        first = await self.open_log(tmp_path, 1)
        second = await self.open_again(tmp_path, first)
        if second is None:
            await first.close()
            return
        try:
            await second.append([NewBatch(0, [b"a"])], AT)
            assert await first.skip_to(0, 5) == 1
            assert list(await second.append([NewBatch(0, [b"b"])], AT)) == [5]
            assert await second.skip_to(0, 9) == 6
            assert await first.skip_to(0, 9) == 9
            assert list(await first.append([NewBatch(0, [b"c"])], AT)) == [9]
            for log in (first, second):
                assert await log.bounds(0) == (0, 10)
                assert events_of(await log.read(0, 2, _MANY_BYTES)) == [b"b"]
                assert events_of(await log.read(0, 6, _MANY_BYTES)) == [b"c"]
        finally:
            await first.close()
            await second.close()

    async def open_again(self, place: Path, log: Log) -> Log | None:
        """Open a log once more, as another process does; ``None`` where only one may."""
        return await self.open_log(place, log.partitions)

    async def test_the_end_survives_a_trim_of_everything(self, tmp_path: Path) -> None:
        log = await self.open_log(tmp_path, 2)
        await log.append([NewBatch(0, [b"a", b"b", b"c"])], AT)
        await log.trim(0, 3)
        await log.close()
        log = await self.open_log(tmp_path, 2)
        try:
            assert await log.bounds(0) == (3, 3)
            assert list(await log.append([NewBatch(0, [b"d"])], AT)) == [3]
        finally:
            await log.close()


@pytest.mark.asyncio
class FullLogSuite(ABC):
    """What holds for a log whose size can be limited."""

    @abstractmethod
    async def open_small_log(self, place: Path, max_bytes: int) -> Log:
        """Open a log of one partition that takes about ``max_bytes``; closed by the suite."""

    async def test_a_full_log_stores_nothing_and_goes_on_after_a_trim(self, tmp_path: Path) -> None:
        log = await self.open_small_log(tmp_path, 2_000_000)
        try:
            stored = await self._fill(log)
            assert 0 < stored < 40
            assert await log.bounds(0) == (0, stored)
            with pytest.raises(StoreFull):
                await log.append([NewBatch(0, [b"s"]), NewBatch(0, [b"x" * 100_000])], AT)
            assert len(events_of(await log.read(0, 0, _MANY_BYTES))) == stored
            await log.trim(0, stored // 2)
            assert list(await log.append([NewBatch(0, [b"x" * 100_000])], AT)) == [stored]
        finally:
            await log.close()

    async def _fill(self, log: Log) -> int:
        for stored in range(40):
            try:
                await log.append([NewBatch(0, [b"x" * 100_000])], AT)
            except StoreFull:
                return stored
        return 40
