"""CSV for Busway: a source, a sink and a step, found by the entry points in pyproject.toml."""

import csv
import io
import os
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from busway import Event
from busway.ports import (
    DELIVERED,
    Down,
    Load,
    Outcome,
    Received,
    Rejected,
    RequestRefusal,
    SinkContext,
    SourceRequest,
)


@dataclass(frozen=True)
class CsvSource:
    """Makes an event of each row that is posted to ``/in/{name}``."""

    name: str
    type: str
    methods: Sequence[str] = ("POST",)

    def open_receiver(self, max_event_bytes: int) -> "CsvSource":
        return self

    def receive(self, request: SourceRequest) -> Received:
        try:
            rows = [*csv.DictReader(io.StringIO(request.body.decode()), restkey="", strict=True)]
        except (UnicodeDecodeError, csv.Error) as error:
            return RequestRefusal(400, "not-csv", "The body is not CSV in UTF-8", str(error))
        file, source = sha256(request.body).hexdigest(), f"/csv/{self.name}"
        return [
            Event(type=self.type, source=source, id=f"{file}-{line}", data=row)
            for line, row in enumerate(rows)
        ]


@dataclass(frozen=True)
class CsvSink:
    """Appends the values of each result to a file, at least once."""

    path: str

    @property
    def name(self) -> str:
        return f"csv {self.path}"

    async def open(self, context: SinkContext) -> "CsvSink":
        return self

    async def write(self, load: Load) -> Sequence[Outcome]:
        lines, outcomes = list[bytes](), list[Outcome]()
        for item in load.items:
            try:
                lines += [_line(result) for result in item.results]
                outcomes.append(DELIVERED)
            except (TypeError, ValueError, RecursionError) as error:
                outcomes.append(Rejected("not a row", f"not a line of CSV: {error}"))
        try:
            await to_thread(self._append, b"".join(lines))
        except OSError as error:
            return [Down(f"{self.path}: {error.strerror}")] * len(outcomes)
        return outcomes

    def _append(self, lines: bytes) -> None:
        with Path(self.path).open("ab", buffering=0) as file:
            file.write(lines)
            os.fsync(file)

    async def close(self) -> None:
        """Nothing stays open."""


def _line(result: object) -> bytes:
    if not isinstance(result, dict):
        raise TypeError(f"it is a {type(result).__name__}, not a dict")
    text = io.StringIO()
    csv.writer(text).writerow(result.values())
    return text.getvalue().encode()


def without_empty(event: Event) -> dict[str, str]:
    """Leave out the columns that have no value."""
    return {column: value for column, value in event.data.items() if value}
