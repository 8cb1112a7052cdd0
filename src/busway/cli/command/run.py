"""``busway run``: the server, with the flows in it or in worker processes."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.operation_command import written_command
from busway.cli.setting_option import (
    ADDRESSES,
    FlowsFile,
    GivenSettings,
    setting_options,
)


@written_command("run")
@setting_options("data", "engine", "ledger", "workers", *ADDRESSES)
def run(
    given: GivenSettings,
    target: FlowsFile,
    reload: Annotated[bool, typer.Option("--reload", help="Reload the flows on change.")] = False,
) -> None:
    """Run a flows file: take events over HTTP and deliver them.

    With `--workers` that many worker processes deliver, each on a core of its own.

    Example: `busway run shop.py --port 8400`
    """
    from busway.cli import server as running  # noqa: PLC0415 - not for help

    running.serve(target, reload, **given)
