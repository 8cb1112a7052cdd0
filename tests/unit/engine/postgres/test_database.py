"""Whatever the driver raises when the way to the server breaks is something to wait for."""

from __future__ import annotations

import errno

import asyncpg
import pytest

from busway.engine.postgres.database import translating_errors
from busway.errors import StoreError, StoreMisconfigured
from busway.outcome import Down
from busway.sink.postgres.error import EXPECTED_ERRORS, as_down

BROKEN = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ConnectionResetError("reset by peer"),
    TimeoutError(),
)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_broken_way_is_no_bug(error: Exception) -> None:
    with pytest.raises(StoreError, match=r"db\.example"), translating_errors("db.example"):
        raise error
    assert isinstance(error, EXPECTED_ERRORS)
    assert isinstance(as_down(error, "db.example"), Down)


def test_a_file_that_the_driver_may_not_read_is_named() -> None:
    key = "/home/busway/.postgresql/postgresql.key"
    error = PermissionError(errno.EACCES, "Permission denied", key)
    said = rf"db\.example: .*Permission denied: '{key}'; .* set HOME"
    with pytest.raises(StoreMisconfigured, match=said), translating_errors("db.example"):
        raise error
    assert key in as_down(error, "db.example").reason
