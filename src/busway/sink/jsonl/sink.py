"""The ``jsonl`` sink: one line of JSON for each result, each event exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SinkError
from busway.event import Event
from busway.json_text import encode_json
from busway.outcome import DELIVERED, NOT_ATTEMPTED, Down, Outcome, Rejected
from busway.ports import DeliveredRange, Load, ResultLocation, SinkContext, SinkLane
from busway.settings import Env, resolve
from busway.sink.file.access import why_unwritable
from busway.sink.file.creation import FileMode, parse_permissions
from busway.sink.jsonl.line_file import LineFile
from busway.sink.option import display_value
from busway.sink.position import LanePosition, advance, failed_offsets
from busway.sink.sqlite import position
from busway.sink.sqlite.error import as_down
from busway.sink.sqlite.file import FILE_POOL, SqliteFile
from busway.sink.statement import statement


class Jsonl(DeclarableFunction, frozen=True):
    """A file of JSON lines that holds each event's results exactly once.

    ``<path>.busway`` stores the committed size; bytes beyond it are left from a crash and are
    truncated before the next write. Both files are created with the permissions ``mode``, like
    ``"0640"``; by default only their owner can read them.

    >>> Jsonl("out/orders.jsonl").name
    'jsonl out/orders.jsonl'
    """

    path: str | Env
    mode: FileMode = "0600"

    @property
    def name(self) -> str:
        return f"jsonl {display_value(self.path)}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    def result_location(self) -> ResultLocation:
        return ResultLocation("file", display_value(self.path))

    async def open(self, context: SinkContext) -> JsonlDestination:
        self.validate_config()
        path = resolve(self.path)
        mode = parse_permissions("jsonl", self.mode)
        return await _open_destination(
            LineFile(Path(path), mode), FILE_POOL.acquire(f"{path}.busway", mode)
        )

    def validate_config(self) -> None:
        path = resolve(self.path)
        if not path or path.endswith("/"):
            raise SinkError(f"jsonl({path!r}): give the path of a file")
        parse_permissions("jsonl", self.mode)


class JsonlInFolder(msgspec.Struct, frozen=True):
    """A file of JSON lines in a folder, for file names from outside: links are not followed."""

    folder: Path
    file: str

    @property
    def name(self) -> str:
        return f"jsonl {self.file}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    async def open(self, context: SinkContext) -> JsonlDestination:
        await asyncio.to_thread(self.folder.mkdir, 0o700, parents=True, exist_ok=True)
        path = (await asyncio.to_thread(self.folder.resolve)) / self.file
        sidecar = FILE_POOL.acquire(f"{path}.busway", follow_symlinks=False)
        return await _open_destination(LineFile(path, follow_symlinks=False), sidecar)


async def _open_destination(file: LineFile, sidecar: SqliteFile) -> JsonlDestination:
    destination = JsonlDestination(file, sidecar)
    await destination.recover()
    return destination


class JsonlDestination:
    """Appends lines; the write lock of the sidecar database excludes other processes."""

    def __init__(self, file: LineFile, sidecar: SqliteFile) -> None:
        self._file = file
        self._sidecar = sidecar
        self._recovered = False
        self._closed = False

    async def recover(self) -> Down | None:
        """Truncate the remains of a crash; return why that failed, to be retried later."""
        try:
            await asyncio.to_thread(self._file.create)
            await self._sidecar.run(self._truncate)
        except (apsw.Error, OSError) as error:
            return self._down(error)
        self._recovered = True
        return None

    async def write(self, load: Load) -> Sequence[Outcome]:
        down = None if self._recovered else await self.recover()
        if down is None:
            try:
                return await self._sidecar.run(partial(self._write_load, load))
            except (apsw.Error, OSError) as error:
                down = self._down(error)
        return [down] * (len(load.items) or 1)

    async def delivered_range(
        self, lane: SinkLane, offsets: Sequence[int]
    ) -> DeliveredRange | Down:
        try:
            return await self._sidecar.run(
                partial(position.delivered_range, lane=lane, offsets=offsets)
            )
        except (apsw.Error, OSError) as error:
            return self._down(error)

    async def ping(self) -> Down | None:
        return await why_unwritable(self._file.path)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(FILE_POOL.release, self._sidecar)

    def _truncate(self, connection: apsw.Connection) -> None:
        position.create_tables(connection)
        connection.execute(statement("sqlite", "file_table"))
        size = connection.execute(statement("sqlite", "file_get")).get
        if size is None:
            connection.execute(statement("sqlite", "file_put"), (self._file.size(),))
        else:
            self._file.truncate_to(size)

    def _write_load(self, load: Load, connection: apsw.Connection) -> Sequence[Outcome]:
        lane_position = position.read_lane_position(connection, load)
        if lane_position.is_fenced(load):
            return [NOT_ATTEMPTED] * (len(load.items) or 1)
        outcomes, lines = _lines(load, lane_position)
        if lines:
            size = connection.execute(statement("sqlite", "file_get")).get
            size = self._file.append(b"".join(lines), size)
            connection.execute(statement("sqlite", "file_put"), (size,))
        undelivered = failed_offsets(load, outcomes)
        position.save(connection, load, advance(lane_position, load, undelivered))
        return outcomes

    def _down(self, error: apsw.Error | OSError) -> Down:
        if isinstance(error, apsw.Error):
            return as_down(error, self._sidecar.path)
        return Down(f"{self._file.path}: {error.strerror}", reachable=True)


def _lines(load: Load, lane_position: LanePosition) -> tuple[list[Outcome], list[bytes]]:
    outcomes: list[Outcome] = []
    lines: list[bytes] = []
    for item in load.items:
        outcome: Outcome = DELIVERED
        if not lane_position.is_delivered(item.offset):
            try:
                lines += [_line(result) for result in item.results]
            except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
                outcome = Rejected(type(error).__name__, f"it cannot be written as JSON: {error}")
        outcomes.append(outcome)
    return outcomes, lines


def _line(result: object) -> bytes:
    if not isinstance(result, Event):
        return encode_json(result) + b"\n"
    raw = result.to_json()
    return (msgspec.json.format(raw, indent=-1) if b"\n" in raw or b"\r" in raw else raw) + b"\n"
