"""``busway workers`` for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from busway.cli.call import Call
from busway.cli.operation_command import result_view
from busway.cli.output import echo, print_table
from busway.control.cluster import ClusterStatus, WorkerStatus
from busway.control.operation.worker import show_workers


@result_view(show_workers, watch=True)
def print_workers(call: Call, workforce: ClusterStatus) -> None:
    """Print the workers, or that there is a single process."""
    if not workforce.workers and not workforce.unassigned_flows:
        echo("One process works all lanes here.")
    print_workforce(workforce)


def print_workforce(found: ClusterStatus) -> None:
    """Print the workers, and the flows that none of them works."""
    if found.workers:
        print_table(
            ("worker", "state", "last heartbeat", "duties", "lanes"), map(_row, found.workers)
        )
    if found.unassigned_flows:
        echo(f"Nobody works: {', '.join(found.unassigned_flows)}")


def _row(worker: WorkerStatus) -> tuple[object, ...]:
    age_s = max(0.0, (datetime.now(UTC) - worker.heartbeat_at).total_seconds())
    duties = len(worker.duties)
    return (
        f"{worker.host}:{worker.pid}",
        worker.state,
        f"{age_s:.1f} s ago",
        duties,
        _lanes(worker.lanes),
    )


def _lanes(lanes: Mapping[str, Sequence[int]]) -> str:
    """Return lanes in short: `orders/0,2 sales/1`."""
    shown = (f"{flow}/{','.join(map(str, parts))}" for flow, parts in sorted(lanes.items()))
    return " ".join(shown) or "-"
