"""What an error of SQLite, or of Python on the way to it, means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw

from busway.outcome import Down, Rejected
from busway.sink.bisect import Blame, Refusal
from busway.sink.row import Row, shown, shown_row
from busway.sink.sqlite_value import INT64, BadValue

_UNREACHABLE = (apsw.CantOpenError, apsw.IOError, apsw.PermissionsError, apsw.AuthError)
_ROW = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, TypeError, ValueError)


class SetUpError(Exception):
    """The table cannot be as the sink is declared; that loses nothing once it is mended."""


class RolledBack(Exception):
    """A row made SQLite undo the whole transaction, and everything that was written in it."""


class RowDropped(Exception):
    """The table took a row without an error, and did not keep it."""


_DESTINATION = (
    SetUpError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.ProtocolError,
    apsw.FullError,
    apsw.NoMemError,
    apsw.ReadOnlyError,
    apsw.NotADBError,
    apsw.CorruptError,
    apsw.NoLFSError,
    *_UNREACHABLE,
)
_MEANINGS: tuple[tuple[tuple[type[apsw.Error], ...], str], ...] = (
    ((apsw.BusyError, apsw.LockedError), "is locked by another program"),
    ((apsw.FullError,), "has no room left: the disk is full"),
    ((apsw.ReadOnlyError,), "is read-only"),
    ((apsw.NotADBError, apsw.CorruptError), "is not a sound SQLite database"),
)


def blame(error: Exception) -> Blame:
    """Return whose fault an error is that a row, or several, ended with."""
    if isinstance(error, _DESTINATION):
        return Blame.DESTINATION
    if isinstance(error, (*_ROW, OverflowError, BadValue, RowDropped)):
        return Blame.ROW
    return Blame.PASSING if isinstance(error, apsw.InterruptError) else Blame.UNCLEAR


def refusal(error: Exception, rows: Sequence[Row]) -> Refusal:
    """Return why the rows of one item could not be written."""
    return Refusal(blame(error), error, _rejected(error, rows))


def down(error: Exception, path: Path) -> Down:
    """Return what an error that concerns the whole database means."""
    if isinstance(error, apsw.CantOpenError) and not path.parent.is_dir():
        return Down(f"the directory {path.parent} does not exist; make it")
    if not isinstance(error, apsw.Error | SetUpError):
        return Down(f"{path}: {type(error).__name__} while rows were written: {error}")
    for kinds, text in _MEANINGS:
        if isinstance(error, kinds):
            return Down(f"{path} {text} ({error})", reachable=True)
    if "ON CONFLICT clause" in str(error):
        return Down(f"{path}: the key is not unique; make a unique index on it", reachable=True)
    return Down(f"{path}: {error}", reachable=not isinstance(error, _UNREACHABLE))


def _rejected(error: Exception, rows: Sequence[Row]) -> Rejected:
    if isinstance(error, BadValue):
        return Rejected(error.error, str(error))
    for name, value in ((name, value) for row in rows for name, value in row.items()):
        if isinstance(error, OverflowError) and isinstance(value, int) and value not in INT64:
            reason = f"column {name!r}: {shown(value)} does not fit 64 bits; give it as a str"
            return Rejected("out of range", reason)
        if isinstance(error, UnicodeEncodeError) and isinstance(value, str) and _is_half(value):
            reason = f"column {name!r}: {shown(value)} (str) has half a surrogate pair"
            return Rejected(type(error).__name__, reason)
    return Rejected(type(error).__name__, f"{error}; the row is {shown_row(rows)}")


def _is_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
