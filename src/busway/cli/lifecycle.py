"""``busway flows rename`` and ``busway flows remove``."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.ask import segment
from busway.cli.call import Call, calling
from busway.cli.show import echo
from busway.control.flow.lifecycle import FlowRenaming, RemovedFlow, RenamedFlow

Reason = Annotated[str, typer.Option("--reason", help="Kept in the audit trail.")]


@calling
def rename(call: Call, old: str, new: str, reason: Reason = "") -> None:
    """Give a flow that is not running another name, with its position, counts and dead letters.

    A running one is renamed in the flows file, with renamed_from.

    Example: `busway flows rename big_orders orders`
    """
    answer = call.post(f"/flows/{segment('flow', old)}/rename", FlowRenaming(new, reason))
    if call.json:
        answer.print()
    else:
        found = answer.read(RenamedFlow)
        echo(f"Flow {found.before} is called {found.name} now.")


@calling
def remove(
    call: Call,
    name: str,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard", help="Also with a backlog, parked or dead events, or unfinished replays."
        ),
    ] = False,
    reason: Reason = "",
) -> None:
    """Forget a flow that is not running, and everything that is kept of it.

    Example: `busway flows remove big_orders --discard --reason "the CRM is gone"`
    """
    answer = call.delete(f"/flows/{segment('flow', name)}", discard=discard, reason=reason or None)
    if call.json:
        answer.print()
        return
    lost = answer.read(RemovedFlow)
    echo(
        f"Flow {lost.flow} is removed; given up with it: a backlog of {lost.backlog:,},"
        f" {lost.parked:,} parked, {lost.dead:,} dead events,"
        f" {lost.replaying:,} that were to be replayed."
    )
