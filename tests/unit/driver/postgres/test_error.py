"""Errors of asyncpg: the cause of a broken connection, whether it is lost, and the remedy."""

from __future__ import annotations

import errno

import asyncpg
import pytest

from busway.driver.postgres.error import describe, is_connection_lost, remedy, root_cause, sqlstate


def raised_during(cause: BaseException, later: Exception) -> BaseException:
    """Return ``later`` as if it was raised while ``cause`` was handled."""
    later.__context__ = cause
    return later


def from_server(kind: type[asyncpg.PostgresError], severity: str) -> asyncpg.PostgresError:
    error = kind("text")
    error.severity_en = severity
    return error


@pytest.mark.parametrize(
    "later",
    [
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_root_cause_is_the_error_before_the_rollback_failed(later: Exception) -> None:
    cause = ConnectionResetError("reset by peer")
    assert root_cause(raised_during(cause, later)) is cause


def test_an_unexpected_cause_is_no_root_cause() -> None:
    later = asyncpg.InterfaceError("connection is closed")
    assert root_cause(raised_during(KeyError("bug"), later)) is later
    cause = KeyError("of the caller")
    assert root_cause(raised_during(cause, later), (KeyError,)) is cause


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (asyncpg.ConnectionDoesNotExistError("closed"), True),
        (from_server(asyncpg.AdminShutdownError, "FATAL"), True),
        (from_server(asyncpg.CannotConnectNowError, "FATAL"), True),
        (from_server(asyncpg.UniqueViolationError, "ERROR"), False),
        (from_server(asyncpg.ConnectionFailureError, "ERROR"), False),
        (asyncpg.InternalClientError("cannot switch to state 15"), True),
        (asyncpg.InterfaceError("another operation is in progress"), False),
        (EOFError(), True),
        (ValueError(), False),
    ],
)
def test_a_connection_is_lost_by_what_the_server_or_the_driver_says(
    error: Exception, expected: bool
) -> None:
    assert is_connection_lost(error) is expected


def test_a_remedy_of_the_caller_takes_precedence() -> None:
    missing = asyncpg.InvalidCatalogNameError("no database")
    assert sqlstate(missing) == "3D000"
    assert remedy(missing).startswith("create the database")
    assert remedy(missing, {"3D000": "ask Ann"}) == "ask Ann"
    assert remedy(asyncpg.UniqueViolationError("twice"), {"3D000": "ask Ann"}) == ""


def test_an_unreadable_file_is_named() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/root/.postgresql/postgresql.key")
    assert describe(error) == "/root/.postgresql/postgresql.key cannot be read (Permission denied)"
    assert "HOME" in remedy(error)
    assert describe(TimeoutError()) == "TimeoutError"
