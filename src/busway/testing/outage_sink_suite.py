"""What a sink must do in addition whose destination can be away for a while."""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from busway.outcome import DELIVERED, Down, NotAttempted
from busway.ports import KeepsPositions, KnowsDelivered, Pingable, SinkLane
from busway.testing.sink_load import LOG, first_load
from busway.testing.sink_suite import TIMEOUT_S, SinkSuite, write


class OutageSinkSuite(SinkSuite):
    """What holds for a sink whose destination is away, and comes back."""

    ping_notices_outage: ClassVar[bool] = True
    """Whether a ping can see that the destination is away."""

    @abstractmethod
    async def take_away(self, place: Path) -> None:
        """Have the destination take nothing, with what it holds unharmed."""

    @abstractmethod
    async def bring_back(self, place: Path) -> None:
        """Have it take what comes again."""

    async def test_a_destination_that_is_away_does_not_stop_the_start(self, tmp_path: Path) -> None:
        await self.take_away(tmp_path)
        async with self.opened(tmp_path) as destination:
            (outcome,) = await write(destination, first_load(self.items(0, 1)))
            assert isinstance(outcome, Down)
            await self.bring_back(tmp_path)
            assert await write(destination, first_load(self.items(0, 1))) == [DELIVERED]
        assert await self.numbers(tmp_path) == [0]

    async def test_one_that_goes_away_is_down_until_it_is_back(self, tmp_path: Path) -> None:
        """What it was not sent because of that is not attempted; nothing is parked or dead."""
        async with self.opened(tmp_path) as destination:
            assert await write(destination, first_load(self.items(0, 2))) == [DELIVERED] * 2
            await self.take_away(tmp_path)
            outcomes = await write(destination, first_load(self.items(2, 5)))
            down = [outcome for outcome in outcomes if isinstance(outcome, Down)]
            assert down
            assert all(isinstance(outcome, Down | NotAttempted) for outcome in outcomes), outcomes
            assert all(outcome.reason for outcome in down)
            assert not [outcome for outcome in down if self.shows_secret(outcome.reason)]
            await self.bring_back(tmp_path)
            assert await write(destination, first_load(self.items(2, 5))) == [DELIVERED] * 3
        assert sorted(await self.numbers(tmp_path)) == list(range(5))

    async def test_a_ping_tells_whether_it_is_there(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as destination:
            if not isinstance(destination, Pingable):
                return
            for _ in range(2):
                await self.take_away(tmp_path)
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await destination.ping()
                    assert answer is None or isinstance(answer, Down)
                    assert (answer is None) != self.ping_notices_outage
                await self.bring_back(tmp_path)
                async with asyncio.timeout(TIMEOUT_S):
                    assert await destination.ping() is None

    async def test_it_is_closed_while_it_is_away(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as destination:
            await write(destination, first_load(self.items(0, 1)))
            await self.take_away(tmp_path)
            async with asyncio.timeout(TIMEOUT_S):
                await destination.close()
        await self.bring_back(tmp_path)
        async with self.opened(tmp_path) as destination:
            assert await write(destination, first_load(self.items(1, 2))) == [DELIVERED]

    async def test_what_it_could_not_remember_is_down(self, tmp_path: Path) -> None:
        if not isinstance(self.declare(tmp_path), KeepsPositions):
            return
        async with self.opened(tmp_path) as destination:
            await write(destination, first_load(self.items(0, 1)))
            await self.take_away(tmp_path)
            load = first_load([], failed_offsets=[1, 2])
            (outcome,) = await write(destination, load, outcomes=1)
            assert isinstance(outcome, Down)
            if isinstance(destination, KnowsDelivered):
                known = await destination.delivered_range(SinkLane(LOG, "orders", 0), [0])
                assert isinstance(known, Down)
            await self.bring_back(tmp_path)
            assert await write(destination, load, outcomes=0) == []
