"""A SQLite database file with the one thread that writes to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import TypeVar

import apsw

from busway.driver.sqlite.connection import opening
from busway.driver.sqlite.transaction import immediate_transaction
from busway.sink.file.creation import OWNER_ONLY, create_file

T = TypeVar("T")
SqliteWork = Callable[[apsw.Connection], T]
BUSY_TIMEOUT_MS = 5_000


class SqliteFile:
    """Runs transactions on one database file, one at a time, in a thread of its own.

    The connection is opened at the first one, and again when the file has been replaced.
    """

    def __init__(self, path: Path, mode: int = OWNER_ONLY, *, follow_symlinks: bool = True) -> None:
        self.path = path
        self._mode = mode
        self._follow = follow_symlinks
        self.users = 0
        self._connection: apsw.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {path.name}")

    async def run(self, work: SqliteWork[T]) -> T:
        """Return what ``work`` returns, its changes committed; raises what it raises, undone."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._run_transaction, work
        )

    def close(self) -> None:
        self._thread.submit(self._close_connection).result()
        self._thread.shutdown()

    def _run_transaction(self, work: SqliteWork[T]) -> T:
        connection = self._open_connection()
        with immediate_transaction(connection):
            return work(connection)

    def _open_connection(self) -> apsw.Connection:
        if self._connection is None or self._inode != _inode(self.path):
            self._close_connection()
            self._connection = _connect(self.path, self._mode, self._follow)
            self._inode = _inode(self.path)
        return self._connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class SqliteFilePool:
    """The database files that are open: one thread each, however many sinks write to it."""

    def __init__(self) -> None:
        self._open: dict[Path, SqliteFile] = {}
        self._lock = Lock()

    def acquire(
        self, name: str, mode: int = OWNER_ONLY, *, follow_symlinks: bool = True
    ) -> SqliteFile:
        """Return the file at a path, to be given back once.

        It is made with the permissions ``mode``; without ``follow_symlinks`` it may not be a link.
        """
        path = Path(name).absolute()
        with self._lock:
            file = self._open.setdefault(
                path, SqliteFile(path, mode, follow_symlinks=follow_symlinks)
            )
            file.users += 1
            return file

    def release(self, file: SqliteFile) -> None:
        with self._lock:
            file.users -= 1
            if file.users:
                return
            del self._open[file.path]
        file.close()


FILE_POOL = SqliteFilePool()
"""Sinks are opened one by one and must still share the thread of a file."""


def _connect(path: Path, mode: int, follow_symlinks: bool) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if follow_symlinks:
        with contextlib.suppress(OSError):  # SQLite says what is in the way
            create_file(path, mode)
    else:
        create_file(path, mode, follow_symlinks=False)
        flags |= apsw.SQLITE_OPEN_NOFOLLOW
    with opening(path, flags) as connection:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.pragma("synchronous", "FULL")
        if connection.pragma("page_count") == 0:
            connection.pragma("journal_mode", "WAL")
        return connection


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
