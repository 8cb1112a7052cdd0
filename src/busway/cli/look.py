"""``busway status`` and ``busway check``."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from busway.cli.place import Data, Json, with_stores
from busway.cli.show import as_error, as_json, as_table
from busway.control.check import check as find_faults
from busway.control.status import FlowStatus, flow_statuses
from busway.errors import BuswayError
from busway.ports import Stores

COLUMNS = ("accepted", "delivered", "filtered", "parked", "dead", "discarded", "backlog")


def status(data: Data = None, json: Json = False) -> None:
    """Show where the events of each flow are, and how the destinations do.

    Example: `busway status --json`
    """
    statuses = with_stores(data, _statuses)
    if json:
        as_json({"flows": statuses})
        return
    if not statuses:
        typer.echo("No flow has run here yet.")
        return
    counts = [(one.name, *(getattr(one, column) for column in COLUMNS)) for one in statuses]
    as_table(("flow", *COLUMNS), counts)
    typer.echo()
    destinations = [
        (one.name, one.breaker, one.destination, one.breaker_reason) for one in statuses
    ]
    as_table(("flow", "breaker", "destination", ""), destinations)


def check(data: Data = None, json: Json = False) -> None:
    """Verify that every event of every flow is in exactly one place.

    Exit code 0 when so, 1 when not, 2 when it cannot be looked at.

    Example: `busway check`
    """
    try:
        faults = with_stores(data, _faults)
    except BuswayError as error:
        as_error(error)
        raise typer.Exit(2) from error
    if json:
        as_json({"ok": not faults, "faults": faults})
    else:
        typer.echo("\n".join(faults) or "Every event is in exactly one place.")
    raise typer.Exit(1 if faults else 0)


async def _statuses(stores: Stores) -> Sequence[FlowStatus]:
    return await flow_statuses(stores.log, stores.ledger)


async def _faults(stores: Stores) -> Sequence[str]:
    return await find_faults(stores.log, stores.ledger)
