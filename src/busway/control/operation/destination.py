"""The destinations of the flows."""

from __future__ import annotations

from busway.control.destination import DestinationStatus, destination_statuses
from busway.control.operation import OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after

_DOWN = DestinationStatus(
    name="http $CRM_URL",
    flows=("to_crm",),
    breaker="open",
    breaker_reason="cannot be reached: connection refused",
)


@operation(
    http("GET", "/destinations", tag="flows"), summary="List destinations", result=Page([_DOWN])
)
async def list_destinations(
    context: OperationContext, request: PageRequest
) -> Page[DestinationStatus]:
    """List the destinations by name, each with its breaker and the flows that deliver to it."""
    clock = context.control.clock
    found = await destination_statuses(
        context.control.ledger, clock.now(), clock.wall_clock_offset()
    )
    return page_after(found, request, lambda status: status.name, str)
