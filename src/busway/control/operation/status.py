"""``busway status``: the process, the log and the flows at a glance."""

from __future__ import annotations

from datetime import UTC, datetime

from busway.control.operation import Command, NoRequest, OperationContext, http, operation
from busway.control.overview import LogStatus, Overview, PartitionStatus, overview

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_OVERVIEW = Overview(
    version="0.1.0",
    at=_AT,
    started_at=_AT,
    app="shop",
    log=LogStatus("7f0e6c1e-6b0f-4b8e-9d55-0e6d2a1c9b47", 4_096, (PartitionStatus(0, 0, 100),)),
    flows=(),
)


@operation(
    http("GET", "/status", tag="status"),
    command=Command("status", example="--json"),
    summary="Show the status",
    result=_OVERVIEW,
)
async def show_status(context: OperationContext, request: NoRequest) -> Overview:
    """Show where the events of each flow are, and the destinations.

    With the version, the time of the start, and the partitions of the log.
    """
    return await overview(context.control)
