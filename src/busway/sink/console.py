"""The ``console`` sink: writes one line to standard output per result."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from busway.declarable import DeclarableFunction
from busway.event import Event
from busway.json_text import encode_json
from busway.outcome import DELIVERED, Down, Outcome, Rejected
from busway.ports import Load, LoadItem, ResultLocation, SinkContext
from busway.printable import printable


class Console(DeclarableFunction, frozen=True):
    """Standard output: the flow, the type of the event, and each result as JSON.

    >>> Console().name
    'console'
    """

    @property
    def name(self) -> str:
        return "console"

    def result_location(self) -> ResultLocation:
        return ResultLocation("output", "standard output")

    async def open(self, context: SinkContext) -> ConsoleDestination:
        return ConsoleDestination()


class ConsoleDestination:
    """Writes lines; a crash may repeat an event."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        text: list[str] = []
        for item in load.items:
            try:
                text += _lines(load.lane.flow, item)
            except (TypeError, ValueError) as error:
                outcomes.append(Rejected(type(error).__name__, str(error)))
            else:
                outcomes.append(DELIVERED)
        try:
            sys.stdout.write("".join(text))
            sys.stdout.flush()
        except OSError as error:
            return [Down(f"standard output: {error}")] * len(outcomes)
        return outcomes

    async def ping(self) -> None:
        """Do nothing: standard output is always available."""

    async def close(self) -> None:
        """Do nothing: standard output stays open."""


def _lines(flow: str, item: LoadItem) -> Iterator[str]:
    for result in item.results:
        if isinstance(result, Event):
            who = f"{printable(result.type)}  {printable(result.id)}"
            yield f"{flow}  {who}  {_json(result.data)}\n"
        else:
            yield f"{flow}  {printable(item.event.type)}  {_json(result)}\n"


def _json(value: object) -> str:
    return printable(encode_json(value).decode())
