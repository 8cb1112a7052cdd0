"""Append batches to the log's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain

import apsw

from busway.driver.sqlite.transaction import immediate_transaction
from busway.engine.sqlite.database import fetch, sql, used_bytes
from busway.engine.sqlite.log_reader import OFFSET_MASK
from busway.engine.sqlite.quota import Quota

BatchRow = tuple[int, int, int, bytearray]
"""The id of a batch (its partition << 48 | its offset), its count, its time and its body."""


class Append:
    """Inserts batches with one statement, which is a transaction by itself.

    The committing thread competes with the event loop for the interpreter lock at every statement.
    Under load each wait costs more than the fsync, so an append has only one statement.
    """

    statement_name = "log/append"

    def __init__(self, quota: Quota, batches: Sequence[BatchRow]) -> None:
        self._quota = quota
        self._size = sum(len(body) for *_, body in batches)
        self._batches = batches

    def __call__(self, connection: apsw.Connection) -> list[int]:
        """Return the offset of each batch."""
        self._quota.reserve(self._size, lambda: used_bytes(connection))
        return self._insert(connection)

    def _insert(self, connection: apsw.Connection) -> list[int]:
        statement = _statement_for(self.statement_name, len(self._batches))
        connection.execute(statement, tuple(chain.from_iterable(self._batches)))
        return [key & OFFSET_MASK for key, *_ in self._batches]


class SharedAppend(Append):
    """Inserts batches at the ends of partitions, even if other processes append concurrently.

    The known ends are right as long as no other process appends. If they are wrong, the statement
    fails, and is repeated with the current ends in a transaction that excludes others.
    """

    statement_name = "log/append_shared"

    def _insert(self, connection: apsw.Connection) -> list[int]:
        try:
            return super()._insert(connection)
        except apsw.ConstraintError:
            if connection.in_transaction:
                return self._insert_at_ends(connection)
        with immediate_transaction(connection):
            return self._insert_at_ends(connection)

    def _insert_at_ends(self, connection: apsw.Connection) -> list[int]:
        ends = {partition: end for partition, _, end in fetch(connection, "log/all_bounds")}
        self._batches = _at_ends(self._batches, ends)
        return super()._insert(connection)


def _at_ends(batches: Sequence[BatchRow], ends: Mapping[int, int]) -> list[BatchRow]:
    """Return batches with ids that begin at these ends."""
    next_ids = dict(ends)
    moved = []
    for key, count, at, body in batches:
        partition = key >> 48
        moved.append((next_ids[partition], count, at, body))
        next_ids[partition] += count
    return moved


@lru_cache
def _statement_for(name: str, count: int) -> str:
    return sql(name).replace("(?, ?, ?, ?)", ", ".join(["(?, ?, ?, ?)"] * count))
