"""``busway workers``: which worker processes which lanes."""

from __future__ import annotations

from datetime import UTC, datetime

from busway.control.cluster import ClusterStatus, WorkerStatus, cluster_status
from busway.control.operation import NoRequest, OperationContext, http, operation

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_WORKFORCE = ClusterStatus(
    workers=(
        WorkerStatus(
            id="5d0c7be1a9f2",
            host="work-1",
            pid=812,
            state="working",
            started_at=_AT,
            heartbeat_at=_AT,
            flows={"orders": "3f1c9a0be2d4"},
            lanes={"orders": (0, 2)},
            duties=("maintenance",),
        ),
    ),
    unassigned_flows=("old_orders",),
)


@operation(
    http("GET", "/workers", tag="workers"),
    command="workers",
    summary="Show the workers",
    result=_WORKFORCE,
)
async def show_workers(context: OperationContext, request: NoRequest) -> ClusterStatus:
    """Show each worker with its lanes, and the flows without a worker.

    A worker that died is shown for a minute. If one process has the installation to itself, there
    are none.
    """
    return await cluster_status(context.control)
