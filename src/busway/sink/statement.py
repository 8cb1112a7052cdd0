"""The SQL of the sinks, one statement a file."""

from __future__ import annotations

from collections.abc import Iterable

from busway.driver.statement import load_statement


def statement(dialect: str, name: str) -> str:
    """Return the statement ``<dialect>/sql/<name>.sql`` with its ``{placeholders}``."""
    return load_statement(f"busway.sink.{dialect}", name)


def quote_identifier(name: str) -> str:
    """Return an identifier in double quotes (SQL-92, section 5.2).

    >>> quote_identifier('or"der')
    '"or""der"'
    """
    return '"' + name.replace('"', '""') + '"'


def quote_identifiers(names: Iterable[str]) -> str:
    """Return identifiers in double quotes, with commas between them."""
    return ", ".join(map(quote_identifier, names))


def fold_ascii_case(name: str) -> str:
    """Return a name as SQLite compares it: the case of ASCII letters is ignored.

    >>> fold_ascii_case("Übersicht")
    'Übersicht'
    """
    return name.lower() if name.isascii() else name.translate(_LOWER)


_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
