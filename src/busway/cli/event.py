"""``busway event`` and ``busway events``: where an event is, and which events there are."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from busway.cli.call import Call, calling
from busway.cli.event_timeline import print_story
from busway.cli.moment import moment
from busway.cli.show import as_json, as_table
from busway.control.event.story import Story
from busway.control.log.search import SeenEvent
from busway.errors import BuswayError
from busway.event import Event

Source = Annotated[
    str | None, typer.Option("--source", help="Its source, where several events have the id.")
]
Key = Annotated[str | None, typer.Option("--key", help="Its partition key or subject.")]
Wheres = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="PATH=VALUE", help="What is in it; may be repeated."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="It came then or later; 2h: ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="It came before.")]
Most = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


@calling
def event(
    call: Call,
    id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.")],
    source: Source = None,
) -> None:
    """Tell the story of an event: when it came, where it went, why not, what it caused.

    Write `--` before an id that begins with a dash: `busway event -- -4711`.

    Example: `busway event order-4711`
    """
    if not id:
        raise BuswayError("the id is empty; `busway events` shows which there are")
    answer = call.get("/story", id=id, source=source)
    if call.json:
        answer.print()
    else:
        print_story(answer.read(Story))


@calling
def events(
    call: Call,
    key: Key = None,
    where: Wheres = None,
    since: Since = None,
    until: Until = None,
    limit: Most = 20,
) -> None:
    """Search the events that the log holds, the newest first.

    PATH is a JSON path in the event, like type, source or data.customer.id.

    Example: `busway events --where data.customer.id=42 --since 2h`
    """
    asked = {"key": key, "where": where or None, "since": moment(since), "until": moment(until)}
    found = call.items("/events", SeenEvent, limit, **asked)
    if call.json:
        as_json({"items": found})
    elif not found:
        typer.echo("No such event is in the log.")
    else:
        as_table(("came", "place", "id", "type", "key", "source", "data"), map(_row, found))


def _row(one: SeenEvent) -> tuple[object, ...]:
    seen = Event.from_json(bytes(one.event))
    place, data = f"{one.partition}/{one.offset}", _short(seen)
    came = f"{one.came_at:%F %T.%f}"[:-3]
    return (came, place, seen.id, seen.type, seen.key or "-", seen.source, data)


def _short(seen: Event) -> str:
    text = msgspec.json.encode(seen.data, enc_hook=str).decode()
    return text if len(text) <= 80 else text[:77] + "..."
