"""What ``busway pause`` and the commands like it print for people."""

from __future__ import annotations

from busway.cli.call import Call
from busway.cli.output import echo
from busway.control.operator_control.view import ControlStatus

_WORDS = {"window": "in a maintenance window"}


def print_steered(call: Call, steered: ControlStatus) -> None:
    """Print the state of a flow or a destination, and what limits it."""
    state, name = steered.state, steered.controls.name
    until = "" if state.until is None else f" until {state.until.astimezone():%F %T %Z}"
    why = f": {state.reason}" if state.reason else ""
    echo(f"{name} is {_WORDS.get(state.state, state.state)}{until}{why}")
    throttle = steered.controls.throttle
    if throttle is not None:
        parts = ("rate", throttle.rate), ("concurrency", throttle.concurrency)
        limits = " and ".join(f"{what} {value}" for what, value in parts if value is not None)
        echo(f"{name} is limited to {limits}, by {throttle.actor} since {throttle.since:%F %T} UTC")
    if call.client.is_exclusive:
        echo("Nothing runs here now: it holds from the next start on.")
