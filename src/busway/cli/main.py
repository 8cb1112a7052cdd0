"""The command ``busway``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from busway.cli.commands import LazyGroup
from busway.cli.failure import Unreachable
from busway.errors import BuswayError

app = typer.Typer(
    name="busway",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Start with: busway new shop && cd shop && busway run flows.py",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - what other commands need not load

        typer.echo(f"busway {version('busway')}")
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Event-driven ETL: durable intake, rules, Python steps, exactly-once sinks."""


def main() -> None:
    """Run the command; a mistake of the user's is one clear text and exit code 1.

    No server at the address is exit code 3.
    """
    try:
        app()
    except BuswayError as error:
        from busway.cli.show import as_error  # noqa: PLC0415 - what a command that works need not load

        as_error(error)
        sys.exit(3 if isinstance(error, Unreachable) else 1)
