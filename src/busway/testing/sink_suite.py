"""What every sink must do. Subclass a suite, say how to declare your sink, and run pytest.

::

    class TestMySink(SinkSuite):
        def declare(self, place: Path) -> Sink:
            return MySink(place / "out.txt")

        async def numbers(self, place: Path) -> Sequence[int]:
            return [int(line) for line in (place / "out.txt").read_text().split()]

A sink that keeps positions takes :class:`busway.testing.ExactlyOnceSinkSuite` in addition, one
whose destination can be away :class:`busway.testing.OutageSinkSuite`.
"""
# ruff: noqa: S101

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
from msgspec.structs import replace

from busway.errors import SinkError
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Outcome, Rejected, Retry
from busway.ports import (
    Destination,
    KeepsPositions,
    KnowsDelivered,
    Load,
    LoadItem,
    LocatesResults,
    Pingable,
    Sink,
    SinkContext,
    TakesPermits,
    ValidatesConfig,
)
from busway.testing.hostile_result import HOSTILE_RESULTS
from busway.testing.sink_load import (
    CountedPermits,
    RecordingBus,
    first_load,
    load_item,
    retry_load,
)

TIMEOUT_S = 60.0
MAX_NAME_LENGTH = 500
"""As many characters of a sink's name as the ledger keeps."""


async def write(destination: Destination, load: Load, outcomes: int | None = None) -> list[Outcome]:
    """Write a load and return its outcomes, one for each item."""
    async with asyncio.timeout(TIMEOUT_S):
        answer = list(await destination.write(load))
    assert len(answer) == (len(load.items) if outcomes is None else outcomes)
    assert all(isinstance(outcome, Outcome) for outcome in answer), answer
    return answer


