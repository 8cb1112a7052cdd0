"""``busway run``, ``serve`` and ``work``: the commands that start a server or a worker."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.option import Given, taking

Target = Annotated[str, typer.Argument(metavar="FILE[:APP]", help="The flows file.")]


_ADDRESSES = ("host", "port", "api_host", "api_port", "api_open", "intake_keys")


@taking("data", "engine", "ledger", "workers", *_ADDRESSES)
def run(
    given: Given,
    target: Target,
    reload: Annotated[bool, typer.Option("--reload", help="Reload the flows on change.")] = False,
) -> None:
    """Run a flows file: take events over HTTP and deliver them.

    With `--workers` others deliver, on as many cores: this process takes events, and starts them.

    Example: `busway run shop.py --port 8400`
    """
    from busway.cli import run as running  # noqa: PLC0415 - what help does not need

    running.serve(target, reload, **given)


@taking("engine", "ledger", *_ADDRESSES)
def serve(given: Given, target: Target) -> None:
    """Take events and answer the API; others deliver (`busway work`).

    Example: `busway serve shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli import run as running  # noqa: PLC0415 - what help does not need

    running.serve(target, False, "serve", **given)


@taking("engine", "ledger", "host", "port")
def work(
    given: Given,
    target: Target,
    member: Annotated[str, typer.Option(hidden=True, help="Given by busway run.")] = "",
) -> None:
    """Deliver events without taking any; share the lanes with others.

    With a port (`--port`, `BUSWAY_PORT`) it answers `/healthz`, `/readyz` and `/metrics` there, and
    nothing else; without one it does not listen.

    Example: `busway work shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli import member as joining  # noqa: PLC0415 - what help does not need
    from busway.cli import run as running  # noqa: PLC0415

    if member:
        joining.join(target, member)
    else:
        running.serve(target, False, "work", **given)
