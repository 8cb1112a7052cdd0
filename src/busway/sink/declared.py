"""What sinks are declared with, checked and read when they are opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from busway.errors import SinkError
from busway.settings import Env

Key = str | Iterable[str] | None
Columns = Mapping[str, str] | tuple[tuple[str, str], ...] | None


def key_columns(key: Key) -> tuple[str, ...]:
    """Return the columns of a key that may be one name, several or none."""
    if key is None:
        return ()
    return (key,) if isinstance(key, str) else tuple(key)


def column_types(columns: Columns) -> tuple[tuple[str, str], ...]:
    """Return declared column types so that they can be compared and hashed."""
    if columns is None:
        return ()
    return tuple(columns.items()) if isinstance(columns, Mapping) else columns


def label(value: str | Env) -> str:
    """Return a declared value for a person: a variable by its name, not by what it holds."""
    return f"${value.name}" if isinstance(value, Env) else value


def check_table(kind: str, table: object, key: tuple[object, ...]) -> None:
    """Raise :class:`SinkError` for a table or a key that can never work."""
    if not isinstance(table, str) or not table or "\0" in table:
        raise SinkError(f"{kind}(table={table!r}): the name of a table is a non-empty string")
    if table.lower() in ("busway_position", "busway_exception"):
        raise SinkError(f"{kind}(table={table!r}): Busway keeps positions in it; use another name")
    for name in key:
        if not isinstance(name, str) or not name:
            raise SinkError(f"{kind}(key={key!r}): a key is a column's name, or several")
    if len(set(key)) != len(key):
        raise SinkError(f"{kind}(key={key!r}): a column is in the key twice")
