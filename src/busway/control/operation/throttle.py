"""``busway throttle``."""

from __future__ import annotations

from typing import Annotated

from busway.control.field import option
from busway.control.operation import OperationContext, operation
from busway.control.operation.steering import STEERED, SteerRequest, carry_out, steering_http
from busway.control.operator_control import operation as steer
from busway.control.operator_control.view import ControlStatus


class ThrottleRequest(SteerRequest, frozen=True, kw_only=True):
    """A rate (``"5/s"``), a concurrency (``4``, ``"adaptive"``), or both."""

    rate: Annotated[str | None, option("Events, like 5/s or 100/m.")] = None
    concurrency: Annotated[
        int | str | None, option("Concurrent requests of each worker: 4, or adaptive.")
    ] = None


@operation(
    steering_http("PUT", "throttle"),
    command="throttle",
    summary="Throttle",
    request=ThrottleRequest(name="orders", rate="5/s"),
    result=STEERED,
)
async def throttle(context: OperationContext, request: ThrottleRequest) -> ControlStatus:
    """Limit the rate or the concurrency to another than is declared.

    It holds until it is taken off. What is not given stays as it was asked for before.
    """
    concurrency = None if request.concurrency is None else str(request.concurrency)
    return await carry_out(steer.throttle, context, request, request.rate, concurrency)


@operation(
    steering_http("DELETE", "throttle"),
    summary="Take the throttle off",
    request=SteerRequest(name="orders"),
    result=STEERED,
)
async def unthrottle(context: OperationContext, request: SteerRequest) -> ControlStatus:
    """Apply the declared rate and concurrency again."""
    return await carry_out(steer.unthrottle, context, request)
