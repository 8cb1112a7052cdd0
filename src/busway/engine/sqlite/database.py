"""Open the SQLite files of a data directory, and translate their errors."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import apsw

from busway.driver.sqlite.connection import BusyHandler, opening
from busway.driver.sqlite.error import CORRUPTED_ERRORS, is_disk_full
from busway.driver.statement import load_statement
from busway.engine.sqlite.pragma import pragmas
from busway.errors import StoreCorrupted, StoreError, StoreFull

_BUSY_TIMEOUT_S = 10.0
_OPEN_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX


Row = tuple[Any, ...]


def sql(name: str) -> str:
    """Return the statement in ``sql/<name>.sql``."""
    return load_statement(__package__, name)


def connect(path: Path, *, page_bytes: int = 0) -> apsw.Connection:
    """Open a file for writing: every commit fsynced, no checkpoint by a commit or a close.

    With ``page_bytes`` the file is created. Raises :class:`StoreError` if it cannot be opened.
    """
    if not page_bytes and not os.access(path, os.R_OK | os.W_OK):
        raise StoreCorrupted(f"{path} cannot be read and written; give this user the permissions")
    flags = _OPEN_FLAGS | (apsw.SQLITE_OPEN_CREATE if page_bytes else 0)
    try:
        if page_bytes:  # for its owner alone; SQLite gives the WAL the same permissions
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with opening(path, flags) as connection:
            connection.set_busy_handler(BusyHandler(_BUSY_TIMEOUT_S))
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            for pragma, value in pragmas(page_bytes).items():
                connection.pragma(pragma, value)
            return connection
    except apsw.Error as error:
        raise to_store_error(error, path) from error


def connect_read_only(path: Path) -> apsw.Connection:
    """Open a file next to its writer, for queries only.

    The file itself is opened for writing, because a reader must be able to recover the WAL.
    """
    connection = connect(path)
    connection.pragma("query_only", True)
    return connection


def fetch(connection: apsw.Connection, name: str, bindings: tuple[Any, ...] = ()) -> list[Row]:
    """Run the statement in ``sql/<name>.sql`` and return all of its rows."""
    return connection.execute(sql(name), bindings).fetchall()


def used_bytes(connection: apsw.Connection) -> int:
    """Return how many bytes of the file are in use; a deletion takes effect at once."""
    pages = connection.pragma("page_count") - connection.pragma("freelist_count")
    return int(pages * connection.pragma("page_size"))


def to_store_error(error: Exception, path: Path) -> Exception:
    """Return the store error that an error of SQLite means; any other error unchanged."""
    reason = f"{path}: {error}"
    if is_disk_full(error, path):
        return StoreFull(f"{path}: the disk is full, or the file has reached its limit; make room")
    if isinstance(error, CORRUPTED_ERRORS):
        return StoreCorrupted(f"{reason}; restore the data directory from a backup")
    if isinstance(error, apsw.CantOpenError):
        return StoreCorrupted(f"{reason}; check what is at this path, and its permissions")
    if isinstance(error, apsw.BusyError):
        return StoreError(f"{reason}; find the program that keeps the file locked")
    if isinstance(error, apsw.IOError):
        return StoreError(f"{reason}; check the disk, its quotas and limits")
    return StoreError(f"{reason}; please report this") if isinstance(error, apsw.Error) else error
