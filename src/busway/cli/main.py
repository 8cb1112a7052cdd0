"""The command ``busway``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from busway.cli.api_error import ServerUnreachable
from busway.cli.lazy_group import LazyGroup
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
        from importlib.metadata import version  # noqa: PLC0415 - only for the version

        typer.echo(f"busway {version('busway')}")
        raise typer.Exit


@app.callback()
def start(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Event-driven ETL: durable intake, rules, Python steps, exactly-once sinks."""


def main() -> None:
    """Run the command; an error of the user is printed as one text, with exit code 1.

    The exit code is 3 if no server answers.
    """
    try:
        app()
    except BuswayError as error:
        from busway.cli.output import print_error  # noqa: PLC0415 - only for errors

        print_error(error)
        sys.exit(3 if isinstance(error, ServerUnreachable) else 1)
