"""``/flows``: the flows, what they do, and where their events are."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from busway.api.openapi import example
from busway.api.page import Cursor, Limit
from busway.control.context import ControlContext
from busway.control.flow.detail import FlowDetail, LaneStatus, flow_detail
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.flow_rate import FlowRates
from busway.control.page import Page, page_of, place_in

_STATUS = FlowStatus(
    name="orders",
    accepted=100_000,
    delivered=93_000,
    filtered=6_000,
    parked=2,
    dead=1,
    discarded=0,
    backlog=997,
    destination="sqlite $SHOP_DB orders",
    version="3f1c9a0be2d4",
    waiting_since=datetime(2026, 3, 1, 12, tzinfo=UTC),
    rates=FlowRates(incoming=120.5, delivered=118.0),
)
_DETAIL = FlowDetail(
    status=_STATUS,
    location="shop.py:12",
    rule={"type": ["order.created"]},
    steps=("orders",),
    ordered=False,
    lanes=(LaneStatus(partition=0, start=0, cursor=99_003, end=100_000),),
)


@get("/", summary="List flows", opt=example(Page([_STATUS])))
async def list_flows(
    control: NamedDependency[ControlContext], limit: Limit = 100, cursor: Cursor = None
) -> Page[FlowStatus]:
    """Return the flows by name, each with where its events are and how its destination does."""
    after = place_in(cursor, str) if cursor else ""
    found = await current_statuses(control)
    return page_of([one for one in found if one.name > after][: limit + 1], limit, _name)


@get("/{name:str}", summary="Show a flow", opt=example(_DETAIL))
async def show_flow(control: NamedDependency[ControlContext], name: FromPath[str]) -> FlowDetail:
    """Return a flow: what it wants and does, its numbers, and each of its lanes."""
    return await flow_detail(control, name)


def _name(status: FlowStatus) -> str:
    return status.name


router = Router("/flows", route_handlers=[list_flows, show_flow], tags=["flows"])
