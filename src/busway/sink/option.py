"""What sinks are declared with, checked and read when they are opened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from busway import duration
from busway.errors import SettingsError, SinkError
from busway.settings import Env

KeyColumns = str | Iterable[str] | None
ColumnTypes = Mapping[str, str] | tuple[tuple[str, str], ...] | None


def key_columns(key: KeyColumns) -> tuple[str, ...]:
    """Return the columns of a key that may be one name, several or none."""
    if key is None:
        return ()
    return (key,) if isinstance(key, str) else tuple(key)


def column_types(columns: ColumnTypes) -> tuple[tuple[str, str], ...]:
    """Return declared column types so that they can be compared and hashed."""
    if columns is None:
        return ()
    return tuple(columns.items()) if isinstance(columns, Mapping) else columns


def display_value(value: str | Env) -> str:
    """Return a declared value for a person: a variable by its name, not by what it holds."""
    return f"${value.name}" if isinstance(value, Env) else value


def check_table_option(sink: str, table: object, key: tuple[object, ...]) -> None:
    """Raise :class:`SinkError` for a table or a key that can never work."""
    if not isinstance(table, str) or not table or "\0" in table:
        raise SinkError(f"{sink}(table={table!r}): the name of a table is a non-empty string")
    if table.lower() in ("busway_position", "busway_exception"):
        raise SinkError(f"{sink}(table={table!r}): Busway keeps positions in it; use another name")
    for name in key:
        if not isinstance(name, str) or not name:
            raise SinkError(f"{sink}(key={key!r}): a key is a column's name, or several")
    if len(set(key)) != len(key):
        raise SinkError(f"{sink}(key={key!r}): a column is in the key twice")


def seconds_option(sink: str, option: str, value: str | float) -> float:
    """Return a length of time in seconds: a number of them, or text with units.

    >>> seconds_option("http", "timeout", "500ms"), seconds_option("http", "timeout", "2m")
    (0.5, 120.0)
    """
    try:
        found = duration.parse_seconds(value)
    except SettingsError as error:
        raise SinkError(f"{sink}({option}={value!r}): {error}") from error
    if found <= 0:
        raise SinkError(f"{sink}({option}={value!r}): give a time like '10s', '500ms' or '2m'")
    return found


def check_count_option(sink: str, option: str, value: object) -> None:
    """Raise :class:`SinkError` for what must be a whole number from 1 on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SinkError(f"{sink}({option}={value!r}): give a whole number, 1 or more")
