"""Copy commits from the WAL into the database, concurrently with new commits."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw

from busway.driver.sqlite.error import MIN_FREE_BYTES, is_disk_full
from busway.engine.sqlite.database import (
    connect,
    to_store_error,
)
from busway.engine.sqlite.pragma import WAL_LIMIT_BYTES

_BUSY_TIMEOUT_MS = 100
_MIN_CHECKPOINT_PAGES = 4_096
"""The least that is copied at a time while commits keep coming: a copy delays the commits, and a
small one every second would delay them every second."""


class Checkpointer:
    """Keeps the WAL of one database from growing without limit.

    A passive checkpoint never makes a commit wait, but while commits keep coming it never reaches
    the end of the WAL either: beyond ``WAL_LIMIT_BYTES`` the rest is copied under the write lock,
    with a timeout that grows with the WAL.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self._connection = connect(path)
        self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        self._lock = asyncio.Lock()
        self._last_data_version = -1

    async def maintain(self) -> None:
        """Checkpoint if the WAL is large enough, or if there was no commit since the last call.

        In the second case the WAL file is truncated as well.
        """
        async with self._lock:
            await asyncio.to_thread(self._checkpoint)

    async def close(self) -> None:
        """Checkpoint for the last time; all other connections must be closed before."""
        async with self._lock:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._fits_disk():
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        self._connection.close()

    def _fits_disk(self) -> bool:
        """Return whether the disk has room for a copy of the WAL: half a copy would fill it."""
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize > self._wal_bytes() + MIN_FREE_BYTES

    def _wal_bytes(self) -> int:
        return self._wal.stat().st_size if self._wal.exists() else 0

    def _checkpoint(self) -> None:
        # it changes with the commits of all other connections, also of other processes
        version = self._connection.pragma("data_version")
        idle, self._last_data_version = version == self._last_data_version, version
        if (
            not idle
            and self._run_checkpoint(apsw.SQLITE_CHECKPOINT_NOOP)[0] < _MIN_CHECKPOINT_PAGES
        ):
            return
        frames, done = self._run_checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        size = self._wal_bytes()
        if size and idle and frames == done:
            self._run_checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        elif size > WAL_LIMIT_BYTES:
            self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS * (size // WAL_LIMIT_BYTES) ** 3)
            self._run_checkpoint(apsw.SQLITE_CHECKPOINT_RESTART)

    def _run_checkpoint(self, mode: int) -> tuple[int, int]:
        try:
            return self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            # a reader blocks it, or the disk is full: the commits are safe in the WAL
            if isinstance(error, apsw.BusyError) or is_disk_full(error, self._path):
                return (-1, -1)
            raise to_store_error(error, self._path) from error
