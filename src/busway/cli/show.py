"""Print for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import typer
from rich import box
from rich.console import Console
from rich.table import Table


def as_json(value: object) -> None:
    """Print a value as JSON."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    typer.echo(msgspec.json.format(encoded, indent=2).decode())


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; numbers to the right."""
    table = Table(box=box.SIMPLE_HEAD)
    listed = list(rows)
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], int) for row in listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console().print(table)
