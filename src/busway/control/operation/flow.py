"""``busway flows``: the flows, what they do, and where their events are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.field import argument, option
from busway.control.flow.detail import FlowDetail, LaneStatus, flow_detail
from busway.control.flow.lifecycle import RemovedFlow, RenamedFlow, remove, rename
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.flow_rate import FlowRates
from busway.control.operation import OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after

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


class FlowName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which flow is meant."""

    name: Annotated[str, argument("The flow.")]


class RenameFlow(FlowName, frozen=True, kw_only=True):
    """The new name of a flow."""

    to: Annotated[str, argument("Its new name.")]
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


class RemoveFlow(FlowName, frozen=True, kw_only=True):
    """Which flow to remove."""

    discard: Annotated[
        bool,
        option("Also with a backlog, parked events, dead letters, or unfinished replays."),
    ] = False
    reason: Annotated[str, option("Why, for the audit trail.")] = ""


@operation(
    http("GET", "/flows", tag="flows"),
    command="flows",
    summary="List flows",
    result=Page([_STATUS]),
)
async def list_flows(context: OperationContext, request: PageRequest) -> Page[FlowStatus]:
    """List the flows: rates, backlog, and the state of the destination."""
    found = await current_statuses(context.control)
    return page_after(found, request, lambda status: status.name, str)


@operation(
    http("GET", "/flows/{name}", tag="flows"),
    command="flows show",
    summary="Show a flow",
    request=FlowName(name="orders"),
    result=_DETAIL,
)
async def show_flow(context: OperationContext, request: FlowName) -> FlowDetail:
    """Show a flow in full: its rule, its steps, its numbers, and each of its lanes."""
    return await flow_detail(context.control, request.name)


@operation(
    http("POST", "/flows/{name}/rename", tag="flows"),
    command="flows rename",
    summary="Rename a flow",
    request=RenameFlow(name="big_orders", to="orders", reason="there are small ones now"),
    result=RenamedFlow("big_orders", "orders"),
)
async def rename_flow(context: OperationContext, request: RenameFlow) -> RenamedFlow:
    """Rename a flow that is not running, with its position, counts and dead letters.

    A running flow is renamed in the flows file, with `renamed_from`.
    """
    await rename(context.control, request.name, request.to, context.actor, request.reason)
    return RenamedFlow(request.name, request.to)


@operation(
    http("DELETE", "/flows/{name}", tag="flows"),
    command="flows remove",
    summary="Remove a flow",
    request=RemoveFlow(name="big_orders", discard=True, reason="the CRM is gone"),
    result=RemovedFlow("big_orders", backlog=12, parked=0, dead=3),
)
async def remove_flow(context: OperationContext, request: RemoveFlow) -> RemovedFlow:
    """Remove a flow that is not running, with all that is stored of it; report what is lost."""
    return await remove(
        context.control,
        request.name,
        context.actor,
        discard=request.discard,
        reason=request.reason,
    )
