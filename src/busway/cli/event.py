"""``busway event`` and ``busway events``: where an event is, and which events there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Concatenate, ParamSpec

import msgspec
import typer

from busway.cli.call import Call, calling
from busway.cli.declare import Options, adding
from busway.cli.event_timeline import print_story
from busway.cli.moment import BACK, moment
from busway.cli.show import as_json, as_table, echo
from busway.control.event.story import Story
from busway.control.log.search import LogEvent
from busway.errors import BuswayError
from busway.event import Event

P = ParamSpec("P")
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode
Source = Annotated[
    str | None, typer.Option("--source", help="Its source, where several events have the id.")
]
Asked = Mapping[str, Any]
_SEARCH: Options = {
    "key": (
        Annotated[str | None, typer.Option("--key", help="Its partition key or subject.")],
        None,
    ),
    "where": (
        Annotated[
            list[str] | None,
            typer.Option("--where", metavar="PATH=VALUE", help="What is in it; may be repeated."),
        ],
        None,
    ),
    "since": (
        Annotated[
            str | None,
            typer.Option(
                "--since", "--from", metavar="TIME", help=f"It came then or later: {BACK}."
            ),
        ],
        None,
    ),
    "until": (
        Annotated[
            str | None, typer.Option("--until", "--to", metavar="TIME", help="It came before.")
        ],
        None,
    ),
}
_MOST_LISTED = 20
Most = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]


def _asked(given: Asked) -> Asked:
    """Return what was asked for, as the API takes it."""
    times = {name: moment(given[name]) for name in ("since", "until")}
    return {name: value for name, value in {**given, **times}.items() if value}


def searching(command: Callable[Concatenate[Call, Asked, P], None]) -> Callable[..., None]:
    """Give a command that searches for events the options for it."""
    return adding(_SEARCH, _asked, behind=1)(command)


@calling
@searching
def event(
    call: Call,
    asked: Asked,
    id: Annotated[str | None, typer.Argument(metavar="ID", help="The event's id.")] = None,
    source: Source = None,
) -> None:
    """Tell the story of an event: where it is, and what to do now.

    Instead of an id, say what is in it: one event that fits is told, of several there is a list.

    Write `--` before an id that begins with a dash: `busway event -- -4711`.

    Example: `busway event order-4711`

    Example: `busway event --where data.customer.id=42 --since yesterday`
    """
    if id is not None and asked:
        raise BuswayError("give either an id or what is in the event (--where, --key, --since)")
    if not id and not asked:
        raise BuswayError("give an event's id, or --where; `busway events` shows which there are")
    if id:
        _tell(call, id, source)
        return
    found = call.items("/events", LogEvent, _MOST_LISTED, source=source, **asked)
    if not found:
        raise BuswayError("no such event is in the log; `busway events` shows which there are")
    if len(found) == 1:
        seen = Event.from_json(bytes(found[0].event))
        _tell(call, seen.id, seen.source)
        return
    _list(call, found)
    if not call.json:
        more = " or more" if len(found) == _MOST_LISTED else ""
        echo(f"{len(found)}{more} events fit: `busway event ID` tells the story of one")


def _tell(call: Call, id: str, source: str | None) -> None:
    answer = call.get("/story", id=id, source=source)
    if call.json:
        answer.print()
    else:
        print_story(answer.read(Story))


def _list(call: Call, found: list[LogEvent]) -> None:
    if call.json:
        as_json({"items": found})
    else:
        as_table(("came", "place", "id", "type", "key", "source", "data"), map(_row, found))


@calling
@searching
def events(call: Call, asked: Asked, limit: Most = 20) -> None:
    """Search the events that the log holds, the newest first.

    PATH is a JSON path in the event, like type, source or data.customer.id.

    Example: `busway events --where data.customer.id=42 --since 2h`
    """
    found = call.items("/events", LogEvent, limit, **asked)
    if found or call.json:
        _list(call, found)
    else:
        echo("No such event is in the log.")


def _row(one: LogEvent) -> tuple[object, ...]:
    seen = Event.from_json(bytes(one.event))
    place, data = f"{one.partition}/{one.offset}", _short(seen)
    came = f"{one.appended_at:%F %T.%f}"[:-3]
    return (came, place, seen.id, seen.type, seen.key or "-", seen.source, data)


def _short(seen: Event) -> str:
    text = _encode(seen.data).decode()
    return text if len(text) <= 80 else text[:77] + "..."
