"""``busway window``: recurring maintenance windows of flows and destinations."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.field import argument, option
from busway.control.operation import CommandGroup, OperationContext, http, operation
from busway.control.operation.steering import (
    STEERED,
    SteerRequest,
    TargetRequest,
    carry_out,
    steering_http,
    steering_paths,
    target_of,
)
from busway.control.operator_control import operation as steer
from busway.control.operator_control.view import (
    ControlStatus,
    WindowStatus,
    window_statuses,
)
from busway.control.page import Page
from busway.delivery.maintenance_window import Window

GROUP = CommandGroup(
    "window",
    "Maintenance windows, in which a flow or a destination pauses.",
    "busway window add orders '0 2 * * SUN' 2h --tz Europe/Berlin",
)


class AddWindow(SteerRequest, frozen=True, kw_only=True):
    """A maintenance window: a cron expression of five fields, how long, and in which time zone."""

    cron: Annotated[str, argument("When it begins, like '0 2 * * SUN'.")]
    lasts: Annotated[str, argument("How long, like 2h.", metavar="LASTS")] = msgspec.field(
        name="for"
    )
    tz: Annotated[str, option("The time zone.")] = "UTC"


class RemoveWindow(SteerRequest, frozen=True, kw_only=True):
    """Which window to remove."""

    id: Annotated[str, argument("The window's id, as in the list.")]


_WINDOW = WindowStatus(
    id="8966ca5e",
    scope="flow",
    cron="0 2 * * SUN",
    lasts="2h",
    tz="Europe/Berlin",
    reason="backup",
    next_start=datetime(2026, 3, 8, 1, tzinfo=UTC),
)


@operation(
    http("GET", *steering_paths("windows"), tag="steering", may_miss=True),
    command="window list",
    summary="List windows",
    request=TargetRequest(name="orders"),
    result=Page([_WINDOW]),
)
async def list_windows(context: OperationContext, request: TargetRequest) -> Page[WindowStatus]:
    """List the windows of a flow, including its destination's, or those of a destination."""
    target = await target_of(context, request)
    return Page(list(await window_statuses(context.control, target)))


@operation(
    steering_http("POST", "windows", 201),
    command="window add",
    summary="Add a window",
    request=AddWindow(name="orders", cron="0 2 * * SUN", lasts="2h", tz="Europe/Berlin"),
    result=STEERED,
)
async def add_window(context: OperationContext, request: AddWindow) -> ControlStatus:
    """Add a maintenance window. One that exists already stays as it is."""
    window = Window(request.cron, request.lasts, request.tz, request.reason)
    return await carry_out(steer.add_window, context, request, window)


@operation(
    steering_http("DELETE", "windows/{id}"),
    command="window remove",
    summary="Remove a window",
    request=RemoveWindow(name="orders", id="8966ca5e"),
    result=STEERED,
)
async def remove_window(context: OperationContext, request: RemoveWindow) -> ControlStatus:
    """Remove a window that was added; a declared one is removed in the flows file."""
    return await carry_out(steer.remove_window, context, request, request.id)


@operation(
    steering_http("POST", "windows/skip"),
    command="window skip",
    summary="Skip a window",
    request=SteerRequest(name="orders"),
    result=STEERED,
)
async def skip_windows(context: OperationContext, request: SteerRequest) -> ControlStatus:
    """Skip the windows that are open now, until they close; 409 if none is open."""
    return await carry_out(steer.skip_windows, context, request)
