"""``busway drain``."""

from __future__ import annotations

from busway.control.operation import OperationContext, operation
from busway.control.operation.steering import STEERED, SteerRequest, carry_out, steering_http
from busway.control.operator_control import operation as steer
from busway.control.operator_control.view import ControlStatus


@operation(
    steering_http("POST", "drain"),
    command="drain",
    summary="Drain",
    request=SteerRequest(name="orders", reason="before the move"),
    result=STEERED,
)
async def drain(context: OperationContext, request: SteerRequest) -> ControlStatus:
    """Deliver the backlog as it is now, then pause.

    It waits for parked events that are due within a minute; later ones stay parked.
    """
    return await carry_out(steer.drain, context, request)
