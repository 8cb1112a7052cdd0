"""``busway window`` for people."""

from __future__ import annotations

from collections.abc import Sequence

from busway.cli.call import Call
from busway.cli.command.steering import print_steered
from busway.cli.operation_command import result_view
from busway.cli.output import print_table
from busway.control.operation.window import add_window, list_windows, remove_window, skip_windows
from busway.control.operator_control.view import WindowStatus

VIEW = result_view(add_window, remove_window, skip_windows)(print_steered)


@result_view(list_windows)
def print_windows(call: Call, items: Sequence[WindowStatus]) -> None:
    print_table(("id", "of", "begins", "lasts", "zone", "next", ""), map(_row, items))


def _row(window: WindowStatus) -> tuple[str, ...]:
    where = "declared" if window.declared else ""
    if window.open_until is not None:
        when = f"open until {window.open_until.astimezone():%F %T %Z}"
    else:
        when = f"{window.next_start.astimezone():%F %T %Z}" if window.next_start else "never"
    note = ", ".join(text for text in (where, window.reason) if text)
    return window.id, window.scope, window.cron, window.lasts, window.tz, when, note
