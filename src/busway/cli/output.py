"""Output of commands, for people and for programs: all of it is printed by this module."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import typer

from busway.errors import BuswayError
from busway.printable import printable, printable_json, printable_lines

UNWRAPPED_WIDTH = 1_000
"""The width of output to a file or a pipe, where nothing is wrapped."""


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print one line, with characters that are not printable escaped."""
    typer.echo(printable(text), err=err, nl=nl)


def echo_lines(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print several lines, with other characters that are not printable escaped."""
    typer.echo(printable_lines(text), err=err, nl=nl)


def echo_json(text: bytes | str) -> None:
    """Print JSON text, with characters that are not printable escaped as in JSON."""
    typer.echo(printable_json(text if isinstance(text, str) else text.decode("utf-8", "replace")))


def print_json(value: object) -> None:
    """Print a value as JSON."""
    echo_json(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; numbers are aligned right, and only the last column may be wrapped."""
    from rich.console import Console  # noqa: PLC0415 - not for JSON
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
    width = None if sys.stdout.isatty() else UNWRAPPED_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def print_error(error: BuswayError) -> None:
    """Print an error to standard error; several mistakes as a list."""
    from rich.console import Console  # noqa: PLC0415 - only for errors

    lines = printable_lines(str(error)).split("\n")
    count = sum(not line.startswith(" ") for line in lines)
    text = "\n".join(lines) if count <= 1 else "\n  ".join((f"{count} mistakes", *lines))
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"busway: {text}", markup=False, style="red"
    )
