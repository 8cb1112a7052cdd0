"""``busway alerts``: what is watched, and what is raised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import typer

from busway.cli.call import Call, calling
from busway.cli.show import as_error, as_json, as_table
from busway.control.alert.record import AlertStatus
from busway.errors import BuswayError


@calling
def alerts(call: Call) -> None:
    """List the alerts, raised ones first.

    Exit code 0 when none is raised, 1 when one is, 2 when it cannot be looked at.

    Example: `busway alerts --json`
    """
    try:
        found = call.items("/alerts", AlertStatus)
    except BuswayError as error:
        as_error(error)
        raise typer.Exit(2) from error
    if call.json:
        as_json({"items": found})
    elif not found:
        typer.echo("No alert is declared; see app.alert(…) in the documentation.")
    else:
        as_table(("alert", "state", "for", "what was found"), map(_row, found))
    raise typer.Exit(1 if any(one.state == "raised" for one in found) else 0)


def _row(status: AlertStatus) -> tuple[object, ...]:
    return (status.name, status.state, _age(status.since), status.text)


def _age(since: datetime | None) -> str:
    if since is None:
        return "-"
    return str(timedelta(seconds=max(0, int((datetime.now(UTC) - since).total_seconds()))))
