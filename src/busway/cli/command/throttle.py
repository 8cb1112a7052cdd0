"""``busway throttle``: two operations in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from busway.cli.call import Call
from busway.cli.command.steering import print_steered
from busway.cli.operation_command import command_body
from busway.control.operation.steering import SteerRequest
from busway.control.operation.throttle import ThrottleRequest, throttle, unthrottle
from busway.errors import BuswayError


@command_body(throttle)
def throttle_or_not(
    call: Call,
    request: ThrottleRequest,
    off: Annotated[bool, typer.Option("--off", help="Apply what is declared again.")] = False,
) -> None:
    if off == bool(request.rate or request.concurrency):
        raise BuswayError("give --rate, --concurrency or both, or --off")
    if off:
        target = SteerRequest(
            name=request.name, destination=request.destination, reason=request.reason
        )
        answer = call.run(unthrottle, target)
    else:
        answer = call.run(throttle, request)
    if call.json:
        answer.print()
    else:
        print_steered(call, answer.value)
