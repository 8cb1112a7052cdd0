"""Several have one data directory open: what one commits the others see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from busway.engine.registry import open_stores
from busway.errors import StoreLocked
from busway.named_value import ValueChange
from busway.ports import NeedsMaintenance, NewBatch, SharedDirectory, Stores, WakeUps
from busway.settings import Settings
from log_appenders import all_is_read

AT = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 2
MEMBERS = 3


class Round(list[Callable[[], None]]):
    """Hints between members of one process: what one tells all others hear at once."""

    def member(self) -> WakeUps:
        return Member(self)


class Member:
    def __init__(self, others: Round) -> None:
        self._round = others
        self._look: Callable[[], None] = lambda: None

    def notify(self) -> None:
        for look in self._round:
            if look != self._look:
                look()

    def subscribe(self, look: Callable[[], None]) -> None:
        self._look = look
        self._round.append(look)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", partitions=PARTITIONS, min_free_bytes=0)


@asynccontextmanager
async def opened(settings: Settings, count: int) -> AsyncIterator[list[Stores]]:
    """Open a directory as the first of a family does, and as those do that inherit its lock."""
    hints = Round()
    async with AsyncExitStack() as stack:
        stores: list[Stores] = []
        for _ in range(count):
            lock = stores[0].lock_fd if stores else None
            one = await open_stores(settings, SharedDirectory(hints.member(), lock))
            if stores:
                one = Stores(one.log, one.ledger, directory=one.directory, is_shared=True)
            stores.append(one)
            stack.push_async_callback(one.close)
        yield stores


async def test_no_batch_is_missed_while_all_append(settings: Settings) -> None:
    async with opened(settings, MEMBERS) as members:
        logs = [one.log for one in members]
        await all_is_read(logs, logs, rounds=40)


async def test_a_hint_wakes_waiting_readers(settings: Settings) -> None:
    async with opened(settings, 2) as (first, second):
        for offset in range(60):
            waiting = asyncio.create_task(second.log.wait(1, offset))
            await asyncio.sleep(0)
            await first.log.append([NewBatch(1, [b"a"])], AT)
            await asyncio.sleep(0)
            assert waiting.done(), "it looks by itself, later"
        assert [one.events for one in await second.log.read(1, 0, 1)] == [[b"a"]]


async def test_what_several_change_in_the_ledger_is_changed_by_one_after_the_other(
    settings: Settings,
) -> None:
    async with opened(settings, MEMBERS) as members:

        async def count(stores: Stores) -> None:
            for _ in range(20):
                while True:
                    before = (await stores.ledger.get_values("count")).get("count")
                    after = b"%d" % (int(before or b"0") + 1)
                    if await stores.ledger.change_values(
                        [ValueChange("count", after, expected=before)]
                    ):
                        break

        async with asyncio.timeout(60):
            await asyncio.gather(*map(count, members))
        for one in members:
            assert await one.ledger.get_values("count") == {"count": b"60"}


async def test_the_wal_of_what_another_commits_is_kept_small(settings: Settings) -> None:
    wal = settings.data / "log.db-wal"
    async with opened(settings, 2) as (first, second):
        assert isinstance(second.log, NeedsMaintenance)
        await second.log.maintain()
        await first.log.append([NewBatch(0, [b"x" * 1_000_000])], AT)
        assert wal.stat().st_size > 1_000_000
        for _ in range(3):
            await second.log.maintain()
        assert wal.stat().st_size == 0


async def test_the_last_one_leaves_nothing_behind_the_files(settings: Settings) -> None:
    async with opened(settings, 2) as (first, second):
        await first.log.append([NewBatch(0, [b"a"])], AT)
        await second.log.append([NewBatch(0, [b"b"])], AT)
    assert {one.name for one in settings.data.iterdir()} == {"lock", "log.db", "ledger.db"}


async def test_a_stranger_is_refused_as_long_as_one_is_left(settings: Settings) -> None:
    async with opened(settings, 2):
        with pytest.raises(StoreLocked):
            await open_stores(settings)
    async with opened(settings, 1):
        pass
