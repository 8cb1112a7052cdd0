"""``busway tail``: watch events come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.call import Call, calling
from busway.cli.moment import BACK, moment
from busway.cli.show import echo, echo_json
from busway.cli.sse import Message, messages
from busway.control.log.tail import SkippedEvents, TailEvent
from busway.event import event_from_json
from busway.json_text import encode_json

Pattern = Annotated[str | None, typer.Option("--pattern", help="An event pattern, as JSON.")]
Type = Annotated[str | None, typer.Option("--type", help="Of this type.")]
Flow = Annotated[str | None, typer.Option("--flow", help="That this flow's rule wants.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"now, beginning, {BACK}.")]
Count = Annotated[int | None, typer.Option("-n", "--count", min=1, help="End after so many.")]


@calling
def tail(
    call: Call,
    flow: Flow = None,
    pattern: Pattern = None,
    type: Type = None,
    begin: From = "now",
    count: Count = None,
) -> None:
    """Show events as they come, until ctrl-C; with --json one JSON object a line.

    In a directory that no server has open: what is kept from --from on.

    Example: `busway tail --flow orders -n 10`
    """
    first = begin if begin in ("now", "beginning") else moment(begin)
    if begin == "now" and not call.client.live:
        echo("no server answers here, so no events come; --from shows what is kept", err=True)
    wanted = {"flow": flow, "pattern": pattern, "type": type, "from": first, "limit": count}
    for message in _followed(call, wanted):
        if call.json:
            echo_json(message.data)
        elif message.event == "skipped":
            skipped = msgspec.json.decode(message.data, type=SkippedEvents)
            echo(f"… {skipped.events:,} events of partition {skipped.partition} skipped")
        else:
            _print(msgspec.json.decode(message.data, type=TailEvent))


def _followed(call: Call, wanted: dict[str, Any]) -> Iterator[Message]:
    try:
        with call.lines("/tail", **wanted) as lines:
            yield from messages(lines)
    except KeyboardInterrupt:
        return


def _print(one: TailEvent) -> None:
    event = event_from_json(bytes(one.event))
    key = f" key={event.key}" if event.key else ""
    echo(
        f"{one.appended_at:%F %T} {one.partition}/{one.offset} {event.type} {event.id} "
        f"from {event.source}{key} {_data(event.data)}"
    )


def _data(data: object) -> str:
    return f"{len(data)} bytes" if isinstance(data, bytes) else encode_json(data).decode()
