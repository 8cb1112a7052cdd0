"""Classification of errors of SQLite and of Python on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from busway.driver.sqlite.error import (
    CORRUPTED_ERRORS,
    LOCKED_ERRORS,
    UNREACHABLE_ERRORS,
    is_disk_full,
)
from busway.outcome import Down, Rejected
from busway.sink.bisect import ErrorScope, RowDropped, RowRefusal, TableSetupError
from busway.sink.row import Row, shown_first_row, shown_value
from busway.sink.sqlite.value import INT64, SqliteValueError

_ROW_ERRORS = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, TypeError, ValueError)


class RolledBack(Exception):
    """A row made SQLite roll back the whole transaction."""


_DESTINATION_ERRORS = (
    TableSetupError,
    *LOCKED_ERRORS,
    apsw.ProtocolError,
    apsw.FullError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    *CORRUPTED_ERRORS,
    apsw.NoLFSError,
    *UNREACHABLE_ERRORS,
)
_EXPLANATIONS: tuple[tuple[tuple[type[apsw.Error], ...], str], ...] = (
    (LOCKED_ERRORS, "is locked by another program"),
    ((apsw.ReadOnlyError,), "is read-only"),
    (CORRUPTED_ERRORS, "is not a valid SQLite database"),
)


def error_scope(error: Exception) -> ErrorScope:
    """Return what an error of one or several rows is about."""
    if isinstance(error, _DESTINATION_ERRORS):
        return ErrorScope.DESTINATION
    if isinstance(error, (*_ROW_ERRORS, OverflowError, SqliteValueError, RowDropped)):
        return ErrorScope.ROW
    return ErrorScope.TRANSIENT if isinstance(error, apsw.InterruptError) else ErrorScope.UNKNOWN


def row_refusal(error: Exception, rows: Sequence[Row]) -> RowRefusal:
    """Return why the rows of one item could not be written."""
    return RowRefusal(error_scope(error), error, _rejected(error, rows))


def as_down(error: Exception, path: Path) -> Down:
    """Return the outcome for an error that concerns the whole database."""
    if isinstance(error, apsw.CantOpenError) and not path.parent.is_dir():
        return Down(f"the directory {path.parent} does not exist; make it")
    if not isinstance(error, apsw.Error | TableSetupError):
        return Down(f"{path}: {type(error).__name__} while rows were written: {error}")
    if is_disk_full(error, path):
        return Down(f"{path} has no room left: the disk is full ({error})", reachable=True)
    for kinds, text in _EXPLANATIONS:
        if isinstance(error, kinds):
            return Down(f"{path} {text} ({error})", reachable=True)
    if "ON CONFLICT clause" in str(error):
        return Down(f"{path}: the key is not unique; make a unique index on it", reachable=True)
    return Down(f"{path}: {error}", reachable=not isinstance(error, UNREACHABLE_ERRORS))


def _rejected(error: Exception, rows: Sequence[Row]) -> Rejected:
    if isinstance(error, SqliteValueError):
        return Rejected(error.error, str(error))
    for name, value in ((name, value) for row in rows for name, value in row.items()):
        if isinstance(error, OverflowError) and isinstance(value, int) and value not in INT64:
            reason = f"column {name!r}: {shown_value(value)} does not fit 64 bits; give it as a str"
            return Rejected("out of range", reason)
        if (
            isinstance(error, UnicodeEncodeError)
            and isinstance(value, str)
            and _has_lone_surrogate(value)
        ):
            reason = f"column {name!r}: {shown_value(value)} (str) has half a surrogate pair"
            return Rejected(type(error).__name__, reason)
    return Rejected(type(error).__name__, f"{error}; the row is {shown_first_row(rows)}")


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
