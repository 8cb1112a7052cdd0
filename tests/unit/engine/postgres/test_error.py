"""What asyncpg raises when a connection breaks is expected, by the engine and by the sink."""

from __future__ import annotations

import errno
import re

import asyncpg
import pytest

from busway.engine.postgres.error import translating_errors
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
def test_a_broken_connection_is_an_expected_error(error: Exception) -> None:
    with pytest.raises(StoreError, match=r"db\.example"), translating_errors("db.example"):
        raise error
    assert isinstance(error, EXPECTED_ERRORS)
    assert isinstance(as_down(error, "db.example"), Down)


def test_an_unreadable_file_is_named_with_the_remedy() -> None:
    key = "/home/busway/.postgresql/postgresql.key"
    error = PermissionError(errno.EACCES, "Permission denied", key)
    text = rf"{key} cannot be read \(Permission denied\); .* set HOME"
    with pytest.raises(StoreMisconfigured, match=text), translating_errors("db.example"):
        raise error
    assert re.search(text, as_down(error, "db.example").reason)
