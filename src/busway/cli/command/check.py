"""``busway check``: the exit code is the answer."""

from __future__ import annotations

import typer

from busway.cli.call import Call
from busway.cli.operation_command import command_body
from busway.cli.output import echo_lines, print_error
from busway.control.operation import NoRequest
from busway.control.operation.check import check_events
from busway.errors import BuswayError


@command_body(check_events)
def check(call: Call, request: NoRequest) -> None:
    try:
        answer = call.run(check_events, request)
    except BuswayError as error:
        print_error(error)
        raise typer.Exit(2) from error
    found = answer.value
    if call.json:
        answer.print()
    else:
        echo_lines("\n".join(found.faults) or "Every event is in exactly one place.")
    raise typer.Exit(0 if found.ok else 1)
