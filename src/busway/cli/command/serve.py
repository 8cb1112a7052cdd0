"""``busway serve``: a server without flows."""

from __future__ import annotations

from busway.cli.operation_command import written_command
from busway.cli.setting_option import (
    ADDRESSES,
    FlowsFile,
    GivenSettings,
    setting_options,
)


@written_command("serve")
@setting_options("engine", "ledger", *ADDRESSES)
def serve(given: GivenSettings, target: FlowsFile) -> None:
    """Take events and serve the API; workers deliver (`busway work`).

    Example: `busway serve shop.py --engine postgresql://db.example.com/busway`
    """
    from busway.cli import server as running  # noqa: PLC0415 - not for help

    running.serve(target, False, "serve", **given)
