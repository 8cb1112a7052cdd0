"""``busway tail``: print new events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from busway.cli.call import Call
from busway.cli.event_stream import StreamMessage, stream_messages
from busway.cli.operation_command import api_command
from busway.cli.output import echo, echo_json
from busway.cli.time_option import PAST_FORMS, parse_time
from busway.control.log.tail import SkippedEvents, TailEvent
from busway.event import event_from_json
from busway.json_text import encode_json

Pattern = Annotated[str | None, typer.Option("--pattern", help="An event pattern, as JSON.")]
Type = Annotated[str | None, typer.Option("--type", help="Events of this type.")]
Flow = Annotated[str | None, typer.Option("--flow", help="Events that match this flow's rule.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help=f"now, beginning, {PAST_FORMS}.")]
Count = Annotated[
    int | None, typer.Option("-n", "--count", min=1, help="Number of events to print.")
]


@api_command("tail")
def tail(
    call: Call,
    flow: Flow = None,
    pattern: Pattern = None,
    type: Type = None,
    begin: From = "now",
    count: Count = None,
) -> None:
    """Print new events until ctrl-C; with --json an object in each line.

    Without a server on the data directory: the stored events from --from on.

    Example: `busway tail --flow orders -n 10`
    """
    first = begin if begin in ("now", "beginning") else parse_time(begin)
    if begin == "now" and not call.client.has_server:
        echo(
            "no server is running here, so no events arrive; --from prints stored ones",
            err=True,
        )
    wanted = {"flow": flow, "pattern": pattern, "type": type, "from": first, "limit": count}
    for message in _followed(call, wanted):
        if call.json:
            echo_json(message.data)
        elif message.event == "skipped":
            skipped = msgspec.json.decode(message.data, type=SkippedEvents)
            echo(f"… {skipped.events:,} events of partition {skipped.partition} skipped")
        else:
            _print(msgspec.json.decode(message.data, type=TailEvent))


def _followed(call: Call, wanted: dict[str, Any]) -> Iterator[StreamMessage]:
    try:
        with call.lines("/tail", wanted) as lines:
            yield from stream_messages(lines)
    except KeyboardInterrupt:
        return


def _print(tailed: TailEvent) -> None:
    event = event_from_json(bytes(tailed.event))
    key = f" key={event.key}" if event.key else ""
    echo(
        f"{tailed.appended_at:%F %T} {tailed.partition}/{tailed.offset} {event.type} {event.id} "
        f"from {event.source}{key} {_data(event.data)}"
    )


def _data(data: object) -> str:
    return f"{len(data)} bytes" if isinstance(data, bytes) else encode_json(data).decode()
