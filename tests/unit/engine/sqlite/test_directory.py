"""A data directory: made whole or not at all, one process at a time, and checked when opened."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import apsw
import msgspec
import pytest

from busway.engine.registry import open_stores
from busway.engine.sqlite import directory
from busway.engine.sqlite.move import SqliteMoveOrigin
from busway.errors import StoreCorrupted, StoreError, StoreLocked, StoreTooNew, StoreTooOld
from busway.ports import NewBatch
from busway.settings import Settings

AT = datetime(2030, 1, 1, tzinfo=UTC)
HOLD = """
import sys, pathlib
from busway.engine.sqlite import directory
held = directory.lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


FORMAT_4_META = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('identity', '01493553-1197-4d3a-97a2-e6b7dfa09a02');
"""
FORMAT_4_FILES = {
    "log.db": (
        0x42_57_4C_4F,
        """
        CREATE TABLE batch (id INTEGER PRIMARY KEY, count INTEGER NOT NULL,
            appended_at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
        CREATE TABLE partition (partition INTEGER PRIMARY KEY, base INTEGER NOT NULL) STRICT;
        INSERT INTO partition VALUES (0, 0);
        """,
    ),
    "ledger.db": (
        0x42_57_4C_45,
        """
        CREATE TABLE lane (flow TEXT NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL,
            cursor INTEGER NOT NULL, worker TEXT, epoch INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (flow, partition)) STRICT, WITHOUT ROWID;
        CREATE TABLE trouble (flow TEXT NOT NULL, partition INTEGER NOT NULL,
            "offset" INTEGER NOT NULL, event BLOB NOT NULL,
            PRIMARY KEY (flow, partition, "offset")) STRICT;
        INSERT INTO lane VALUES ('orders', 0, 0, 2, 'w1', 3);
        INSERT INTO trouble VALUES ('orders', 0, 1, CAST('{}' AS BLOB));
        """,
    ),
}
"""The application id and the tables of each file in format 4, as older versions created them."""


async def made(settings: Settings) -> str:
    """Make a directory with an event in it and return the log's identity."""
    stores = await open_stores(settings)
    await stores.log.append([NewBatch(0, [b"{}"])], AT)
    await stores.close()
    return stores.log.identity


async def refused(settings: Settings, error: type[StoreError], match: str) -> None:
    """Open and see that refused, twice, so that a refusal holds no lock."""
    for _ in range(2):
        with pytest.raises(error, match=match):
            await open_stores(settings)


async def test_a_directory_is_created_for_this_user_alone(settings: Settings) -> None:
    await made(settings)
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    assert {path.name for path in settings.data.iterdir()} == {"lock", "log.db", "ledger.db"}


async def test_a_reopened_directory_has_the_same_identity(settings: Settings) -> None:
    identity = await made(settings)
    stores = await open_stores(msgspec.structs.replace(settings, partitions=9))
    assert (stores.log.identity, stores.log.partitions) == (identity, 2)
    await stores.close()


async def test_two_directories_are_two_logs(settings: Settings, tmp_path: Path) -> None:
    other = msgspec.structs.replace(settings, data=tmp_path / "other")
    assert await made(settings) != await made(other)


async def test_a_second_process_is_refused_with_the_first_ones_pid(settings: Settings) -> None:
    await made(settings)
    command = [sys.executable, "-c", HOLD, str(settings.data)]
    with subprocess.Popen(  # noqa: ASYNC220 - a start of a few ms
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert await asyncio.to_thread(holder.stdout.readline) == b"held\n"
        await refused(settings, StoreLocked, f"process {holder.pid}; stop it")
        holder.communicate()
    await made(settings)


async def test_closing_gives_the_lock_back(settings: Settings) -> None:
    stores = await open_stores(settings)
    await refused(settings, StoreLocked, str(os.getpid()))
    await stores.close()
    await made(settings)


@pytest.mark.parametrize("name", ["log.db", "ledger.db"])
async def test_a_missing_file_is_corruption(settings: Settings, name: str) -> None:
    await made(settings)
    (settings.data / name).unlink()
    await refused(settings, StoreCorrupted, f"{name} is missing; restore")


@pytest.mark.parametrize("name", ["log.db-wal", "ledger.db-wal"])
async def test_a_wal_without_its_database_is_corruption(settings: Settings, name: str) -> None:
    settings.data.mkdir()
    (settings.data / name).write_bytes(b"x")
    await refused(settings, StoreCorrupted, f"{name} without its database; restore")


@pytest.mark.parametrize("name", ["log.db", "ledger.db"])
@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
async def test_a_file_that_is_no_database_is_corruption(
    settings: Settings, name: str, content: bytes
) -> None:
    await made(settings)
    (settings.data / name).write_bytes(content)
    await refused(settings, StoreCorrupted, name)


async def test_a_file_that_cannot_be_opened_is_corruption(settings: Settings) -> None:
    await made(settings)
    (settings.data / "log.db").unlink()
    (settings.data / "log.db").mkdir()
    await refused(settings, StoreCorrupted, r"log\.db: unable to open")


async def test_a_database_of_another_program_is_corruption(settings: Settings) -> None:
    await made(settings)
    shutil.copy(settings.data / "log.db", settings.data / "ledger.db")
    await refused(settings, StoreCorrupted, "was not made by Busway")


async def test_files_of_two_directories_do_not_mix(settings: Settings, tmp_path: Path) -> None:
    other = msgspec.structs.replace(settings, data=tmp_path / "other")
    await made(settings)
    await made(other)
    shutil.copy(other.data / "ledger.db", settings.data / "ledger.db")
    await refused(settings, StoreCorrupted, "do not belong together")


@pytest.mark.parametrize("name", ["log.db", "ledger.db"])
async def test_a_newer_format_is_refused(settings: Settings, name: str) -> None:
    await made(settings)
    connection = apsw.Connection(str(settings.data / name))
    connection.pragma("user_version", directory.FORMAT_VERSION + 1)
    connection.close()
    await refused(
        settings, StoreTooNew, f"{name} has format {directory.FORMAT_VERSION + 1} .* upgrade Busway"
    )


def create_format_4(path: Path) -> None:
    """Create a data directory of format 4, in which an event has failed."""
    path.mkdir()
    for name, (application_id, tables) in FORMAT_4_FILES.items():
        with contextlib.closing(apsw.Connection(str(path / name))) as connection:
            connection.pragma("application_id", application_id)
            connection.pragma("user_version", 4)
            connection.execute(FORMAT_4_META + tables)


async def test_an_older_format_is_refused_and_left_unchanged(settings: Settings) -> None:
    create_format_4(settings.data)
    contents = {name: (settings.data / name).read_bytes() for name in FORMAT_4_FILES}
    refusal = (
        r"log\.db has format 4 and this Busway reads format 5; start with a new data directory"
    )
    await refused(settings, StoreTooOld, refusal)
    with pytest.raises(StoreTooOld, match=refusal):
        await SqliteMoveOrigin.open(settings.data)
    assert {name: (settings.data / name).read_bytes() for name in FORMAT_4_FILES} == contents


async def test_a_ledger_of_an_older_format_is_refused(settings: Settings) -> None:
    await made(settings)
    with contextlib.closing(apsw.Connection(str(settings.data / "ledger.db"))) as connection:
        connection.pragma("user_version", 4)
    await refused(settings, StoreTooOld, r"ledger\.db has format 4 .* deliver what is left in it")


async def test_a_path_that_is_a_file_is_refused(settings: Settings) -> None:
    settings.data.write_bytes(b"")
    await refused(settings, StoreError, "cannot be a data directory")


@pytest.mark.parametrize("done", range(4))
def test_an_interrupted_creation_is_finished(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    """Cut it off before each step that gives a file its place."""
    steps = iter(range(10))
    sync = directory.fsync_directory

    def cut(path: Path) -> None:
        if next(steps) == done:
            raise KeyboardInterrupt
        sync(path)

    settings.data.mkdir()
    monkeypatch.setattr(directory, "fsync_directory", cut)
    with pytest.raises(KeyboardInterrupt):
        directory.create_files(settings.data, 2)
    monkeypatch.setattr(directory, "fsync_directory", sync)
    directory.create_files(settings.data, 2)
    assert directory.identify(settings.data)
    assert not list(settings.data.glob("*.new*"))
