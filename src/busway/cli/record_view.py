"""How records are printed for people where no command says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from busway.cli.output import echo, print_table


def print_items(items: Sequence[Any]) -> None:
    """Print records as a table, one in a row."""
    names = items[0].__struct_fields__
    print_table(
        [heading(name) for name in names],
        [[cell(getattr(item, name)) for name in names] for item in items],
    )


def print_record(record: Any) -> None:
    """Print a record, a field in a line; nothing for ``None``."""
    if record is None:
        return
    names = record.__struct_fields__
    width = max(len(name) for name in names)
    for name in names:
        echo(f"{heading(name):<{width}}  {cell(getattr(record, name))}".rstrip())


def heading(name: str) -> str:
    """Return the name of a field as people write it.

    >>> heading("created_at")
    'created'
    """
    return name.removesuffix("_at").replace("_", " ")


def cell(value: object) -> object:
    """Return the value of a field as it is printed: a number as it is, otherwise text."""
    match value:
        case None | "" | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return value
        case _:
            return _text(value)


def _text(value: object) -> str:
    match value:
        case datetime():
            return f"{value:%F %T}"
        case str() | float():
            return str(value)
        case tuple() | list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case _:
            return msgspec.json.encode(value, enc_hook=str).decode()
