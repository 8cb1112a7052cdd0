"""Statements that write rows to one table of a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.sink.postgres.value import ColumnValues, PostgresColumn
from busway.sink.statement import quote_identifier, quote_identifiers, statement

MAX_DIRECT_ROWS = 500
"""Up to this many rows are parameters of the insert; more are copied to a staging table."""
_TEXT_TYPE = "pg_catalog.text"
_COMPARED_AS_TEXT = frozenset({"json", "xml", "point"})
"""Types without an equality operator; their values are compared as text."""


class RowChunk(msgspec.Struct, frozen=True):
    """A run of rows as the driver sends it: the values of each column."""

    columns: Sequence[PostgresColumn]
    column_values: Sequence[ColumnValues]
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
        return any(each.as_text for each in self.column_values)

    @property
    def values(self) -> list[Sequence[object]]:
        """The values, column by column."""
        return [each.values for each in self.column_values]

    @property
    def first_row(self) -> list[object]:
        """The values of the first row."""
        return [each.values[0] for each in self.column_values]


def from_arrays(chunk: RowChunk) -> str:
    """Return the query for all rows of a chunk, with one array parameter per column."""
    arrays = (f"${number}::{_type(*column)}[]" for number, column in _numbered_columns(chunk))
    return _row_query(chunk, "from_arrays", arrays=", ".join(arrays))


def from_values(chunk: RowChunk) -> str:
    """Return the query for one row of a chunk, with one parameter per value."""
    values = (
        f"${number}::{_type(column, sent)}" for number, (column, sent) in _numbered_columns(chunk)
    )
    return _row_query(chunk, "from_values", values=", ".join(values))


def from_staging(staging: str, names: Sequence[str]) -> str:
    """Return the query for the rows of a staging table."""
    return statement("postgres", "from_staging").format(
        columns=quote_identifiers(names), staging=quote_identifier(staging)
    )


def insert(table: str, key: Sequence[str], names: Sequence[str], rows: str) -> str:
    """Return the statement that writes the rows of a query; a key makes it an upsert."""
    others = [quote_identifier(name) for name in names if name not in key]
    kind = "insert" if not key else "upsert" if others else "upsert_key_only"
    return statement("postgres", kind).format(
        table=table,
        columns=quote_identifiers(names),
        rows=rows,
        key=quote_identifiers(key),
        changes=", ".join(f"{name} = excluded.{name}" for name in others),
    )


def rows_kept(table: str, columns: Sequence[PostgresColumn], rows: str) -> str:
    """Return the query that counts which rows of a query are in the table as they are."""
    return statement("postgres", "rows_kept").format(
        table=table, rows=rows, conditions=" AND ".join(map(_is_same, columns))
    )


def value_cast(chunk: RowChunk) -> str:
    """Return the query that only casts one value to the type of its column."""
    (column,) = chunk.columns
    return statement("postgres", "value_cast").format(
        column=quote_identifier(column.name), shown=column.type_name, rows=from_values(chunk)
    )


def _row_query(chunk: RowChunk, name: str, **parts: str) -> str:
    columns = ", ".join(
        f"{quote_identifier(column.name)}::{quote_identifier(column.schema)}.{quote_identifier(column.kind)}"
        if sent.as_text
        else quote_identifier(column.name)
        for column, sent in zip(chunk.columns, chunk.column_values, strict=True)
    )
    return statement("postgres", name).format(
        columns=columns, names=quote_identifiers(chunk.names), **parts
    )


def _numbered_columns(chunk: RowChunk) -> list[tuple[int, tuple[PostgresColumn, ColumnValues]]]:
    return list(enumerate(zip(chunk.columns, chunk.column_values, strict=True), 1))


def _type(column: PostgresColumn, sent: ColumnValues) -> str:
    if sent.as_text:
        return _TEXT_TYPE
    return f"{quote_identifier(column.schema)}.{quote_identifier(column.kind)}"


def _is_same(column: PostgresColumn) -> str:
    cast = "::text" if column.kind in _COMPARED_AS_TEXT else ""
    name = quote_identifier(column.name)
    return f"kept.{name}{cast} IS NOT DISTINCT FROM sent.{name}{cast}"
