"""``busway flows`` for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from busway.cli.call import Call
from busway.cli.command.status import print_flows, say_if_nothing_runs
from busway.cli.operation_command import result_view
from busway.cli.output import echo, print_table
from busway.control.flow.detail import FlowDetail
from busway.control.flow.lifecycle import RemovedFlow, RenamedFlow
from busway.control.flow.status import FlowStatus
from busway.control.operation.flow import list_flows, remove_flow, rename_flow, show_flow


@result_view(list_flows, watch=True, empty="No flow has run here yet.")
def print_list(call: Call, flows: Sequence[FlowStatus]) -> None:
    columns = ("flow", "in/s", "out/s", "backlog", "waiting", "dead", "destination")
    print_table(columns, map(_row, flows))


@result_view(show_flow)
def print_flow(call: Call, flow: FlowDetail) -> None:
    print_flows([flow.status])
    echo()
    echo(f"declared  {flow.location}")
    echo(f"rule      {msgspec.json.encode(flow.rule).decode()}")
    echo(f"steps     {', '.join(flow.steps) or '-'}")
    echo()
    rows = [
        (lane.partition, lane.start, lane.cursor, lane.end, lane.end - lane.cursor)
        for lane in flow.lanes
    ]
    print_table(("partition", "start", "cursor", "end", "backlog"), rows)
    say_if_nothing_runs(call)


@result_view(rename_flow)
def print_renamed(call: Call, renamed: RenamedFlow) -> None:
    echo(f"Flow {renamed.before} is called {renamed.name} now.")


@result_view(remove_flow)
def print_removed(call: Call, lost: RemovedFlow) -> None:
    echo(
        f"Flow {lost.flow} is removed; given up with it: a backlog of {lost.backlog:,},"
        f" {lost.parked:,} parked, {lost.dead:,} dead events,"
        f" {lost.replaying:,} that were to be replayed."
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
