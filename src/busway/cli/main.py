"""The command ``busway``."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from busway.cli import (
    alert,
    audit,
    dead,
    event,
    flow,
    job,
    lifecycle,
    look,
    match,
    move,
    new,
    replay,
    steer,
    tail,
    window,
    worker,
)
from busway.cli.ask import Unreachable
from busway.cli.option import Given, taking
from busway.cli.show import as_error
from busway.errors import BuswayError

Target = Annotated[str, typer.Argument(metavar="FILE[:APP]", help="The flows file.")]

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


@taking("data", "engine", "ledger", "host", "port", "workers")
def run_command(
    given: Given,
    target: Target,
    reload: Annotated[bool, typer.Option("--reload", help="Reload the flows on change.")] = False,
) -> None:
    """Run a flows file: take events over HTTP and deliver them.

    With `--workers` others deliver, on as many cores: this process takes events, and starts them.

    Example: `busway run shop.py --port 8400`
    """
    from busway.cli.run import serve  # noqa: PLC0415 - what the other commands need not load

    serve(target, reload, **given)


@taking("engine", "ledger", "host", "port")
def serve_command(given: Given, target: Target) -> None:
    """Take events and answer the API; others deliver (`busway work`).

    Example: `busway serve shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli.run import serve  # noqa: PLC0415 - what the other commands need not load

    serve(target, False, "serve", **given)


@taking("engine", "ledger", "host", "port")
def work_command(
    given: Given,
    target: Target,
    member: Annotated[str, typer.Option(hidden=True, help="Given by busway run.")] = "",
) -> None:
    """Deliver events without taking any; share the lanes with others.

    With a port (`--port`, `BUSWAY_PORT`) it answers `/healthz`, `/readyz` and `/metrics` there, and
    nothing else; without one it does not listen.

    Example: `busway work shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli.member import join  # noqa: PLC0415 - what the other commands need not load
    from busway.cli.run import serve  # noqa: PLC0415

    if member:
        join(target, member)
    else:
        serve(target, False, "work", **given)


app.command("new")(new.new)
app.command("run")(run_command)
app.command("serve")(serve_command)
app.command("work")(work_command)
app.command("move")(move.move)
app.command("status")(look.status)
app.command("workers")(worker.workers)
app.command("check")(look.check)
app.command("alerts")(alert.alerts)
app.command("tail")(tail.tail)
app.command("event")(event.event)
app.command("events")(event.events)
app.command("match")(match.match)
app.add_typer(flow.app, name="flows")
flow.app.command("rename")(lifecycle.rename)
flow.app.command("remove")(lifecycle.remove)
app.command("audit")(audit.audit)
app.command("pause")(steer.pause)
app.command("resume")(steer.resume)
app.command("drain")(steer.drain)
app.command("throttle")(steer.throttle)
app.add_typer(window.app, name="window")
app.add_typer(dead.app, name="dead")
app.add_typer(job.app, name="jobs")
app.add_typer(replay.app, name="replay")


def main() -> None:
    """Run the command; a mistake of the user's is one clear text and exit code 1.

    No server at the address is exit code 3.
    """
    try:
        app()
    except Unreachable as error:
        as_error(error)
        sys.exit(3)
    except BuswayError as error:
        as_error(error)
        sys.exit(1)
