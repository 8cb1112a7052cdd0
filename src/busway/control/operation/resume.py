"""``busway resume``."""

from __future__ import annotations

from busway.control.operation import OperationContext, operation
from busway.control.operation.steering import STEERED, SteerRequest, carry_out, steering_http
from busway.control.operator_control import operation as steer
from busway.control.operator_control.view import ControlStatus


@operation(
    steering_http("POST", "resume"),
    command="resume",
    summary="Resume",
    request=SteerRequest(name="orders"),
    result=STEERED,
)
async def resume(context: OperationContext, request: SteerRequest) -> ControlStatus:
    """End a pause or a drain, and retry a destination that is down.

    So it does with a destination that answered 410. Maintenance windows still hold: `busway window
    skip orders` skips one.
    """
    return await carry_out(steer.resume, context, request)
