"""A transaction that takes the write lock at its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


@contextmanager
def immediate_transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit what the block does, or roll it back on an error."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    finally:
        # after an error, unless SQLite has rolled back already, as it does if the disk is full
        if connection.in_transaction:
            connection.execute("ROLLBACK")
