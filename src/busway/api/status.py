"""``/status`` and ``/check``: how it all stands, and whether it adds up."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get
from litestar.di import NamedDependency

from busway.api.openapi import example
from busway.control.context import ControlContext
from busway.control.overview import (
    CheckResult,
    LogStatus,
    Overview,
    PartitionStatus,
    check_result,
    overview,
)

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_OVERVIEW = Overview(
    version="0.1.0",
    at=_AT,
    started_at=_AT,
    app="shop",
    log=LogStatus("7f0e6c1e-6b0f-4b8e-9d55-0e6d2a1c9b47", 4_096, (PartitionStatus(0, 0, 100),)),
    flows=(),
)


@get("/status", summary="Show how it all stands", opt=example(_OVERVIEW))
async def show_status(control: NamedDependency[ControlContext]) -> Overview:
    """Return the version, since when it runs, the log with its partitions, and every flow."""
    return await overview(control)


@get("/check", summary="Check that it adds up", opt=example(CheckResult(ok=True)))
async def show_check(control: NamedDependency[ControlContext]) -> CheckResult:
    """Look whether every event of every flow is in exactly one place; tell each fault."""
    return await check_result(control)


router = Router("/", route_handlers=[show_status, show_check], tags=["status"])
