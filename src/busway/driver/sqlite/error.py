"""The errors of SQLite in groups, and how to recognize a full disk."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

LOCKED_ERRORS = (apsw.BusyError, apsw.LockedError)
CORRUPTED_ERRORS = (apsw.NotADBError, apsw.CorruptError)
UNREACHABLE_ERRORS = (apsw.CantOpenError, apsw.IOError, apsw.PermissionsError, apsw.AuthError)
MIN_FREE_BYTES = 1024 * 1024
"""A disk with less free space is full."""


def is_disk_full(error: BaseException, path: Path) -> bool:
    """Return whether an error of the database at ``path`` means that the disk is full.

    SQLite reports some of these as I/O errors: they count if the disk is full now.
    """
    if not isinstance(error, apsw.IOError):
        return isinstance(error, apsw.FullError)
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < MIN_FREE_BYTES
