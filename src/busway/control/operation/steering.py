"""Steering of flows and destinations: the controls, and what ``busway pause`` and others share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from busway.control.field import argument, option
from busway.control.operation import (
    HttpBinding,
    Method,
    OperationContext,
    Path,
    http,
    operation,
)
from busway.control.operator_control.flow_state import FlowState
from busway.control.operator_control.operation import ControlCommand
from busway.control.operator_control.record import (
    ControlTarget,
    control_record,
    known_destination,
    known_flow,
)
from busway.control.operator_control.view import (
    AddedWindow,
    Controls,
    ControlStatus,
    control_status,
    controls_view,
)
from busway.delivery.operator_control import ControlRecord, Pause, ThrottleOverride
from busway.errors import Conflict

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_UNTIL = datetime(2026, 3, 1, 14, tzinfo=UTC)
CONTROLS = Controls(
    kind="flow",
    name="orders",
    pause=Pause(_AT, "ann@ops", "the CRM moves", _UNTIL),
    throttle=ThrottleOverride(_AT, "ann@ops", rate="5/s"),
    windows=(AddedWindow("8966ca5e", "0 2 * * SUN", "2h", "Europe/Berlin", "backup"),),
)
STEERED = ControlStatus(
    controls=CONTROLS,
    state=FlowState("paused", "paused by ann@ops since 2026-03-01 12:00:00 UTC: a move", _UNTIL),
)


class TargetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which flow or destination is meant."""

    name: Annotated[
        str,
        argument("The flow; or the destination, or a flow that delivers to it.", in_query=True),
    ]
    destination: Annotated[
        bool, option("NAME is a destination, or a flow that delivers to it.")
    ] = False


class SteerRequest(TargetRequest, frozen=True, kw_only=True):
    """Which flow or destination to steer, and why."""

    reason: Annotated[str, option("Why, for the audit trail and whoever looks.")] = ""


def steering_paths(end: str) -> tuple[Path, Path]:
    """Return the paths of an operation on a flow or a destination."""
    return (
        Path(f"/flows/{{name}}/{end}", {"destination": False}),
        Path(f"/destinations/{end}", {"destination": True}),
    )


async def target_of(context: OperationContext, request: TargetRequest) -> ControlTarget:
    """Return what a request is about. Raises :class:`~busway.errors.NotFound`."""
    known = known_destination if request.destination else known_flow
    return await known(context.control.ledger, request.name)


async def carry_out(
    change: Callable[..., Awaitable[ControlRecord]],
    context: OperationContext,
    request: SteerRequest,
    *given: Any,
) -> ControlStatus:
    """Change what is asked of a target by a function of ``steer.operation``; return how it is then.

    Raises :class:`~busway.errors.Conflict` if it has changed since the caller read it.
    """
    target = await target_of(context, request)
    order = ControlCommand(context.actor, request.reason, await _seen(context, target))
    changed = await change(context.control, target, order, *given)
    return await control_status(context.control, target, changed)


async def _seen(context: OperationContext, target: ControlTarget) -> ControlRecord | None:
    """Return the record that the caller has read, if the caller said that it did."""
    if context.expected is None:
        return None
    seen = await control_record(context.control.ledger, target)
    if controls_view(target, seen) != context.expected:
        raise Conflict(
            f"{target.kind} {target.name!r} has changed since it was read; read it again"
        )
    return seen


@operation(
    http("GET", *steering_paths("controls"), tag="steering", may_miss=True),
    summary="Show the controls",
    request=TargetRequest(name="orders"),
    result=CONTROLS,
)
async def show_controls(context: OperationContext, request: TargetRequest) -> Controls:
    """Return what people have asked of it: pause, drain, throttle, windows. For `If-Match`."""
    target = await target_of(context, request)
    return controls_view(target, await control_record(context.control.ledger, target))


def steering_http(method: Method, end: str, status: int = 200) -> HttpBinding:
    """Return how a change of the controls is called: on a flow, or on a destination."""
    return http(
        method,
        *steering_paths(end),
        tag="steering",
        status=status,
        may_miss=True,
        current=show_controls,
    )
