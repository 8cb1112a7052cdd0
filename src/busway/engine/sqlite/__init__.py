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
from busway.engine.sqlite.moving import refuse_moved
from busway.engine.sqlite.room import Room
from busway.engine.sqlite.shared import SharedSqliteLog
from busway.errors import StoreError
from busway.ports import Log, Sharing, Stores
from busway.settings import Settings

__all__ = ["SharedSqliteLog", "SqliteLedger", "SqliteLog", "open_stores"]


async def open_stores(settings: Settings, sharing: Sharing | None = None) -> Stores:
    """Open the data directory for this process alone, made when it is not there.

    With ``sharing`` it is open to a family of processes. Raises :class:`StoreLocked`,
    :class:`StoreTooNew`, :class:`StoreDamaged`, :class:`StoreMoved`, or :class:`StoreError` when
    the directory cannot be made.
    """
    joined = sharing is not None and sharing.lock is not None
    descriptor = await asyncio.to_thread(_locked, settings.data, sharing)
    try:
        prepared = directory.identify if joined else partial(_prepare, settings.partitions)
        identity = await asyncio.to_thread(prepared, settings.data)
        log = _log(settings, identity, sharing)
        ledger = await _with(log, settings.data)
    except BaseException:
        os.close(descriptor)
        raise
    return Stores(
        log,
        ledger,
        lambda: os.close(descriptor),
        settings.data,
        shared=sharing is not None,
        lock=descriptor,
    )


def _log(settings: Settings, identity: str, sharing: Sharing | None) -> SqliteLog:
    path = settings.data / directory.LOG
    room = Room(path, (settings.max_log_bytes, settings.min_free_bytes), SystemClock())
    if sharing is None:
        return SqliteLog(path, identity, room)
    return SharedSqliteLog(path, identity, room, sharing.hints)


async def _with(log: Log, path: Path) -> SqliteLedger:
    try:
        return SqliteLedger(path / directory.LEDGER)
    except BaseException:
        await log.close()
        raise


def _locked(path: Path, sharing: Sharing | None) -> int:
    if sharing is not None and sharing.lock is not None:
        return sharing.lock
    try:
        directory.make(path)
        return directory.lock(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be a data directory: {error}") from error


def _prepare(partitions: int, path: Path) -> str:
    refuse_moved(path)
    directory.prepare(path, partitions)
    directory.upgrade(path)
    return directory.identify(path)
