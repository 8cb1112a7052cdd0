"""The engine of a single machine: opens log and ledger in one data directory."""

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
from busway.errors import SettingsError, StoreError
from busway.ports import Log, SharedDirectory, StoreOptions, Stores


class SqliteEngine:
    """Opens a data directory."""

    async def open_stores(self, options: StoreOptions) -> Stores:
        """Open the directory for this process alone; create it if it does not exist.

        With ``shared_directory`` a group of processes may open it. Raises :class:`StoreLocked`,
        :class:`StoreTooNew`, :class:`StoreTooOld`, :class:`StoreCorrupted`, :class:`StoreMoved`,
        or :class:`StoreError` if the directory cannot be created.
        """
        if "://" in options.address:
            raise SettingsError(
                "SQLite is the engine of a data directory; give its path with --data, and no"
                " --engine"
            )
        return await _open(options, Path(options.address))


async def _open(options: StoreOptions, path: Path) -> Stores:
    shared = options.shared_directory
    joined = shared is not None and shared.lock_fd is not None
    descriptor = await asyncio.to_thread(_lock_directory, path, shared)
    try:
        prepare = directory.identify if joined else partial(_prepare, options.partitions)
        identity = await asyncio.to_thread(prepare, path)
        log = _open_log(options, path / directory.LOG_FILE, identity)
        ledger = await _open_ledger(log, path)
    except BaseException:
        os.close(descriptor)
        raise
    return Stores(
        log,
        ledger,
        lambda: os.close(descriptor),
        path,
        is_shared=shared is not None,
        lock_fd=descriptor,
    )


def _open_log(options: StoreOptions, path: Path, identity: str) -> SqliteLog:
    quota = Quota(path, SystemClock(), options.max_log_bytes, options.min_free_bytes)
    if options.shared_directory is None:
        return SqliteLog(path, identity, quota)
    return SharedSqliteLog(path, identity, quota, options.shared_directory.wake_ups)


async def _open_ledger(log: Log, path: Path) -> SqliteLedger:
    try:
        return SqliteLedger(path / directory.LEDGER_FILE)
    except BaseException:
        await log.close()
        raise


def _lock_directory(path: Path, shared: SharedDirectory | None) -> int:
    if shared is not None and shared.lock_fd is not None:
        return shared.lock_fd
    try:
        directory.create_directory(path)
        return directory.lock(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be a data directory: {error}") from error


def _prepare(partitions: int, path: Path) -> str:
    refuse_moved(path)
    directory.create_files(path, partitions)
    return directory.identify(path)
