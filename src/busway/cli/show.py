"""Print for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import typer

from busway.errors import BuswayError

WIDE = 1_000
"""Columns of an output that is no terminal: nothing has to be wrapped for a file or a pipe."""


def as_json(value: object) -> None:
    """Print a value as JSON."""
    encoded = msgspec.json.encode(value, enc_hook=str)
    typer.echo(msgspec.json.format(encoded, indent=2).decode())


def as_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their columns; numbers to the right, only the last column may be wrapped."""
    from rich.console import Console  # noqa: PLC0415 - what JSON need not load
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    listed = list(rows)
    for index, column in enumerate(columns):
        numeric = bool(listed) and all(isinstance(row[index], int) for row in listed)
        justify: Literal["right", "left"] = "right" if numeric else "left"
        last = index == len(columns) - 1
        table.add_column(column, justify=justify, no_wrap=not last, overflow="fold")
    for row in listed:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    width = None if sys.stdout.isatty() else WIDE
    Console(highlight=False, markup=False, width=width).print(table)


def as_error(error: BuswayError) -> None:
    """Print what is wrong to standard error; several mistakes one below the other."""
    from rich.console import Console  # noqa: PLC0415 - what a command that works need not load

    lines = str(error).splitlines()
    count = sum(not line.startswith(" ") for line in lines)
    text = "\n".join(lines) if count <= 1 else "\n  ".join((f"{count} mistakes", *lines))
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"busway: {text}", markup=False, style="red"
    )
