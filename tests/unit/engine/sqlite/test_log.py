"""What is particular to the log on SQLite: a full disk, damage, its WAL, its cache."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import apsw
import msgspec
import pytest

from busway.engine.registry import open_stores
from busway.engine.sqlite import SqliteLog
from busway.engine.sqlite.pragma import WAL_LIMIT_BYTES
from busway.errors import StoreCorrupted, StoreFull, StoreTooNew
from busway.ports import NeedsMaintenance, NewBatch, Stores
from busway.settings import Settings
from small_disk import mounted_disk

AT = datetime(2030, 1, 1, tzinfo=UTC)
EVERYTHING = 1 << 40


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    stores = await open_stores(settings)
    yield stores
    await stores.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", "8m") as disk:
        yield disk


def meddle(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


async def fill(stores: Stores) -> int:
    """Append until there is no room; return how many events were taken."""
    for taken in range(1000):
        try:
            await stores.log.append([NewBatch(0, [b"x" * 50_000])], AT)
        except StoreFull:
            return taken
    raise AssertionError("it never got full")


async def test_a_full_disk_stores_nothing_and_passes(small_disk: Path, settings: Settings) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3_000_000))
    stores = await open_stores(msgspec.structs.replace(settings, data=small_disk / "data"))
    taken = await fill(stores)
    assert taken > 10
    assert await stores.log.bounds(0) == (0, taken)
    with pytest.raises(StoreFull, match=r"log\.db"):
        await stores.log.append([NewBatch(1, [b"s"]), NewBatch(0, [b"x" * 500_000])], AT)
    ballast.unlink()
    assert list(await stores.log.append([NewBatch(0, [b"x" * 50_000])], AT)) == [taken]
    await stores.close()
    stores = await open_stores(msgspec.structs.replace(settings, data=small_disk / "data"))
    assert await stores.log.bounds(0) == (0, taken + 1)
    await stores.close()


async def test_a_full_database_file_is_a_full_store(stores: Stores) -> None:
    log = stores.log
    assert isinstance(log, SqliteLog)
    await log._writer.submit(lambda connection: connection.pragma("max_page_count", 40))
    taken = await fill(stores)
    assert await log.bounds(0) == (0, taken)
    assert sum(len(b.events) for b in await log.read(0, 0, EVERYTHING)) == taken
    await log.trim(0, taken)
    assert list(await log.append([NewBatch(0, [b"x" * 50_000])], AT)) == [taken]


async def test_min_free_bytes_keeps_the_disk_from_filling(settings: Settings) -> None:
    stores = await open_stores(msgspec.structs.replace(settings, min_free_bytes=1 << 60))
    with pytest.raises(StoreFull, match="min_free_bytes"):
        await stores.log.append([NewBatch(0, [b"{}"])], AT)
    assert await stores.log.bounds(0) == (0, 0)
    await stores.close()


async def test_trimmed_pages_are_used_again(stores: Stores, settings: Settings) -> None:
    log = stores.log
    assert isinstance(log, NeedsMaintenance)
    sizes = []
    for _ in range(5):
        for _ in range(20):
            await log.append([NewBatch(0, [b"x" * 100_000])], AT)
        await log.trim(0, EVERYTHING)
        await log.maintain()
        sizes.append((settings.data / "log.db").stat().st_size)
    assert sizes[0] == sizes[-1]


async def test_a_damaged_batch_is_named(settings: Settings) -> None:
    stores = await open_stores(settings)
    await stores.log.append([NewBatch(1, [b"a", b"b"])], AT)
    await stores.log.append([NewBatch(1, [b"c"])], AT)
    await stores.close()
    flip = "UPDATE batch SET body = CAST(substr(body, 1, 17) || x'ff' AS BLOB) WHERE id & 3 = 2"
    meddle(settings.data / "log.db", flip)
    stores = await open_stores(settings)
    assert [list(b.events) for b in await stores.log.read(1, 0, EVERYTHING)] == [[b"a", b"b"]]
    with pytest.raises(StoreCorrupted, match="partition 1, offset 2"):
        await stores.log.read(1, 2, EVERYTHING)
    await stores.close()


async def test_a_batch_from_the_future_is_named(settings: Settings) -> None:
    stores = await open_stores(settings)
    await stores.log.append([NewBatch(0, [b"a"])], AT)
    await stores.close()
    meddle(
        settings.data / "log.db", "UPDATE batch SET body = CAST(x'09' || substr(body, 2) AS BLOB)"
    )
    stores = await open_stores(settings)
    with pytest.raises(StoreTooNew, match="partition 0, offset 0"):
        await stores.log.read(0, 0, 1)
    await stores.close()


async def test_maintain_keeps_the_wal_small_under_load(stores: Stores, settings: Settings) -> None:
    log = stores.log
    assert isinstance(log, NeedsMaintenance)
    wal = settings.data / "log.db-wal"

    async def load() -> None:
        for _ in range(100):
            await log.append([NewBatch(0, [bytes(4_000_000)])], AT)
            await log.trim(0, EVERYTHING)

    loading = asyncio.create_task(load())
    largest = 0
    while not loading.done():
        await log.maintain()
        largest = max(largest, wal.stat().st_size)
    await loading
    assert largest < 4 * WAL_LIMIT_BYTES  # of six; the more there is, the longer it is patient
    await log.maintain()
    await log.maintain()
    assert wal.stat().st_size == 0


async def test_reads_at_the_end_use_the_cache(stores: Stores) -> None:
    log = stores.log
    assert isinstance(log, SqliteLog)
    await log.append([NewBatch(0, [b"a"])], AT)
    log._reader.close()
    assert [list(b.events) for b in await log.read(0, 0, EVERYTHING)] == [[b"a"]]
    assert list(await log.read(0, 1, EVERYTHING)) == []


@pytest.mark.parametrize("draft", [NewBatch(2, [b"a"]), NewBatch(-1, [b"a"]), NewBatch(0, [])])
async def test_a_draft_without_events_or_partition_raises_value_error(
    stores: Stores, draft: NewBatch
) -> None:
    with pytest.raises(ValueError, match="no such partition"):
        await stores.log.append([NewBatch(0, [b"a"]), draft], AT)
    assert await stores.log.bounds(0) == (0, 0)
