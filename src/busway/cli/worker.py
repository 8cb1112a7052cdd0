"""``busway workers``: who works what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from busway.cli.call import Call, Every, calling
from busway.cli.show import as_table, echo
from busway.control.cluster import ClusterStatus, WorkerStatus


@calling
def workers(call: Call, watch: Every = None) -> None:
    """Show who works which lanes, and which flows nobody works.

    Example: `busway workers --watch 2`
    """
    call.repeated(lambda: _show(call), watch)


def _show(call: Call) -> None:
    answer = call.get("/workers")
    if call.json:
        answer.print()
        return
    found = answer.read(ClusterStatus)
    if not found.workers and not found.unassigned_flows:
        echo("One process works all lanes here.")
    print_workforce(found)


def print_workforce(found: ClusterStatus) -> None:
    """Print the workers, and the flows that none of them works."""
    if found.workers:
        as_table(("worker", "state", "last beat", "duties", "lanes"), map(_row, found.workers))
    if found.unassigned_flows:
        echo(f"Nobody works: {', '.join(found.unassigned_flows)}")


def _row(one: WorkerStatus) -> tuple[object, ...]:
    age_s = max(0.0, (datetime.now(UTC) - one.heartbeat_at).total_seconds())
    duties = len(one.duties)
    return (f"{one.host}:{one.pid}", one.state, f"{age_s:.1f} s ago", duties, _lanes(one.lanes))


def _lanes(lanes: Mapping[str, Sequence[int]]) -> str:
    """Return lanes in short: `orders/0,2 sales/1`."""
    shown = (f"{flow}/{','.join(map(str, parts))}" for flow, parts in sorted(lanes.items()))
    return " ".join(shown) or "-"
