"""Log and ledger on SQLite, in one data directory: the engine of a single machine."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from busway.clock import SystemClock
from busway.engine.sqlite import directory
from busway.engine.sqlite.ledger import SqliteLedger
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.move import refuse_moved
from busway.engine.sqlite.quota import Quota
from busway.engine.sqlite.shared_log import SharedSqliteLog
from busway.errors import StoreError
from busway.ports import Log, SharedDirectory, Stores
from busway.settings import Settings

__all__ = ["SharedSqliteLog", "SqliteLedger", "SqliteLog", "open_stores"]


async def open_stores(settings: Settings, sharing: SharedDirectory | None = None) -> Stores:
    """Open the data directory for this process alone, made when it is not there.

    With ``sharing`` it is open to a family of processes. Raises :class:`StoreLocked`,
    :class:`StoreTooNew`, :class:`StoreTooOld`, :class:`StoreCorrupted`, :class:`StoreMoved`, or
    :class:`StoreError` when the directory cannot be made.
    """
    joined = sharing is not None and sharing.lock_fd is not None
    descriptor = await asyncio.to_thread(_lock_directory, settings.data, sharing)
    try:
        prepared = (
            directory.identify if joined else partial(_prepare_directory, settings.partitions)
        )
        identity = await asyncio.to_thread(prepared, settings.data)
        log = _open_log(settings, identity, sharing)
        ledger = await _open_ledger(log, settings.data)
    except BaseException:
        os.close(descriptor)
        raise
    return Stores(
        log,
        ledger,
        lambda: os.close(descriptor),
        settings.data,
        is_shared=sharing is not None,
        lock_fd=descriptor,
    )


def _open_log(settings: Settings, identity: str, sharing: SharedDirectory | None) -> SqliteLog:
    path = settings.data / directory.LOG_FILE
    room = Quota(path, (settings.max_log_bytes, settings.min_free_bytes), SystemClock())
    if sharing is None:
        return SqliteLog(path, identity, room)
    return SharedSqliteLog(path, identity, room, sharing.wake_ups)


async def _open_ledger(log: Log, path: Path) -> SqliteLedger:
    try:
        return SqliteLedger(path / directory.LEDGER_FILE)
    except BaseException:
        await log.close()
        raise


def _lock_directory(path: Path, sharing: SharedDirectory | None) -> int:
    if sharing is not None and sharing.lock_fd is not None:
        return sharing.lock_fd
    try:
        directory.create_directory(path)
        return directory.lock(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be a data directory: {error}") from error


def _prepare_directory(partitions: int, path: Path) -> str:
    refuse_moved(path)
    directory.create_files(path, partitions)
    return directory.identify(path)
