"""Whatever the driver raises when the way to the server breaks is something to wait for."""

from __future__ import annotations

import asyncpg
import pytest

from busway.engine.postgres.database import told
from busway.errors import StoreError
from busway.outcome import Down
from busway.sink.postgres_error import EXPECTED, down

BROKEN = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    ConnectionResetError("reset by peer"),
    TimeoutError(),
)


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_broken_way_is_no_bug(error: Exception) -> None:
    with pytest.raises(StoreError, match=r"db\.example"), told("db.example"):
        raise error
    assert isinstance(error, EXPECTED)
    assert isinstance(down(error, "db.example"), Down)
