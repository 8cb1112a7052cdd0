"""Parsing and validation of the options of sinks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from busway import duration
from busway.errors import SettingsError, SinkError
from busway.settings import Env

KeyColumns = str | Iterable[str] | None
ColumnTypes = Mapping[str, str] | tuple[tuple[str, str], ...] | None


def key_columns(key: KeyColumns) -> tuple[str, ...]:
    """Return the columns of a key, declared as one name, several or none."""
    if key is None:
        return ()
    return (key,) if isinstance(key, str) else tuple(key)


def column_types(columns: ColumnTypes) -> tuple[tuple[str, str], ...]:
    """Return declared column types so that they can be compared and hashed."""
    if columns is None:
        return ()
    return tuple(columns.items()) if isinstance(columns, Mapping) else columns


def display_value(value: str | Env) -> str:
    """Return a declared value for display: a variable by its name, not its value."""
    return f"${value.name}" if isinstance(value, Env) else value


def check_table_option(sink: str, table: object, key: tuple[object, ...]) -> None:
    """Raise :class:`SinkError` for an invalid table or key."""
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
    """Return a duration in seconds, declared as a number or a text with units.

    >>> seconds_option("http", "timeout", "500ms"), seconds_option("http", "timeout", "2m")
    (0.5, 120.0)
    """
    try:
        seconds = duration.parse_seconds(value)
    except SettingsError as error:
        raise SinkError(f"{sink}({option}={value!r}): {error}") from error
    if seconds <= 0:
        raise SinkError(f"{sink}({option}={value!r}): give a time like '10s', '500ms' or '2m'")
    return seconds


def check_count_option(sink: str, option: str, value: object) -> None:
    """Raise :class:`SinkError` unless the value is an integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SinkError(f"{sink}({option}={value!r}): give a whole number, 1 or more")
