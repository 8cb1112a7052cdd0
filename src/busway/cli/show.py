"""Print for people and for programs: the one place where what commands say leaves them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import typer

from busway.errors import BuswayError
from busway.printable import printable, printable_json, printable_lines

WIDE = 1_000
"""Columns of an output that is no terminal: nothing has to be wrapped for a file or a pipe."""


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print one line. What in it is not printable is escaped: it may come from outside."""
    typer.echo(printable(text), err=err, nl=nl)


def echo_lines(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print several lines; what else in them is not printable is escaped."""
    typer.echo(printable_lines(text), err=err, nl=nl)


def echo_json(text: bytes | str) -> None:
    """Print JSON as it is written; what is not printable in it is escaped as JSON has it."""
    typer.echo(printable_json(text if isinstance(text, str) else text.decode("utf-8", "replace")))


def as_json(value: object) -> None:
    """Print a value as JSON."""
    echo_json(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))


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
        table.add_row(
            *(f"{cell:,}" if isinstance(cell, int) else printable(str(cell)) for cell in row)
        )
    width = None if sys.stdout.isatty() else WIDE
    Console(highlight=False, markup=False, width=width).print(table)


def as_error(error: BuswayError) -> None:
    """Print what is wrong to standard error; several mistakes one below the other."""
    from rich.console import Console  # noqa: PLC0415 - what a command that works need not load

    lines = printable_lines(str(error)).split("\n")
    count = sum(not line.startswith(" ") for line in lines)
    text = "\n".join(lines) if count <= 1 else "\n  ".join((f"{count} mistakes", *lines))
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"busway: {text}", markup=False, style="red"
    )
