"""What an error of PostgreSQL, or of the way to it, means."""

from __future__ import annotations

import ssl

import asyncpg

from busway.outcome import Down, Rejected

DATA = ("21", "22", "23", "44", "54", "P0")
"""Classes of errors that a row is to blame for (54: it is too big; P0: a trigger raised)."""
CONFLICT = ("40001", "40P01", "55P03")
"""Another transaction was in the way: serialization, deadlock, lock not available."""
STALE = ("42P01", "42703", "42804", "42P07", "42701", "0A000")
"""The table may not be what it was when it was last looked at."""
_HINTS = {
    "42P01": "create the table or set create=True",
    "3F000": "create the schema",
    "42P10": "make a unique index on the key of the table",
    "42501": "grant the user what it needs",
    "28P01": "check the password",
    "28000": "check the user and pg_hba.conf",
    "3D000": "create the database",
    "25006": "the server is read-only; point the sink at the primary",
    "53300": "too many connections",
}


class NoTable(Exception):
    """The table is not there, and the sink was not asked to create it."""


def is_data(error: asyncpg.PostgresError) -> bool:
    """Say whether a row is to blame."""
    return code(error).startswith(DATA)


def code(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or nothing."""
    return str(getattr(error, "sqlstate", None) or "")


def rejected(error: Exception) -> Rejected:
    """Return why the one row that an error is about was refused."""
    detail = getattr(error, "detail", None)
    if code(error) in ("22021", "22P05"):
        detail = "PostgreSQL takes no text with a NUL character or half a surrogate pair"
    return Rejected(type(error).__name__, f"{error} ({detail})" if detail else str(error))


def down(error: BaseException, place: str) -> Down:
    """Return what an error that concerns the whole database means; ``place`` names it."""
    error = _first(error)
    if isinstance(error, NoTable):
        return Down(f"{place}: {error}", reachable=True)
    if isinstance(error, TimeoutError) and not isinstance(error, ConnectionError):
        return Down(f"{place} did not answer in time", reachable=True)
    if isinstance(error, asyncpg.PostgresError):
        hint = _HINTS.get(code(error))
        return Down(f"{place}: {error}" + (f"; {hint}" if hint else ""), reachable=True)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Down(f"{place}: {error}", reachable=True)
    lost = isinstance(error, ConnectionResetError | BrokenPipeError | EOFError)
    return Down(f"{place} cannot be reached: {_text(error)}", reachable=lost)


EXPECTED = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
    TimeoutError,
    ssl.SSLError,
    NoTable,
)
"""What can go wrong that is no bug."""


def _first(error: BaseException) -> BaseException:
    """Return the cause of an error that came up when its transaction was rolled back."""
    while isinstance(error, asyncpg.InterfaceError | asyncpg.PostgresConnectionError):
        if not isinstance(error.__context__, EXPECTED):
            break
        error = error.__context__
    return error


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be read ({error.strerror}); set HOME to where it can be"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
