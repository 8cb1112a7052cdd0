"""``busway status`` for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from busway.cli.call import Call
from busway.cli.command.worker import print_workforce
from busway.cli.operation_command import result_view
from busway.cli.output import echo, print_table
from busway.control.flow.status import FlowStatus
from busway.control.operation.status import show_status
from busway.control.overview import Overview
from busway.control.replay.operation import Replay
from busway.delivery.replay import replay_lane_name

COLUMNS = ("accepted", "delivered", "filtered", "parked", "dead", "discarded", "backlog")


@result_view(show_status, watch=True)
def print_status(call: Call, overview: Overview) -> None:
    """Print the flows, the replays, what is stuck, and the workers."""
    print_flows(overview.flows, overview.replays)
    say_if_nothing_runs(call)
    for stuck in overview.stuck:
        if not stuck.flow:
            echo()
            echo(f"stuck: {stuck.text}")
    if overview.cluster.workers or overview.cluster.unassigned_flows:
        echo()
        print_workforce(overview.cluster)


def print_flows(statuses: Sequence[FlowStatus], replays: Sequence[Replay] = ()) -> None:
    """Print where the events of flows and replays are, and how their destinations do."""
    if not statuses:
        echo("No flow has run here yet.")
        return
    counts = [
        (status.name, *(getattr(status, column) for column in COLUMNS)) for status in statuses
    ]
    counts += [_of_replay(replay) for replay in replays]
    print_table(("flow", *COLUMNS), counts)
    echo()
    states = [(status.name, status.state, status.destination, _why(status)) for status in statuses]
    print_table(("flow", "state", "destination", ""), states)


def say_if_nothing_runs(call: Call) -> None:
    """Print that no server has the directory open, so that no flow delivers whatever its state."""
    if call.client.is_exclusive:
        echo()
        echo("Nothing runs here now, so no flow delivers: the states hold from the next start on.")


def _of_replay(replay: Replay) -> tuple[str, int, int, int, int, int, int, int]:
    """Return the row of a replay, by the name that its dead letters have; what it skipped is
    filtered."""
    name, filtered = replay_lane_name(replay.flow, replay.id), replay.filtered + replay.skipped
    counts = (replay.parked, replay.dead, replay.discarded, replay.total - replay.done)
    return (name, replay.total, replay.delivered, filtered, *counts)


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
