"""``busway check``: every event is in exactly one place."""

from __future__ import annotations

from busway.control.operation import NoRequest, OperationContext, http, operation
from busway.control.overview import CheckResult, check_result


@operation(
    http("GET", "/check", tag="status"),
    command="check",
    summary="Check for lost events",
    result=CheckResult(ok=True),
)
async def check_events(context: OperationContext, request: NoRequest) -> CheckResult:
    """Verify that every event of every flow is in exactly one place.

    The exit code of the command is 0 if so, 1 if not, 2 if it cannot be verified.
    """
    return await check_result(context.control)
