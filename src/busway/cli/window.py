"""``busway window``: recurring maintenance windows of flows and destinations."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from busway.cli.ask import segment
from busway.cli.call import Call
from busway.cli.show import as_json, as_table, echo
from busway.cli.steer import Way, steering, tell
from busway.control.steer.view import WindowStatus


class _Windows(msgspec.Struct):
    items: list[WindowStatus]


app = typer.Typer(
    no_args_is_help=True,
    help="Maintenance windows: recurring times in which a flow or a destination rests.\n\n"
    "Example: busway window add orders '0 2 * * SUN' 2h --tz Europe/Berlin",
)


@app.command("add")
@steering
def add_command(
    call: Call,
    way: Way,
    cron: Annotated[str, typer.Argument(help="When it begins, like '0 2 * * SUN'.")],
    lasts: Annotated[str, typer.Argument(metavar="LASTS", help="How long, like 2h.")],
    tz: Annotated[str, typer.Option("--tz", help="On the clocks of which zone.")] = "UTC",
) -> None:
    """Add a maintenance window.

    Example: `busway window add orders "0 2 * * SUN" 2h --tz Europe/Berlin`
    """
    body = {"cron": cron, "for": lasts, "tz": tz, "reason": way.reason}
    tell(call, call.post(f"{way.path}/windows", body, **way.params))


@app.command("list")
@steering
def list_command(call: Call, way: Way) -> None:
    """List the windows that hold a flow, its destination's too, or those of a destination.

    Example: `busway window list orders`
    """
    found = call.get(f"{way.path}/windows", **way.params).read(_Windows)
    if call.json:
        as_json({"items": found.items})
    elif not found.items:
        echo(f"{way.name} has no windows.")
    else:
        columns = ("id", "of", "begins", "lasts", "zone", "next", "")
        as_table(columns, map(_row, found.items))


@app.command("remove")
@steering
def remove_command(
    call: Call,
    way: Way,
    id: Annotated[str, typer.Argument(metavar="ID", help="The window's id, as in the list.")],
) -> None:
    """Remove a window that was added; a declared one is removed in the flows file.

    Example: `busway window remove orders 8966ca5e`
    """
    path = f"{way.path}/windows/{segment('window', id)}"
    tell(call, call.delete(path, reason=way.reason, **way.params))


@app.command("skip")
@steering
def skip_command(call: Call, way: Way) -> None:
    """Pass over the windows that are open now, until they close.

    Example: `busway window skip orders`
    """
    tell(call, call.post(f"{way.path}/windows/skip", {"reason": way.reason}, **way.params))


def _row(window: WindowStatus) -> tuple[str, ...]:
    where = "declared" if window.declared else ""
    if window.open_until is not None:
        when = f"open until {window.open_until.astimezone():%F %T %Z}"
    else:
        when = f"{window.next_start.astimezone():%F %T %Z}" if window.next_start else "never"
    note = ", ".join(one for one in (where, window.reason) if one)
    return window.id, window.scope, window.cron, window.lasts, window.tz, when, note
