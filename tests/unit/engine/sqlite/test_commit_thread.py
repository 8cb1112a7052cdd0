"""Many tasks, few transactions, and an error only for the one who caused it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from busway.engine.sqlite.commit_thread import CommitThread, Work
from busway.engine.sqlite.database import connect
from busway.errors import StoreError
from command import DEADLINE_S


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    connection = connect(path, page_bytes=4096)
    connection.execute("CREATE TABLE done (number INTEGER PRIMARY KEY)")
    connection.close()
    return path


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[CommitThread]:
    writer = CommitThread(connect(path), path)
    yield writer
    await writer.close()


def insert(number: int) -> Work[int]:
    def work(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO done VALUES (?)", (number,))
        return number

    return work


def stored(path: Path) -> list[int]:
    connection = connect(path)
    numbers = [number for (number,) in connection.execute("SELECT number FROM done")]
    connection.close()
    return numbers


async def held_back(writer: CommitThread) -> threading.Event:
    """Keep the thread busy until the event is set, so that a group comes together."""
    started, go = threading.Event(), threading.Event()

    def work(connection: apsw.Connection) -> None:
        started.set()
        go.wait(DEADLINE_S)

    writer.submit(work)
    assert await asyncio.to_thread(started.wait, DEADLINE_S)
    return go


async def test_submitted_work_is_stored(writer: CommitThread, path: Path) -> None:
    assert await writer.submit(insert(7)) == 7
    assert stored(path) == [7]


async def test_waiting_work_shares_a_transaction(writer: CommitThread, path: Path) -> None:
    commits = 0

    def counted(connection: apsw.Connection) -> None:
        def committing() -> bool:
            nonlocal commits
            commits += 1
            return False

        connection.set_commit_hook(committing)

    await writer.submit(counted)
    commits = 0
    go = await held_back(writer)
    futures = [writer.submit(insert(number)) for number in range(200)]
    go.set()
    assert await asyncio.gather(*futures) == list(range(200))
    assert commits == 2
    assert stored(path) == list(range(200))


async def test_an_error_reaches_only_its_own_caller(writer: CommitThread, path: Path) -> None:
    def wrong(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO done VALUES (99)")
        raise ValueError("mine")

    go = await held_back(writer)
    futures = [writer.submit(work) for work in (insert(1), wrong, insert(2), insert(1))]
    go.set()
    first, mine, second, twice = await asyncio.gather(*futures, return_exceptions=True)
    assert (first, second) == (1, 2)
    assert isinstance(mine, ValueError)
    assert isinstance(twice, StoreError)
    assert stored(path) == [1, 2]


async def test_cancelled_work_is_stored_anyway(writer: CommitThread) -> None:
    landed: list[int] = []
    go = await held_back(writer)
    writer.submit(insert(1), landed.append).cancel()
    go.set()
    await writer.submit(insert(2), landed.append)
    assert landed == [1, 2]


async def test_closing_finishes_submitted_work(path: Path) -> None:
    writer = CommitThread(connect(path), path)
    futures = [writer.submit(insert(number)) for number in range(1000)]
    await writer.close()
    assert stored(path) == list(range(1000))
    assert len(await asyncio.gather(*futures)) == 1000
    with pytest.raises(StoreError, match="is closed"):
        writer.submit(insert(1))
    await writer.close()


async def test_every_commit_is_synced(writer: CommitThread) -> None:
    def pragmas(connection: apsw.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "wal_autocheckpoint", "foreign_keys")
        return [connection.pragma(name) for name in names]

    assert await writer.submit(pragmas) == ["wal", 2, 0, 1]
