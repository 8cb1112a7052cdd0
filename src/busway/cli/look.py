"""``busway status`` and ``busway check``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import typer

from busway.cli.call import Call, Every, calling
from busway.cli.show import as_error, as_table, echo, echo_lines
from busway.cli.worker import print_workforce
from busway.control.flow.status import FlowStatus
from busway.control.overview import CheckResult, Overview
from busway.control.replay.operation import Replay
from busway.delivery.replay import replay_lane_name
from busway.errors import BuswayError

COLUMNS = ("accepted", "delivered", "filtered", "parked", "dead", "discarded", "backlog")


@calling
def status(call: Call, watch: Every = None) -> None:
    """Show where the events of each flow are, and how the destinations do.

    Example: `busway status --json`
    """
    call.repeated(lambda: _show_status(call), watch)


def _show_status(call: Call) -> None:
    answer = call.get("/status")
    if call.json:
        answer.print()
    else:
        found = answer.read(Overview)
        print_flows(found.flows, found.replays)
        say_if_nothing_runs(call)
        for one in found.stuck:
            if not one.flow:
                echo()
                echo(f"stuck: {one.text}")
        if found.cluster.workers or found.cluster.unassigned_flows:
            echo()
            print_workforce(found.cluster)


def print_flows(statuses: Sequence[FlowStatus], replays: Sequence[Replay] = ()) -> None:
    """Print where the events of flows and replays are, and how their destinations do."""
    if not statuses:
        echo("No flow has run here yet.")
        return
    counts = [(one.name, *(getattr(one, column) for column in COLUMNS)) for one in statuses]
    counts += [_of_replay(one) for one in replays]
    as_table(("flow", *COLUMNS), counts)
    echo()
    states = [(one.name, one.state, one.destination, _why(one)) for one in statuses]
    as_table(("flow", "state", "destination", ""), states)


def say_if_nothing_runs(call: Call) -> None:
    """Print that no server has the directory open, so that no flow delivers whatever its state."""
    if call.client.alone:
        echo()
        echo("Nothing runs here now, so no flow delivers: the states hold from the next start on.")


def _of_replay(one: Replay) -> tuple[str, int, int, int, int, int, int, int]:
    """Return the row of a replay, by the name that its dead letters have; what it skipped is
    filtered."""
    name, filtered = replay_lane_name(one.flow, one.id), one.filtered + one.skipped
    counts = (one.parked, one.dead, one.discarded, one.total - one.done)
    return (name, one.total, one.delivered, filtered, *counts)


def _why(status: FlowStatus) -> str:
    """Return why a flow stands as it does, since or until when, and which throttles hold."""
    reason = status.state_reason
    if status.until is not None:
        reason = f"until {status.until.astimezone():%F %T %Z}: {reason}"
    if status.state == "down" and status.down_since is not None:
        reason = f"{_tried(status.down_since, status.tries, status.next_probe_at)}: {reason}"
    return "; ".join(filter(None, (reason, *map(str, status.throttles))))


def _tried(since: datetime, tries: int, following: datetime | None) -> str:
    again = "is tried now" if following is None else f"next at {following.astimezone():%T}"
    return f"since {since.astimezone():%F %T %Z}, tried {tries:,} times, {again}"


@calling
def check(call: Call) -> None:
    """Verify that every event of every flow is in exactly one place.

    Exit code 0 when so, 1 when not, 2 when it cannot be looked at.

    Example: `busway check`
    """
    try:
        answer = call.get("/check")
    except BuswayError as error:
        as_error(error)
        raise typer.Exit(2) from error
    found = answer.read(CheckResult)
    if call.json:
        answer.print()
    else:
        echo_lines("\n".join(found.faults) or "Every event is in exactly one place.")
    raise typer.Exit(0 if found.ok else 1)
