"""What a sink that keeps positions must do in addition: each offset lands at most once."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from busway.outcome import DELIVERED, NOT_ATTEMPTED, Rejected
from busway.ports import (
    DeliveredRange,
    Destination,
    KeepsPositions,
    KnowsDelivered,
    LoadItem,
    SinkLane,
)
from busway.testing.sink_load import LOG, first_load, load_item, retry_load, under_lease
from busway.testing.sink_suite import SinkSuite, write


class ExactlyOnceSinkSuite(SinkSuite):
    """What holds for a sink that ``keeps_positions``: see :meth:`busway.ports.Destination.write`.

    Its declaration must not upsert: then a result that lands twice is there twice.
    """

    async def test_it_says_that_it_keeps_positions(self, tmp_path: Path) -> None:
        sink = self.declare(tmp_path)
        assert isinstance(sink, KeepsPositions)
        assert sink.keeps_positions is True

    async def test_a_repeated_load_lands_nothing_twice(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        assert await write(destination, first_load(self.items(0, 5))) == [DELIVERED] * 5
        assert await write(destination, first_load(self.items(0, 8))) == [DELIVERED] * 8
        assert await write(destination, retry_load(self.items(3, 4))) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == list(range(8))

    async def test_it_remembers_after_it_was_opened_again(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as destination:
            await write(destination, first_load(self.items(0, 5), failed_offsets=[5]))
        async with self.opened(tmp_path) as destination:
            assert await write(destination, first_load(self.items(2, 8))) == [DELIVERED] * 6
        async with self.opened(tmp_path) as destination:
            assert await write(destination, retry_load(self.items(5, 6))) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == list(range(8))

    async def test_a_failed_offset_is_landed_by_its_retry_once(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        load = first_load([*self.items(0, 2), *self.items(3, 5)], failed_offsets=[2])
        assert await write(destination, load) == [DELIVERED] * 4
        for _ in range(2):
            assert await write(destination, retry_load(self.items(2, 3))) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == list(range(5))

    async def test_failed_offsets_alone_are_remembered(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as destination:
            load = first_load([], failed_offsets=[0, 1, 2])
            assert await write(destination, load, outcomes=0) == []
        async with self.opened(tmp_path) as destination:
            for _ in range(2):
                assert await write(destination, retry_load(self.items(1, 2))) == [DELIVERED]
        assert await self.numbers(tmp_path) == [1]

    async def test_what_the_destination_refused_lands_once_when_it_is_mended(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        items = [*self.items(0, 2), load_item(2, self.result(2), self.bad_result())]
        outcomes = await write(destination, first_load([*items, *self.items(3, 5)]))
        assert isinstance(outcomes[2], Rejected)
        assert sorted(await self.numbers(tmp_path)) == [0, 1, 3, 4], "an item lands as a whole"
        for _ in range(2):
            assert await write(destination, retry_load(self.items(2, 3))) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == list(range(5))

    async def test_a_retry_before_any_load_is_remembered(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        for _ in range(2):
            assert await write(destination, retry_load(self.items(2, 3))) == [DELIVERED]
        assert await write(destination, first_load(self.items(0, 5))) == [DELIVERED] * 5
        assert sorted(await self.numbers(tmp_path)) == list(range(5))

    async def test_each_lane_has_a_position_of_its_own(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        for lane in (
            SinkLane(LOG, "orders", 0),
            SinkLane(LOG, "orders", 1),
            SinkLane(LOG, "bills", 0),
            SinkLane("a7", "orders", 0),
        ):
            load = replace(first_load(self.items(0, 3)), lane=lane)
            for _ in range(2):
                assert await write(destination, load) == [DELIVERED] * 3
        assert sorted(await self.numbers(tmp_path)) == sorted([0, 1, 2] * 4)

    async def test_two_openings_land_a_load_once(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as two:
            load = first_load(self.items(0, 50))
            outcomes = await asyncio.gather(*(write(each, load) for each in (one, two, one, two)))
        assert outcomes == [[DELIVERED] * 50] * 4
        assert sorted(await self.numbers(tmp_path)) == list(range(50))

    async def test_a_cancelled_write_landed_as_a_whole_or_not_at_all(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        await write(destination, first_load(self.items(0, 1)))
        load = first_load(self.items(1, 20))
        for steps in range(8):
            writing = asyncio.create_task(write(destination, load))
            for _ in range(steps):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        assert await write(destination, load) == [DELIVERED] * 19
        assert sorted(await self.numbers(tmp_path)) == list(range(20))

    async def test_a_load_under_an_older_lease_is_refused_as_a_whole(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as destination:
            fresh = under_lease(first_load(self.items(0, 3)), 3)
            assert await write(destination, fresh) == [DELIVERED] * 3
            old = under_lease(first_load(self.items(3, 5)), 2)
            assert await write(destination, old) == [NOT_ATTEMPTED] * 2
        async with self.opened(tmp_path) as destination:
            assert await write(destination, old) == [NOT_ATTEMPTED] * 2
            retry = retry_load(self.items(9, 10))
            assert await write(destination, under_lease(retry, 1)) == [NOT_ATTEMPTED]
            holes = under_lease(first_load([], failed_offsets=[3]), 2)
            assert await write(destination, holes, outcomes=1) == [NOT_ATTEMPTED]
            assert await write(destination, retry) == [DELIVERED], "0 is under no lease"
            assert await write(destination, under_lease(old, 3)) == [DELIVERED] * 2
            other = first_load(self.items(20, 21), partition=1)
            assert await write(destination, under_lease(other, 1)) == [DELIVERED], "another lane"
        assert sorted(await self.numbers(tmp_path)) == [0, 1, 2, 3, 4, 9, 20]

    async def test_it_knows_what_was_delivered(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        if not isinstance(destination, KnowsDelivered):
            return
        lane = SinkLane(LOG, "orders", 0)
        assert await destination.delivered_range(lane, range(12)) == DeliveredRange()
        load = first_load([*self.items(3, 5), *self.items(6, 8)], failed_offsets=[5])
        await write(destination, load)
        known = DeliveredRange(3, 8, frozenset({3, 4, 6, 7}))
        assert await destination.delivered_range(lane, range(12)) == known
        await write(destination, retry_load([*self.items(1, 2), *self.items(5, 6)]))
        known = DeliveredRange(3, 8, frozenset({1, 3, 4, 5, 6, 7}))
        assert await destination.delivered_range(lane, range(12)) == known
        assert await destination.delivered_range(lane, [0, 3]) == DeliveredRange(
            3, 8, frozenset({3})
        )
        other = SinkLane(LOG, "orders", 1)
        assert await destination.delivered_range(other, range(12)) == DeliveredRange()

    @pytest.mark.parametrize("seed", range(5))
    async def test_whatever_is_repeated_each_offset_lands_once(
        self, tmp_path: Path, seed: int
    ) -> None:
        """Loads that overlap, that skip what failed before the sink, and retries, at random."""
        chance = random.Random(seed)
        landed: set[int] = set()
        end = 0
        for _ in range(4):
            async with self.opened(tmp_path) as destination:
                for _ in range(6):
                    start = max(0, end - chance.choice((0, 0, 5)))
                    end = max(end, start + chance.randrange(1, 8))
                    failed = [n for n in range(start, end) if chance.random() < 0.3]
                    numbers = [n for n in range(start, end) if n not in failed]
                    load = first_load(self._numbered(numbers), failed_offsets=failed)
                    assert await write(destination, load) == [DELIVERED] * len(numbers)
                    retried = chance.sample(range(end), chance.randrange(1, min(end, 3) + 1))
                    await write(destination, retry_load(self._numbered(retried)))
                    landed.update(numbers, retried)
        assert sorted(await self.numbers(tmp_path)) == sorted(landed)

    def _numbered(self, numbers: Sequence[int]) -> list[LoadItem]:
        return [item for number in numbers for item in self.items(number, number + 1)]