@pytest.mark.asyncio
class SinkSuite(ABC):
    """What holds for any sink."""

    secrets: ClassVar[Sequence[str]] = ()
    """Texts in the declaration that no person may see."""

    @abstractmethod
    def declare(self, place: Path) -> Sink:
        """Declare the sink for a destination at a place; an equal one for the same place."""

    @abstractmethod
    async def numbers(self, place: Path) -> Sequence[int]:
        """Return the numbers of the results in the destination, each as often as it is there."""

    def result(self, number: int) -> object:
        """Return a result that the destination takes, with a number to know it by."""
        return {"number": number}

    def bad_result(self) -> object:
        """Return a result that the destination never takes."""
        return object()

    def never_valid(self) -> Sequence[Sink]:
        """Return declarations that can never work."""
        return ()

    def context(self) -> SinkContext:
        """Return what the sink may use."""
        return RecordingBus()

    def items(self, first: int, end: int) -> list[LoadItem]:
        """Return items with one result each, numbered as their offsets."""
        return [load_item(offset, self.result(offset)) for offset in range(first, end)]

    def shows_secret(self, text: str) -> bool:
        """Say whether a text has a secret of the declaration in it."""
        return any(secret in text for secret in self.secrets)

    @asynccontextmanager
    async def opened(self, place: Path) -> AsyncIterator[Destination]:
        destination = await self.declare(place).open(self.context())
        try:
            yield destination
        finally:
            await destination.close()

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Destination]:
        async with self.opened(tmp_path) as destination:
            yield destination

    async def test_a_declaration_is_a_record_that_compares(self, tmp_path: Path) -> None:
        sink, same = self.declare(tmp_path), self.declare(tmp_path)
        assert isinstance(sink, Sink)
        assert sink == same
        assert len({sink, same}) == 1, "equal declarations are opened once, so they are hashable"

    async def test_the_name_is_for_people_and_has_no_secret(self, tmp_path: Path) -> None:
        sink = self.declare(tmp_path)
        shown = [sink.name]
        if isinstance(sink, LocatesResults):
            shown.append(sink.result_location().place)
        for text in shown:
            assert text.strip() == text != ""
            assert text.isprintable()
            assert not self.shows_secret(text)
        assert len(sink.name) <= MAX_NAME_LENGTH

    async def test_a_configuration_that_never_works_is_refused(self, tmp_path: Path) -> None:
        sink = self.declare(tmp_path)
        if isinstance(sink, ValidatesConfig):
            sink.validate_config()
        for wrong in self.never_valid():
            if isinstance(wrong, ValidatesConfig):
                with pytest.raises(SinkError):
                    wrong.validate_config()
            with pytest.raises(SinkError):
                await wrong.open(self.context())

    async def test_each_item_gets_an_outcome_and_is_there(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        assert await write(destination, first_load(self.items(0, 20))) == [DELIVERED] * 20
        assert await write(destination, first_load(self.items(20, 21))) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == list(range(21))

    async def test_all_results_of_an_item_are_there(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        item = load_item(0, *map(self.result, range(3)))
        assert await write(destination, first_load([item, *self.items(3, 4)])) == [DELIVERED] * 2
        assert sorted(await self.numbers(tmp_path)) == list(range(4))

    async def test_a_load_without_items_lands_nothing(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        await write(destination, first_load(self.items(0, 1)))
        load = first_load([], failed_offsets=[1, 2])
        assert await write(destination, load, outcomes=0) == []
        assert await self.numbers(tmp_path) == [0]

    async def test_a_bad_item_fails_alone_and_can_be_retried(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        items = self.items(0, 10)
        items[4] = load_item(4, self.bad_result())
        items[7] = load_item(7, self.result(7), self.bad_result())
        outcomes = await write(destination, first_load(items))
        failed = [n for n, outcome in enumerate(outcomes) if outcome != DELIVERED]
        assert failed == [4, 7], outcomes
        assert all(isinstance(outcomes[n], Rejected | Retry) for n in failed)
        assert sorted({*await self.numbers(tmp_path)} - {7}) == [0, 1, 2, 3, 5, 6, 8, 9]
        assert await write(destination, retry_load(self.items(4, 5))) == [DELIVERED]
        assert sorted({*await self.numbers(tmp_path)} - {7}) == [0, 1, 2, 3, 4, 5, 6, 8, 9]

    async def test_a_failure_says_what_was_wrong(self, destination: Destination) -> None:
        (outcome,) = await write(destination, first_load([load_item(0, self.bad_result())]))
        assert isinstance(outcome, Rejected | Retry)
        assert outcome.error
        assert outcome.reason
        assert not self.shows_secret(outcome.reason)

    @pytest.mark.parametrize("name", HOSTILE_RESULTS)
    async def test_no_result_makes_it_raise(self, destination: Destination, name: str) -> None:
        await write(destination, first_load(self.items(0, 1)))
        hostile = load_item(2, HOSTILE_RESULTS[name]())
        load = first_load([*self.items(1, 2), hostile, *self.items(3, 4)])
        before, _, after = await write(destination, load)
        assert (before, after) == (DELIVERED, DELIVERED)

    async def test_lanes_write_at_the_same_time(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        async def lane(partition: int) -> list[Outcome]:
            numbers = range(partition * 10, partition * 10 + 10)
            items = self.items(numbers.start, numbers.stop)
            first = await write(destination, first_load(items[:5], partition=partition))
            return first + await write(destination, first_load(items[5:], partition=partition))

        outcomes = await asyncio.gather(*map(lane, range(6)))
        assert outcomes == [[DELIVERED] * 10] * 6
        assert sorted(await self.numbers(tmp_path)) == list(range(60))

    async def test_retries_are_written_beside_fresh_loads(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        missing = [2, 5, 8]
        items = [item for item in self.items(0, 10) if item.offset not in missing]
        await write(destination, first_load(items, failed_offsets=missing))
        retries = [retry_load(self.items(offset, offset + 1)) for offset in missing]
        fresh = [first_load(self.items(10, 15)), *retries]
        await asyncio.gather(*(write(destination, load) for load in fresh))
        assert sorted(await self.numbers(tmp_path)) == list(range(15))

    async def test_it_goes_on_after_a_write_was_cancelled(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        await write(destination, first_load(self.items(0, 1)))
        load = first_load(self.items(1, 5))
        writing = asyncio.create_task(write(destination, load))
        await asyncio.sleep(0)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert await write(destination, load) == [DELIVERED] * 4
        assert {*await self.numbers(tmp_path)} == set(range(5))

    async def test_it_is_opened_again_and_goes_on(self, tmp_path: Path) -> None:
        for number in range(3):
            async with self.opened(tmp_path) as destination:
                load = first_load(self.items(number, number + 1))
                assert await write(destination, load) == [DELIVERED]
        assert sorted(await self.numbers(tmp_path)) == [0, 1, 2]

    async def test_closing_again_does_nothing(self, tmp_path: Path) -> None:
        """Another opening of the same declaration is not closed with it, either."""
        async with self.opened(tmp_path) as other:
            destination = await self.declare(tmp_path).open(self.context())
            await destination.close()
            await destination.close()
            assert await write(other, first_load(self.items(0, 2))) == [DELIVERED] * 2
        assert sorted(await self.numbers(tmp_path)) == [0, 1]

    async def test_it_can_be_closed_before_anything_is_written(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path):
            pass
        async with self.opened(tmp_path) as destination:
            assert await write(destination, first_load(self.items(0, 1))) == [DELIVERED]

    async def test_a_ping_answers_that_it_is_there(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        if not isinstance(destination, Pingable):
            return
        async with asyncio.timeout(TIMEOUT_S):
            assert await destination.ping() is None
        await write(destination, first_load(self.items(0, 1)))
        assert await self.numbers(tmp_path) == [0], "a ping leaves nothing behind"

    async def test_without_a_permit_nothing_is_sent(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        if not isinstance(self.declare(tmp_path), TakesPermits):
            return
        permits = CountedPermits(0)
        load = replace(first_load(self.items(0, 5)), permits=permits)
        assert await write(destination, load) == [NOT_ATTEMPTED] * 5
        assert (permits.held, list(await self.numbers(tmp_path))) == (0, [])

    async def test_every_permit_is_given_back(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        if not isinstance(self.declare(tmp_path), TakesPermits):
            return
        permits = CountedPermits(3)
        load = replace(first_load(self.items(0, 9)), permits=permits)
        outcomes = await write(destination, load)
        delivered = [n for n, outcome in enumerate(outcomes) if outcome == DELIVERED]
        assert delivered
        assert {*outcomes} <= {DELIVERED, NOT_ATTEMPTED}
        assert permits.held == 0
        assert sorted(await self.numbers(tmp_path)) == delivered

    async def test_what_it_claims_to_keep_it_keeps(
        self, tmp_path: Path, destination: Destination
    ) -> None:
        """One that knows what was delivered keeps positions, and is held to that."""
        keeps = isinstance(self.declare(tmp_path), KeepsPositions)
        assert keeps or not isinstance(destination, KnowsDelivered)
        suites = {suite.__name__ for suite in type(self).__mro__}
        assert keeps == ("ExactlyOnceSinkSuite" in suites), "subclass ExactlyOnceSinkSuite for it"
