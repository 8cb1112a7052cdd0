"""The ``jsonl`` sink: one line of JSON for each result, each event exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import apsw
import msgspec

from busway.errors import SinkError
from busway.event import Event
from busway.json_text import encode_json
from busway.outcome import DELIVERED, UNTRIED, Down, Outcome, Rejected
from busway.parameter import DeclarableFunction
from busway.ports import Landing, Load, Standing, Supplies
from busway.settings import Env, resolve
from busway.sink import sqlite_position
from busway.sink.declared import label
from busway.sink.file_access import unwritable
from busway.sink.line_file import LineFile
from busway.sink.new_file import Mode, permissions
from busway.sink.position import Place, advance, missed_offsets
from busway.sink.sqlite_error import down
from busway.sink.sqlite_file import FILES, SqliteFile
from busway.sink.statement import statement


class Jsonl(DeclarableFunction, frozen=True):
    """A file of JSON lines that holds each event's results exactly once.

    What is committed of it is kept in ``<path>.busway``; whatever is behind that in the file is
    left from a crash and cut off before the next line is written. Both are made with the
    permissions ``mode``, like ``"0640"``; by default only their owner may read them.

    >>> Jsonl("out/orders.jsonl").name
    'jsonl out/orders.jsonl'
    """

    path: str | Env
    mode: Mode = "0600"

    @property
    def name(self) -> str:
        return f"jsonl {label(self.path)}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    def landing(self) -> Landing:
        return Landing("file", label(self.path))

    async def open(self, supplies: Supplies) -> JsonlDestination:
        self.check()
        path = resolve(self.path)
        mode = permissions("jsonl", self.mode)
        return await _opened(LineFile(Path(path), mode), FILES.take(f"{path}.busway", mode))

    def check(self) -> None:
        path = resolve(self.path)
        if not path or path.endswith("/"):
            raise SinkError(f"jsonl({path!r}): give the path of a file")
        permissions("jsonl", self.mode)


class JsonlInFolder(msgspec.Struct, frozen=True):
    """A file of JSON lines by its name in a folder, for a name from outside: it is never a link."""

    folder: Path
    file: str

    @property
    def name(self) -> str:
        return f"jsonl {self.file}"

    @property
    def keeps_positions(self) -> Literal[True]:
        return True

    async def open(self, supplies: Supplies) -> JsonlDestination:
        await asyncio.to_thread(self.folder.mkdir, 0o700, parents=True, exist_ok=True)
        path = (await asyncio.to_thread(self.folder.resolve)) / self.file
        sidecar = FILES.take(f"{path}.busway", follow=False)
        return await _opened(LineFile(path, follow=False), sidecar)


async def _opened(file: LineFile, sidecar: SqliteFile) -> JsonlDestination:
    destination = JsonlDestination(file, sidecar)
    await destination.restore()
    return destination


class JsonlDestination:
    """Appends lines; the write lock of the sidecar database keeps other processes out."""

    def __init__(self, file: LineFile, sidecar: SqliteFile) -> None:
        self._file = file
        self._sidecar = sidecar
        self._restored = False

    async def restore(self) -> Down | None:
        """Cut off what a crash left behind; say what is in the way, to be tried again later."""
        try:
            await asyncio.to_thread(self._file.make)
            await self._sidecar.run(self._cut)
        except (apsw.Error, OSError) as error:
            return self._down(error)
        self._restored = True
        return None

    async def write(self, load: Load) -> Sequence[Outcome]:
        state = None if self._restored else await self.restore()
        if state is None:
            try:
                return await self._sidecar.run(partial(self._land, load))
            except (apsw.Error, OSError) as error:
                state = self._down(error)
        return [state] * (len(load.items) or 1)

    async def landed(self, lane: tuple[str, str, int], offsets: Sequence[int]) -> Standing | Down:
        try:
            return await self._sidecar.run(
                partial(sqlite_position.standing, lane=lane, offsets=offsets)
            )
        except (apsw.Error, OSError) as error:
            return self._down(error)

    async def reach(self) -> Down | None:
        return await unwritable(self._file.path)

    async def close(self) -> None:
        await asyncio.to_thread(FILES.give_back, self._sidecar)

    def _cut(self, connection: apsw.Connection) -> None:
        sqlite_position.prepare(connection)
        connection.execute(statement("sqlite", "file_table"))
        size = connection.execute(statement("sqlite", "file_get")).get
        if size is None:
            connection.execute(statement("sqlite", "file_put"), (self._file.size(),))
        else:
            self._file.cut(size)

    def _land(self, load: Load, connection: apsw.Connection) -> Sequence[Outcome]:
        place = sqlite_position.read(connection, load)
        if place.refuses(load):
            return [UNTRIED] * (len(load.items) or 1)
        outcomes, lines = _lines(load, place)
        if lines:
            size = connection.execute(statement("sqlite", "file_get")).get
            size = self._file.append(b"".join(lines), size)
            connection.execute(statement("sqlite", "file_put"), (size,))
        missed = missed_offsets(load, outcomes)
        sqlite_position.store(connection, load, advance(place, load, missed))
        return outcomes

    def _down(self, error: apsw.Error | OSError) -> Down:
        if isinstance(error, apsw.Error):
            return down(error, self._sidecar.path)
        return Down(f"{self._file.path}: {error.strerror}", reachable=True)


def _lines(load: Load, place: Place) -> tuple[list[Outcome], list[bytes]]:
    outcomes: list[Outcome] = []
    lines: list[bytes] = []
    for item in load.items:
        outcome: Outcome = DELIVERED
        if not place.landed(item.offset):
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
