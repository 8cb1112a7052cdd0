"""``/workers``: who works what, where several processes share the lanes."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get
from litestar.di import NamedDependency

from busway.api.openapi import example
from busway.control.control import Control
from busway.control.workforce import WorkerStatus, Workforce, workforce

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_EXAMPLE = Workforce(
    workers=(
        WorkerStatus(
            id="5d0c7be1a9f2",
            host="work-1",
            pid=812,
            state="working",
            started_at=_AT,
            beat_at=_AT,
            flows={"orders": "3f1c9a0be2d4"},
            lanes={"orders": (0, 2)},
            duties=("upkeep",),
        ),
    ),
    unworked=("old_orders",),
)


@get("/", summary="Show who works what", opt=example(_EXAMPLE))
async def show_workers(control: NamedDependency[Control]) -> Workforce:
    """Return each worker with its lanes and its beat, and the flows that nobody works.

    A worker that died is told for a minute. Where one process has the installation for itself there
    are none.
    """
    return await workforce(control)


router = Router("/workers", route_handlers=[show_workers], tags=["workers"])
