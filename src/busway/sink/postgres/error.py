"""What an error of PostgreSQL, or of the connection to it, means for a sink."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from busway.driver.postgres.error import (
    CONFLICT_STATES,
    DRIVER_ERRORS,
    SCHEMA_CHANGED_STATES,
    STATEMENT_TIMEOUT_STATE,
    describe,
    is_connection_lost,
    remedy,
    root_cause,
    sqlstate,
)
from busway.outcome import Down, Rejected
from busway.sink.bisect import ErrorScope, RowDropped, RowRefusal, TableSetupError
from busway.sink.postgres.convert import PostgresValueError
from busway.sink.row import Row, shown_first_row

_ROW_STATES = ("21", "22", "23", "44", "54", "P0")
"""Classes of errors that a row is to blame for (54: it is too big; P0: a trigger raised)."""
UNKNOWN_TYPE_STATES = ("42704", "42601")
"""There is no such type, or it is not written like one."""
_DESTINATION_STATES = ("08", "25", "28", "3D", "53100", "53300", "57P", "58030", "XX001", "XX002")
"""Nothing can be written now, whatever it is."""
_SETUP_STATES = ("3F000", "42501", "42P01", "42P10")
"""Something that the table needs is not there, or not allowed."""
_DEPENDENCY_STATES = ("53", "58", "F0")
"""The server, or something on it, has not what it needs for this."""
_RAISING_FUNCTIONS = frozenset({"exec_stmt_raise", "PLy_elog_impl", "plperl_croak", "pltcl_elog"})
"""Where in the server an error comes from that a function raises on purpose."""
_ROW_POLICY_FUNCTION = "ExecWithCheckOptions"
_REMEDIES = {
    "42P01": "create the table or set create=True",
    "3F000": "create the schema",
    "42P10": "make a unique index on the key of the table",
    "42501": "grant the user what it needs",
}


class ConnectionLost(Exception):
    """The connection was lost while a load was written; that it could be opened is known."""


OWN_ERRORS = (ConnectionLost, TableSetupError)
EXPECTED_ERRORS = (*DRIVER_ERRORS, *OWN_ERRORS)
"""What can go wrong and is not a bug."""


def error_scope(error: BaseException) -> ErrorScope:
    """Return whose fault an error is that a row, or several, ended with.

    A function may raise whatever it likes, also what the server says when it is going down: that
    is told by where the error comes from.
    """
    error = root_cause(error, OWN_ERRORS)
    if isinstance(error, PostgresValueError | RowDropped):
        return ErrorScope.ROW
    if is_connection_lost(error) or isinstance(error, TableSetupError | ConnectionLost):
        return ErrorScope.DESTINATION
    return (
        _server_error_scope(error)
        if isinstance(error, asyncpg.PostgresError)
        else ErrorScope.UNKNOWN
    )


def _server_error_scope(error: asyncpg.PostgresError) -> ErrorScope:
    """Return whose fault it is by what the server says."""
    state, routine = sqlstate(error), getattr(error, "server_source_function", None)
    if state in CONFLICT_STATES:
        return ErrorScope.TRANSIENT
    if (
        state.startswith(_ROW_STATES)
        or routine in _RAISING_FUNCTIONS
        or routine == _ROW_POLICY_FUNCTION
    ):
        return ErrorScope.ROW
    if state == STATEMENT_TIMEOUT_STATE:
        return ErrorScope.TRANSIENT
    inside = "function" in (getattr(error, "context", None) or "")
    if state.startswith(_DESTINATION_STATES) or (state in _SETUP_STATES and not inside):
        return ErrorScope.DESTINATION
    return (
        ErrorScope.DEPENDENCY
        if state.startswith((*_SETUP_STATES, *_DEPENDENCY_STATES))
        else ErrorScope.UNKNOWN
    )


def is_value_error(error: BaseException) -> bool:
    """Say whether an error is about a value that its type does not take."""
    if isinstance(error, asyncpg.PostgresError):
        state = sqlstate(error)
        return state.startswith("22") or (state == "23514" and bool(error.data_type_name))
    return isinstance(error, asyncpg.InterfaceError)


def is_statement_timeout(error: BaseException) -> bool:
    """Say whether a statement took too long."""
    return sqlstate(error) == STATEMENT_TIMEOUT_STATE and error_scope(error) is ErrorScope.TRANSIENT


def is_retriable(error: BaseException) -> bool:
    """Say whether the same may succeed in another transaction."""
    return sqlstate(error) in (*CONFLICT_STATES, *SCHEMA_CHANGED_STATES)


def row_refusal(error: Exception, rows: Sequence[Row], column: str = "") -> RowRefusal:
    """Return why the rows of one item could not be written; ``column`` says where, if known."""
    detail = getattr(error, "detail", None)
    if sqlstate(error) in ("22021", "22P05"):
        detail = "PostgreSQL takes no text with a NUL character or half a surrogate pair"
    text = str(error.args[0]) if error.args else str(error)
    text = f"{text} ({detail})" if detail else text
    text = f"{column}: {text}" if column else f"{text}; the row is {shown_first_row(rows)}"
    outcome = Rejected(type(error).__name__, text)
    return RowRefusal(error_scope(error), error, outcome)


def as_down(error: BaseException, location: str) -> Down:
    """Return what an error that concerns the whole database means; ``location`` names it."""
    cause = error.__cause__ if isinstance(error, ConnectionLost) else None
    error = root_cause(cause or error, OWN_ERRORS)
    if isinstance(error, TableSetupError):
        return Down(f"{location}: {error}", reachable=True)
    if isinstance(error, TimeoutError) and not isinstance(error, ConnectionError):
        return Down(f"{location} did not answer in time", reachable=True)
    advice = remedy(error, _REMEDIES)
    ending = f"; {advice}" if advice else ""
    if isinstance(
        error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError
    ):
        return Down(f"{location}: {error}{ending}", reachable=True)
    if not isinstance(error, EXPECTED_ERRORS):
        return Down(f"{location}: {type(error).__name__} while rows were written: {error}")
    is_lost = isinstance(error, ConnectionResetError | BrokenPipeError | EOFError)
    return Down(f"{location} cannot be reached: {describe(error)}{ending}", reachable=is_lost)
