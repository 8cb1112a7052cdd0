"""What an error of PostgreSQL, or of the connection to it, means for a store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import asyncpg

from busway.driver.postgres.error import (
    CONNECTION_LIMIT_REMEDY,
    DISK_FULL_STATES,
    DRIVER_ERRORS,
    READ_ONLY_STATE,
    describe,
    remedy,
    root_cause,
    sqlstate,
)
from busway.engine.postgres.connection_limit import MAX_CONNECTIONS
from busway.errors import StoreError, StoreFull, StoreMisconfigured, StoreTooNew

NO_POOLER_HINT = "give the address of PostgreSQL itself, not of a pooler (PgBouncer)"
_SCHEMA_MISMATCH_STATES = ("42P01", "42703", "42883", "42P10", "23502")
"""A table, a column, a function or a constraint is missing, or a column has no value."""
_PERMANENT_STATES = ("28000", "28P01", "3D000", "42501")
"""These errors stay until a person acts."""
_REMEDIES = {
    "42501": (
        "the user must be allowed to make a schema (GRANT CREATE ON DATABASE … TO …), and to use"
        " what is in the schema busway when it is there already (GRANT the owner of it TO …)"
    ),
    "08P01": NO_POOLER_HINT,
    "53300": (
        f"Busway uses up to {MAX_CONNECTIONS} connections for each process:"
        f" {CONNECTION_LIMIT_REMEDY}"
    ),
}


@contextlib.contextmanager
def translating_errors(label: str) -> Iterator[None]:
    """Raise an error of PostgreSQL, or of the connection to it, as a :class:`StoreError`."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise to_store_error(error, label) from error


def to_store_error(error: BaseException, label: str) -> StoreError:
    """Return what an error means; all may pass except :class:`StoreMisconfigured`.

    Nothing was stored, unless the connection was lost or terminated: then that is unknown.
    """
    error = root_cause(error)
    state = sqlstate(error)
    if state in DISK_FULL_STATES:
        return StoreFull(f"{label}: {error}; make room on the server")
    if state == READ_ONLY_STATE or isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return read_only_error(label)
    advice = remedy(error, _REMEDIES)
    if state in _PERMANENT_STATES or (isinstance(error, OSError) and error.filename):
        return StoreMisconfigured(f"{label}: {describe(error)}; {advice}")
    if state in _SCHEMA_MISMATCH_STATES:
        return StoreTooNew(
            f"{label}: {error}: the tables are of another version than this Busway; run the newest"
        )
    ending = f"; {advice}" if advice else ""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(
        error, asyncpg.PostgresConnectionError
    ):
        return StoreError(f"{label}: {error}{ending}")
    return StoreError(f"{label} cannot be used now: {describe(error)}{ending}")


def read_only_error(label: str) -> StoreError:
    """Return the error for a server that accepts no writes; a failover may end that."""
    return StoreError(
        f"{label} is read-only; point Busway at the primary, or, if this is the primary, set"
        " default_transaction_read_only to off"
    )
