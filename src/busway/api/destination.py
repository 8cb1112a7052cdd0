"""``/destinations``: where the flows deliver to."""

from __future__ import annotations

from litestar import Router, get
from litestar.di import NamedDependency

from busway.api.openapi import example
from busway.api.page import Cursor, Limit
from busway.control.context import ControlContext
from busway.control.destination import DestinationStatus, destination_statuses
from busway.control.page import Page, page_of, place_in

_DOWN = DestinationStatus(
    name="http $CRM_URL",
    flows=("to_crm",),
    breaker="open",
    breaker_reason="cannot be reached: connection refused",
)


@get("/destinations", summary="List destinations", opt=example(Page([_DOWN])))
async def list_destinations(
    control: NamedDependency[ControlContext], limit: Limit = 100, cursor: Cursor = None
) -> Page[DestinationStatus]:
    """Return the destinations by name, each with its breaker and the flows that deliver to it."""
    after = place_in(cursor, str) if cursor else ""
    clock = control.clock
    every = await destination_statuses(control.ledger, clock.now(), clock.wall_clock_offset())
    found = [one for one in every if one.name > after]
    return page_of(found[: limit + 1], limit, lambda one: one.name)


router = Router("/", route_handlers=[list_destinations], tags=["flows"])
