"""``busway alerts`` for people: the list, and what became of a test."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from busway.cli.call import Call
from busway.cli.operation_command import command_body
from busway.cli.output import echo, echo_lines, print_error, print_json, print_table
from busway.control.alert.record import AlertStatus
from busway.control.alert.trial_message import AlertTest
from busway.control.event.story_record import FlowStory
from busway.control.operation.alert import AlertName, list_alerts, send_alert_test
from busway.control.operation.event import EventId, show_story
from busway.control.page import PageRequest
from busway.errors import BuswayError

_POLL_INTERVAL_S = 0.2


@command_body(list_alerts)
def list_command(call: Call, request: PageRequest) -> None:
    try:
        alerts = call.items_of(list_alerts, request)
    except BuswayError as error:
        print_error(error)
        raise typer.Exit(2) from error
    if call.json:
        print_json({"items": alerts})
    elif not alerts:
        echo("No alert is declared; see app.alert(…) in the documentation.")
    else:
        print_table(("alert", "of", "state", "for", "what was found"), _rows(alerts))
    raise typer.Exit(1 if any(alert.state == "raised" for alert in alerts) else 0)


def _rows(found: Sequence[AlertStatus]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each alert; what is clear of one that is watched for many is one row."""
    clear = Counter(alert.name for alert in found if alert.state == "clear")
    for alert in found:
        if alert.state != "clear" or clear[alert.name] == 1:
            yield _row(alert)
        elif clear[alert.name]:
            what = "flows" if alert.flow else "destinations"
            yield alert.name, f"{clear[alert.name]} {what}", "clear", "-", "(--json shows each)"
            clear[alert.name] = 0


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


@command_body(send_alert_test)
def send_command(
    call: Call,
    request: AlertName,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="How long it may take.")
    ] = 30.0,
) -> None:
    sent = call.run(send_alert_test, request).value
    flows = _takers(call, sent, wait_s)
    if call.json:
        print_json({"alert": sent.alert, "id": sent.id, "text": sent.text, "flows": flows})
    else:
        _print(sent, flows)
    states = {story.state for story in flows} - {"filtered"}
    raise typer.Exit(0 if states and states <= {"delivered", "delivered_or_filtered"} else 1)


def _takers(call: Call, sent: AlertTest, wait_s: float) -> Sequence[FlowStory]:
    """Return the flows that take the message, as they stand when all have tried, or in the end."""
    ends_at = time.monotonic() + wait_s
    while True:
        story = call.run(show_story, EventId(id=sent.id)).value
        takers = [taker for taker in story.flows if taker.matched or taker.state != "filtered"]
        takers = [taker for taker in takers if taker.matched is not False and taker.replay is None]
        waits = any(taker.state == "waiting" for taker in takers)
        if not waits or time.monotonic() >= ends_at:
            return takers
        time.sleep(_POLL_INTERVAL_S)


def _print(sent: AlertTest, flows: Sequence[FlowStory]) -> None:
    echo_lines(sent.text)
    if not flows:
        echo(
            "No flow takes it: declare one with"
            ' when={"type": [{"prefix": "busway.alert."}]}, to=smtp(…), chat(…) or http(…)'
        )
        return
    rows = [(flow.flow, flow.destination, flow.state, _how(flow)) for flow in flows]
    print_table(("flow", "destination", "state", ""), rows)


def _how(story: FlowStory) -> str:
    return "" if story.state == "delivered" else "; ".join(filter(None, (story.text, story.held)))
