"""The statements that write rows to one table of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.sink.postgres_value import Column, Sent
from busway.sink.statement import listed, quoted, statement

DIRECT = 500
"""Up to so many rows go with the statement that inserts them; more are copied first."""
_AS_TEXT = "pg_catalog.text"
_NOT_COMPARED = frozenset({"json", "xml", "point"})
"""Types without an equality of their own: their values are compared as text."""


class Chunk(msgspec.Struct, frozen=True):
    """A run of rows as the driver sends it: the values of each column."""

    columns: Sequence[Column]
    sent: Sequence[Sent]
    size: int

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def has_arrays(self) -> bool:
        """Say whether ``unnest`` would flatten a column."""
        return any(column.element is not None for column in self.columns)

    @property
    def has_text(self) -> bool:
        """Say whether a column is cast from text."""
        return any(each.as_text for each in self.sent)

    @property
    def values(self) -> list[Sequence[object]]:
        """The values, column by column."""
        return [each.values for each in self.sent]

    @property
    def first(self) -> list[object]:
        """The values of the first row."""
        return [each.values[0] for each in self.sent]


def from_arrays(chunk: Chunk) -> str:
    """Return the query for all rows of a chunk, given as an array for each column."""
    arrays = (f"${place}::{_type(*each)}[]" for place, each in _places(chunk))
    return _from(chunk, "from_arrays", arrays=", ".join(arrays))


def from_values(chunk: Chunk) -> str:
    """Return the query for one row of a chunk, given as its values."""
    values = (f"${place}::{_type(column, sent)}" for place, (column, sent) in _places(chunk))
    return _from(chunk, "from_values", values=", ".join(values))


def from_staging(staging: str, names: Sequence[str]) -> str:
    """Return the query for the rows of a staging table."""
    return statement("postgres", "from_staging").format(
        columns=listed(names), staging=quoted(staging)
    )


def insert(table: str, key: Sequence[str], names: Sequence[str], rows: str) -> str:
    """Return the statement that writes the rows of a query; a key makes it an upsert."""
    others = [quoted(name) for name in names if name not in key]
    kind = "insert" if not key else "upsert" if others else "upsert_key_only"
    return statement("postgres", kind).format(
        table=table,
        columns=listed(names),
        rows=rows,
        key=listed(key),
        changes=", ".join(f"{name} = excluded.{name}" for name in others),
    )


def rows_kept(table: str, columns: Sequence[Column], rows: str) -> str:
    """Return the query that counts which rows of a query are in the table as they are."""
    return statement("postgres", "rows_kept").format(
        table=table, rows=rows, conditions=" AND ".join(map(_same, columns))
    )


def value_cast(chunk: Chunk) -> str:
    """Return the query that makes one value the type of its column, and nothing else."""
    (column,) = chunk.columns
    return statement("postgres", "value_cast").format(
        column=quoted(column.name), shown=column.shown, rows=from_values(chunk)
    )


def _from(chunk: Chunk, name: str, **parts: str) -> str:
    columns = ", ".join(
        f"{quoted(column.name)}::{quoted(column.schema)}.{quoted(column.kind)}"
        if sent.as_text
        else quoted(column.name)
        for column, sent in zip(chunk.columns, chunk.sent, strict=True)
    )
    return statement("postgres", name).format(columns=columns, names=listed(chunk.names), **parts)


def _places(chunk: Chunk) -> list[tuple[int, tuple[Column, Sent]]]:
    return list(enumerate(zip(chunk.columns, chunk.sent, strict=True), 1))


def _type(column: Column, sent: Sent) -> str:
    if sent.as_text:
        return _AS_TEXT
    return f"{quoted(column.schema)}.{quoted(column.kind)}"


def _same(column: Column) -> str:
    cast = "::text" if column.kind in _NOT_COMPARED else ""
    name = quoted(column.name)
    return f"kept.{name}{cast} IS NOT DISTINCT FROM sent.{name}{cast}"
