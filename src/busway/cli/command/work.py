"""``busway work``: a worker."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.operation_command import written_command
from busway.cli.setting_option import FlowsFile, GivenSettings, setting_options


@written_command("work")
@setting_options("engine", "ledger", "host", "port")
def work(
    given: GivenSettings,
    target: FlowsFile,
    member: Annotated[str, typer.Option(hidden=True, help="Set by busway run.")] = "",
) -> None:
    """Deliver events, sharing the lanes with other workers.

    With a port (`--port`, `BUSWAY_PORT`) it serves only `/healthz`, `/readyz` and `/metrics` there;
    without one it does not listen.

    Example: `busway work shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli import server as running  # noqa: PLC0415
    from busway.cli import worker_process as joining  # noqa: PLC0415 - not for help

    if member:
        joining.run_worker_process(target, member)
    else:
        running.serve(target, False, "work", **given)
