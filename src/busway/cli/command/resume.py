"""``busway resume`` for people."""

from __future__ import annotations

from busway.cli.call import Call
from busway.cli.command.steering import print_steered
from busway.cli.operation_command import result_view
from busway.cli.output import echo
from busway.control.operation.resume import resume
from busway.control.operator_control.view import ControlStatus


@result_view(resume)
def print_resumed(call: Call, steered: ControlStatus) -> None:
    """Print the state, and how to learn what a destination answers that is called now."""
    print_steered(call, steered)
    if not call.client.is_exclusive and steered.state.state in ("down", "gone"):
        echo("The destination is called now: `busway status` shows what it answers.")
