"""Log and ledger on SQLite, in one data directory: the engine of a single machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from busway.clock import SystemClock
from busway.engine.sqlite import directory
from busway.engine.sqlite.ledger import SqliteLedger
from busway.engine.sqlite.log import SqliteLog
from busway.engine.sqlite.room import Room
from busway.errors import StoreError
from busway.ports import Log, Stores
from busway.settings import Settings

__all__ = ["SqliteLedger", "SqliteLog", "open_stores"]


async def open_stores(settings: Settings) -> Stores:
    """Open the data directory for this process alone, made when it is not there.

    Raises :class:`StoreLocked`, :class:`StoreTooNew`, :class:`StoreDamaged`, or
    :class:`StoreError` when the directory cannot be made.
    """
    descriptor = await asyncio.to_thread(_lock, settings.data)
    try:
        identity = await asyncio.to_thread(_prepare, settings.data, settings.partitions)
        path = settings.data / directory.LOG
        room = Room(path, (settings.max_log_bytes, settings.min_free_bytes), SystemClock())
        log = SqliteLog(path, identity, room)
        ledger = await _with(log, settings.data)
    except BaseException:
        os.close(descriptor)
        raise
    return Stores(log, ledger, lambda: os.close(descriptor), settings.data)


async def _with(log: Log, path: Path) -> SqliteLedger:
    try:
        return SqliteLedger(path / directory.LEDGER)
    except BaseException:
        await log.close()
        raise


def _lock(path: Path) -> int:
    try:
        directory.make(path)
        return directory.lock(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be a data directory: {error}") from error


def _prepare(path: Path, partitions: int) -> str:
    directory.prepare(path, partitions)
    directory.upgrade(path)
    return directory.identify(path)
