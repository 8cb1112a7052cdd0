"""``/workers``: who works what, where several processes share the lanes."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get
from litestar.di import NamedDependency

from busway.api.openapi import example
from busway.control.cluster import ClusterStatus, WorkerStatus, cluster_status
from busway.control.context import ControlContext

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_EXAMPLE = ClusterStatus(
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


@get("/", summary="Show who works what", opt=example(_EXAMPLE))
async def show_workers(control: NamedDependency[ControlContext]) -> ClusterStatus:
    """Return each worker with its lanes and its beat, and the flows that nobody works.

    A worker that died is told for a minute. Where one process has the installation for itself there
    are none.
    """
    return await cluster_status(control)


router = Router("/workers", route_handlers=[show_workers], tags=["workers"])
