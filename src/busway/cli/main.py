"""The command ``busway``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from busway.cli import dead, look, match, new
from busway.cli.run import run
from busway.cli.show import as_error
from busway.errors import BuswayError
from busway.flow import split_target
from busway.settings import load, load_env_file
from busway.telemetry import configure_log

app = typer.Typer(
    name="busway",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Start with: busway new shop && cd shop && busway run flows.py",
)


def _print_version(wanted: bool) -> None:
    if wanted:
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


def run_command(
    target: Annotated[str, typer.Argument(metavar="FILE[:APP]", help="The flows file.")],
    data: Annotated[Path | None, typer.Option(help="The data directory. [.busway]")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one. [8400]")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Reload the flows on change.")] = False,
) -> None:
    """Run a flows file: take events over HTTP and deliver them.

    Example: `busway run shop.py --port 8400`
    """
    load_env_file(split_target(target)[0].parent)
    settings = load(data=data, host=host, port=port)
    configure_log(settings.log_format, settings.log_level)
    uvloop.run(run(target, settings, reload))


app.command("new")(new.new)
app.command("run")(run_command)
app.command("status")(look.status)
app.command("check")(look.check)
app.command("match")(match.match)
app.add_typer(dead.app, name="dead")


def main() -> None:
    """Run the command; a mistake of the user's is one clear text and exit code 1."""
    try:
        app()
    except BuswayError as error:
        as_error(error)
        sys.exit(1)
