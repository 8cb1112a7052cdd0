"""``busway flows``: the flows, what they do and where their events are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import typer

from busway.cli.ask import segment
from busway.cli.call import Call, Every, calling
from busway.cli.look import print_flows, say_if_nothing_runs
from busway.cli.show import as_json, as_table, echo
from busway.control.flow.detail import FlowDetail
from busway.control.flow.status import FlowStatus

app = typer.Typer(invoke_without_command=True)


@app.callback()
@calling
def list_command(call: Call, context: typer.Context, watch: Every = None) -> None:
    """List the flows, or show one.

    Example: `busway flows --json`
    """
    if context.invoked_subcommand is not None:
        return
    call.repeated(lambda: _show_list(call), watch)


def _show_list(call: Call) -> None:
    found = call.items("/flows", FlowStatus)
    if call.json:
        as_json({"items": found})
    elif not found:
        echo("No flow has run here yet.")
    else:
        as_table(
            ("flow", "in/s", "out/s", "backlog", "waiting", "dead", "destination"), map(_row, found)
        )


def _row(status: FlowStatus) -> tuple[object, ...]:
    rates = status.rates
    return (
        status.name,
        "-" if rates is None else f"{rates.incoming:,.1f}",
        "-" if rates is None else f"{rates.delivered:,.1f}",
        status.backlog,
        _since(status.waiting_since),
        status.dead,
        status.destination,
    )


def _since(at: datetime | None) -> str:
    if at is None:
        return "-"
    return str(timedelta(seconds=max(0, int((datetime.now(UTC) - at).total_seconds()))))


@app.command("show")
@calling
def show_command(call: Call, name: str) -> None:
    """Show a flow whole: what it wants and does, its numbers, its lanes.

    Example: `busway flows show orders`
    """
    answer = call.get(f"/flows/{segment('flow', name)}")
    if call.json:
        answer.print()
        return
    found = answer.read(FlowDetail)
    print_flows([found.status])
    echo()
    echo(f"declared  {found.location}")
    echo(f"rule      {msgspec.json.encode(found.rule).decode()}")
    echo(f"steps     {', '.join(found.steps) or '-'}")
    echo()
    rows = [
        (one.partition, one.start, one.cursor, one.end, one.end - one.cursor) for one in found.lanes
    ]
    as_table(("partition", "start", "cursor", "end", "backlog"), rows)
    say_if_nothing_runs(call)
