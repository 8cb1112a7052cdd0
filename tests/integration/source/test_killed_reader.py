"""Readers whose process is killed: each record is in the log once, however long they were away."""

from __future__ import annotations

import random
import signal
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec

from busway.control.source.reader import ReaderRecord, decode_reader
from busway.control.source.record import SourceCounts
from command import Server, running, select, until
from family_process import LEDGER, family

FLOWS = """
import asyncio
from pathlib import Path

import msgspec

from busway import App, Event
from busway.ports import SourceChunk
from busway.sinks import sqlite
from busway.sources import schedule

async def hang_if_asked(position=b""):
    if Path("hang").exists():
        Path("hangs").touch()
        await asyncio.Event().wait()

class Reading:
    def __init__(self, start):
        self.next = start

    async def read(self):
        while self.next >= (end := int(Path("end").read_text() or 0)):
            await asyncio.sleep(0.02)
        numbers = range(self.next, min(self.next + 7, end))
        self.next = numbers.stop
        events = [
            Event(type="number", source="/numbers", id=str(n), data={"n": n}) for n in numbers
        ]
        return SourceChunk(events, b"%d" % self.next)

    async def acknowledge(self, position):
        await hang_if_asked()

    async def close(self):
        pass

class Numbers(msgspec.Struct, frozen=True):
    name: str = "numbers"

    async def open(self, context, position):
        return Reading(int(position or b"0"))

class Ticks(msgspec.Struct, frozen=True):
    name: str = "ticks"

    async def open(self, context, position):
        ticks = schedule("ticks", type="tick", every="1s", catch_up="all")
        reading = await ticks.open(context, position)
        reading.acknowledge = hang_if_asked
        return reading

app = App("shop")
app.flow("load", when={"type": ["number", "tick"]}, steps=[lambda event: {"id": event.id}],
         to=sqlite("out.db", "loaded", create=True))
"""
SECOND = timedelta(seconds=1)
NUMBERS = FLOWS + "app.source(Numbers())\n"
TICKS = FLOWS + "app.source(Ticks())\n"
SHORT = {"BUSWAY_DEDUPE_WINDOW_S": "0"}
"""The log remembers nothing but its last batch: what was read twice is stored twice."""


def write(folder: Path, flows: str, end: int) -> None:
    (folder / "shop.py").write_text(flows)
    put(folder, end)


def put(folder: Path, end: int) -> None:
    """Have the numbers up to an end to read."""
    (folder / "end.new").write_text(str(end))
    (folder / "end.new").rename(folder / "end")


def kept(folder: Path, name: str) -> bytes | None:
    rows = select(folder / LEDGER, f"SELECT value FROM named_value WHERE name = '{name}'")
    return rows[0][0] if rows else None


def record(folder: Path, name: str) -> ReaderRecord:
    return decode_reader(kept(folder, f"reader/{name}"))


def position(folder: Path) -> int:
    return int(record(folder, "numbers").position or b"0")


def counts(folder: Path, name: str) -> SourceCounts:
    return msgspec.json.decode(kept(folder, f"source-counts/{name}") or b"{}", type=SourceCounts)


def loaded(folder: Path) -> list[str]:
    return [id for (id,) in select(folder / "out.db", "SELECT id FROM loaded")]


def killed_before_it_saved(server: Server) -> None:
    """Kill a process that has appended what it read, and has not saved its position."""
    until((server.cwd / "hangs").exists, "it has appended")
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    (server.cwd / "hangs").unlink()


def let_others_append(folder: Path) -> None:
    """Have others append for longer than the log remembers, while there is no such source."""
    (folder / "other.py").write_text(FLOWS)
    with running("other.py", cwd=folder, **SHORT) as server:
        for number in range(3):
            assert server.post({"id": f"other{number}"}).status_code == 202
        assert server.stop() == 0


def all_read(folder: Path, end: int) -> None:
    def saved() -> bool:
        found = record(folder, "numbers")
        return (found.position, found.intent) == (b"%d" % end, None)

    until(saved, "the position is saved")
    until(lambda: len(loaded(folder)) >= end, "all is delivered")


def test_numbers_are_read_once_when_the_position_was_not_saved(tmp_path: Path) -> None:
    write(tmp_path, NUMBERS, 5)
    (tmp_path / "hang").touch()
    with running("shop.py", cwd=tmp_path, **SHORT) as server:
        killed_before_it_saved(server)
    before = record(tmp_path, "numbers")
    assert before.position is None
    assert before.intent is not None, "it is known that something may be in the log"
    let_others_append(tmp_path)
    (tmp_path / "hang").unlink()
    put(tmp_path, 20)
    with running("shop.py", cwd=tmp_path, **SHORT) as server:
        all_read(tmp_path, 20)
        assert server.stop() == 0
    assert sorted(map(int, loaded(tmp_path))) == list(range(20))
    found = counts(tmp_path, "numbers")
    assert (found.accepted, found.duplicates) == (20, 0)


def test_ticks_come_once_when_the_position_was_not_saved(tmp_path: Path) -> None:
    write(tmp_path, TICKS, 0)
    with running("shop.py", cwd=tmp_path, **SHORT) as server:
        until(lambda: loaded(tmp_path), "it ticks")
        (tmp_path / "hang").touch()
        killed_before_it_saved(server)
    let_others_append(tmp_path)
    (tmp_path / "hang").unlink()
    with running("shop.py", cwd=tmp_path, **SHORT) as server:
        before = counts(tmp_path, "ticks").accepted
        until(lambda: counts(tmp_path, "ticks").accepted > before + 3, "it ticks again")
        assert server.stop() == 0
    found = counts(tmp_path, "ticks")
    ids = loaded(tmp_path)
    times = sorted(datetime.fromisoformat(id.removeprefix("ticks:")) for id in ids)
    assert all(after - before == SECOND for before, after in pairwise(times))
    assert found.duplicates == 0


def test_workers_that_are_killed_again_and_again_read_each_number_once(tmp_path: Path) -> None:
    write(tmp_path, NUMBERS, 0)
    chance = random.Random(7)
    with family(tmp_path, workers=2, **SHORT) as found:
        found.spread("load", 2)
        end = 0
        for _ in range(5):
            begun, end = end, end + 200
            put(tmp_path, end)
            reached = begun + chance.randrange(200)
            until(lambda: position(tmp_path) >= reached, "it reads")  # noqa: B023
            found.kill(found.worker(record(tmp_path, "numbers").worker))
            until(lambda: position(tmp_path) == end, "another one reads on")  # noqa: B023
        all_read(tmp_path, end)
        found.spread("load", 2)  # one that is only starting would not end in good order
        assert found.server.stop() == 0
    assert sorted(map(int, loaded(tmp_path))) == list(range(end))
    assert counts(tmp_path, "numbers").accepted == end
