"""``busway event`` and ``busway events`` for people."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from busway.cli.call import Call
from busway.cli.command.event_timeline import print_story
from busway.cli.operation_command import api_command, command_body
from busway.cli.output import echo, print_json, print_table
from busway.cli.parameter import add_parameters
from busway.cli.request_option import options_of, request_of
from busway.control.log.search import EventQuery, LogEvent
from busway.control.operation.event import (
    EventId,
    SearchEvents,
    search_events,
    show_story,
)
from busway.errors import BuswayError
from busway.event import Event

_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode
Source = Annotated[
    str | None, typer.Option("--source", help="Its source, if several events have the id.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of events.")]
_MAX_LISTED = 20


@api_command("event")
@add_parameters(options_of(EventQuery), lambda given: request_of(EventQuery, given), behind=1)
def event_command(
    call: Call,
    question: EventQuery,
    id: Annotated[str | None, typer.Argument(metavar="ID", help="The event's id.")] = None,
    source: Source = None,
) -> None:
    """Show the story of an event: where it is, and what to do now.

    Instead of an id, give conditions on it: the story of the one event that fits, or a list if
    several do.

    Write `--` before an id that begins with a dash: `busway event -- -4711`.

    Example: `busway event order-4711`

    Example: `busway event --where data.customer.id=42 --since yesterday`
    """
    if id is not None and question != EventQuery():
        raise BuswayError("give either an id or conditions (--where, --key, --since)")
    if not id and question == EventQuery():
        raise BuswayError("give an event's id, or --where; `busway events` lists events")
    if id:
        _tell(call, EventId(id=id, source=source))
        return
    question = msgspec.structs.replace(question, source=source)
    found = call.items_of(search_events, SearchEvents(question=question), _MAX_LISTED)
    if not found:
        raise BuswayError("no such event is in the log; `busway events` lists events")
    if len(found) == 1:
        event = Event.from_json(bytes(found[0].event))
        _tell(call, EventId(id=event.id, source=event.source))
        return
    _list(call, found)
    if not call.json:
        more = " or more" if len(found) == _MAX_LISTED else ""
        echo(f"{len(found)}{more} events fit: `busway event ID` shows the story of one")


@command_body(search_events)
def events_command(call: Call, request: SearchEvents, limit: Limit = 20) -> None:
    found = call.items_of(search_events, request, limit)
    if found or call.json:
        _list(call, found)
    else:
        echo("No such event is in the log.")


def _tell(call: Call, event: EventId) -> None:
    answer = call.run(show_story, event)
    if call.json:
        answer.print()
    else:
        print_story(answer.value)


def _list(call: Call, found: list[LogEvent]) -> None:
    if call.json:
        print_json({"items": found})
    else:
        print_table(("came", "place", "id", "type", "key", "source", "data"), map(_row, found))


def _row(hit: LogEvent) -> tuple[object, ...]:
    seen = Event.from_json(bytes(hit.event))
    place, data = f"{hit.partition}/{hit.offset}", _short(seen)
    came = f"{hit.appended_at:%F %T.%f}"[:-3]
    return (came, place, seen.id, seen.type, seen.key or "-", seen.source, data)


def _short(seen: Event) -> str:
    text = _encode(seen.data).decode()
    return text if len(text) <= 80 else text[:77] + "..."
