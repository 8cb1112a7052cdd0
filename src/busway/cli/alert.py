"""``busway alerts``: what is watched, and what is raised; and a test of one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

import typer

from busway.cli.call import Call, calling
from busway.cli.show import as_error, as_json, as_table, echo, echo_lines
from busway.control.alert.record import AlertStatus
from busway.control.alert.trial_message import AlertTest
from busway.control.event.story import FlowStory, Story
from busway.errors import BuswayError

app = typer.Typer(invoke_without_command=True)

_LOOK_EVERY_S = 0.2


@app.callback()
@calling
def list_command(call: Call, context: typer.Context) -> None:
    """List the alerts, raised ones first; or test one.

    Exit code 0 when none is raised, 1 when one is, 2 when it cannot be looked at.

    Example: `busway alerts --json`
    """
    if context.invoked_subcommand is not None:
        return
    try:
        found = call.items("/alerts", AlertStatus)
    except BuswayError as error:
        as_error(error)
        raise typer.Exit(2) from error
    if call.json:
        as_json({"items": found})
    elif not found:
        echo("No alert is declared; see app.alert(…) in the documentation.")
    else:
        as_table(("alert", "of", "state", "for", "what was found"), _rows(found))
    raise typer.Exit(1 if any(one.state == "raised" for one in found) else 0)


def _rows(found: Sequence[AlertStatus]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each alert; what is clear of one that is watched for many is one row."""
    clear = Counter(one.name for one in found if one.state == "clear")
    for one in found:
        if one.state != "clear" or clear[one.name] == 1:
            yield _row(one)
        elif clear[one.name]:
            what = "flows" if one.flow else "destinations"
            yield one.name, f"{clear[one.name]} {what}", "clear", "-", "(--json shows each)"
            clear[one.name] = 0


def _row(status: AlertStatus) -> tuple[object, ...]:
    name = status.name
    of = status.flow or status.destination or status.source or "-"
    since = status.pending_since if status.state == "pending" else status.since
    return (name, of, status.state, _age(since), f"{status.text}{_change(status)}")


def _change(status: AlertStatus) -> str:
    """Return since when it is about to change, and when it does."""
    since, until = status.pending_since, status.pending_until
    if since is None or until is None:
        return ""
    what = "calm" if status.state == "raised" else "so"
    change = "cleared" if status.state == "raised" else "raised"
    return f"; {what} since {since.astimezone():%T}, {change} at {until.astimezone():%F %T %Z}"


def _age(since: datetime | None) -> str:
    if since is None:
        return "-"
    return str(timedelta(seconds=max(0, int((datetime.now(UTC) - since).total_seconds()))))


@app.command("test")
@calling
def send_test_command(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alert.")],
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long it may take.")
    ] = 30.0,
) -> None:
    """Send a message that is marked as a test where the alert's real ones go; say how it went.

    Exit code 0 when every flow that takes the alert's messages has delivered it, otherwise 1.

    Example: `busway alerts test "dead letters"`
    """
    sent = call.post(f"/alerts/{quote(name, safe='')}/test").read(AlertTest)
    flows = _takers(call, sent, wait_s)
    if call.json:
        as_json({"alert": sent.alert, "id": sent.id, "text": sent.text, "flows": flows})
    else:
        _print(sent, flows)
    states = {one.state for one in flows} - {"filtered"}
    raise typer.Exit(0 if states and states <= {"delivered", "delivered_or_filtered"} else 1)


def _takers(call: Call, sent: AlertTest, wait_s: float) -> Sequence[FlowStory]:
    """Return the flows that take the message, as they stand when all have tried, or in the end."""
    ends_at = time.monotonic() + wait_s
    while True:
        story = call.get("/story", id=sent.id).read(Story)
        takers = [one for one in story.flows if one.matched or one.state != "filtered"]
        takers = [one for one in takers if one.matched is not False and one.replay is None]
        waits = any(one.state == "waiting" for one in takers)
        if not waits or time.monotonic() >= ends_at:
            return takers
        time.sleep(_LOOK_EVERY_S)


def _print(sent: AlertTest, flows: Sequence[FlowStory]) -> None:
    echo_lines(sent.text)
    if not flows:
        echo(
            "No flow takes it: declare one with"
            ' when={"type": [{"prefix": "busway.alert."}]}, to=smtp(…), chat(…) or http(…)'
        )
        return
    rows = [(one.flow, one.destination, one.state, _how(one)) for one in flows]
    as_table(("flow", "destination", "state", ""), rows)


def _how(story: FlowStory) -> str:
    return "" if story.state == "delivered" else "; ".join(filter(None, (story.text, story.held)))
