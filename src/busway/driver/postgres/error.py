"""The errors of asyncpg: which to expect, what caused them, and how to remedy them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import asyncpg

CONNECTION_LOST_ERRORS = (
    *(asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    *(OSError, EOFError),
)
"""asyncpg raises an InternalClientError if a connection breaks inside one of its operations."""
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    *CONNECTION_LOST_ERRORS,
    asyncpg.TargetServerAttributeNotMatched,
    TimeoutError,
    ssl.SSLError,
)
"""What can go wrong with a server or the connection to it, and is not a bug."""

READ_ONLY_STATE = "25006"
STATEMENT_TIMEOUT_STATE = "57014"
DISK_FULL_STATES = ("53100", "53200")
CONFLICT_STATES = ("40001", "40P01", "55P03")
"""Another transaction was in the way: serialization, deadlock, lock not available."""
SCHEMA_CHANGED_STATES = ("42P01", "42703", "42804", "42P07", "42701", "0A000")
"""The table may have changed since it was last looked at."""

CONNECTION_LIMIT_REMEDY = (
    "raise the CONNECTION LIMIT of the user or the database, or max_connections of the server"
)
_ACCOUNT_REMEDY = "check the user and the password in the address, and pg_hba.conf of the server"
_REMEDIES = {
    "28000": _ACCOUNT_REMEDY,
    "28P01": _ACCOUNT_REMEDY,
    "3D000": "create the database (CREATE DATABASE), or give the address of another one",
    "53300": CONNECTION_LIMIT_REMEDY,
    READ_ONLY_STATE: (
        "give the address of the primary, or, if this is the primary, set"
        " default_transaction_read_only to off"
    ),
}
_HOME_REMEDY = "asyncpg looks there for certificates: set HOME to a directory that can be read"


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error, empty if it has none."""
    return str(getattr(error, "sqlstate", None) or "")


def root_cause(error: BaseException, also: tuple[type[BaseException], ...] = ()) -> BaseException:
    """Return the error that broke a connection, if only a later one reached the caller.

    asyncpg raises the later one when it rolls back on a connection that is broken already. ``also``
    are types of the caller that may be the cause.
    """
    expected: tuple[type[BaseException], ...] = (*DRIVER_ERRORS, *also)
    while isinstance(error, asyncpg.InterfaceError | asyncpg.PostgresConnectionError):
        context = error.__context__
        if not isinstance(context, expected):
            break
        error = context
    return error


def is_connection_lost(error: BaseException) -> bool:
    """Return whether the connection that an error came from is of no use any more."""
    if isinstance(error, asyncpg.PostgresConnectionError) and not _severity(error):
        return True  # raised by asyncpg, not by the server
    if isinstance(error, asyncpg.PostgresError):
        return _severity(error) in ("FATAL", "PANIC")
    return isinstance(error, OSError | EOFError | asyncpg.InternalClientError)


def _severity(error: BaseException) -> str:
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    return str(severity or "")


def remedy(error: BaseException, own: Mapping[str, str] | None = None) -> str:
    """Return what a person can do about an error, empty if there is nothing to say.

    ``own`` are remedies of the caller by SQLSTATE, which take precedence.
    """
    if isinstance(error, OSError) and error.filename:
        return _HOME_REMEDY
    state = sqlstate(error)
    return (own or {}).get(state) or _REMEDIES.get(state, "")


def describe(error: BaseException) -> str:
    """Return the text of an error, at least the name of its class."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be read ({error.strerror})"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
