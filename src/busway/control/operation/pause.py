"""``busway pause``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from busway.control.field import Time, option
from busway.control.operation import OperationContext, operation
from busway.control.operation.steering import STEERED, SteerRequest, carry_out, steering_http
from busway.control.operator_control import operation as steer
from busway.control.operator_control.view import ControlStatus


class PauseRequest(SteerRequest, frozen=True, kw_only=True):
    """A pause until a time, for a duration (``"2h"``), or, without either, until it is resumed."""

    until: Annotated[Time | None, option("Until then.", ahead=True)] = None
    lasts: Annotated[str | None, option("For this long, like 2h.")] = msgspec.field(
        default=None, name="for"
    )


@operation(
    steering_http("POST", "pause"),
    command="pause",
    summary="Pause",
    request=PauseRequest(name="orders", lasts="2h", reason="the shop moves"),
    result=STEERED,
)
async def pause(context: OperationContext, request: PauseRequest) -> ControlStatus:
    """Stop delivering at once; events still come in, the backlog stays.

    The pause ends at a time, after a duration, or when it is resumed. It outlives restarts.
    """
    clock = context.control.clock
    until = steer.pause_end(clock.now(), request.lasts, request.until, clock.wall_clock_offset())
    return await carry_out(steer.pause, context, request, until)
