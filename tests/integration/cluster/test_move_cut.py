"""``busway move`` is killed and cut off for real, again and again, and goes on."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from busway.settings import Settings
from command import BUSWAY, DEADLINE_S, busway, environment
from directory import held, held_by, make_directory
from postgres_server import PostgresServer

FLOWS = """
from busway import App
from busway.sinks import console

app = App("shop")
app.flow("orders", when={"type": ["t"]}, to=console())
"""
KILLED_AFTER = (1, 3, 6, 9, 7)
"""Lines of progress after which it is killed; what goes on has fewer of them to tell."""


@pytest.fixture
def to(settings: Settings) -> list[str]:
    given = ["--to", settings.engine]
    return [*given, "--ledger", settings.ledger] if settings.ledger else given


@contextlib.contextmanager
def narrow_pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A pipe with room for one line: who writes another one stands still until it is read."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)  # a page for each write
    with os.fdopen(reading, "rb") as out, os.fdopen(writing, "wb") as into:
        fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, 1)  # one page, the least that there is
        yield out, into


def killed_after(lines: int, folder: Path, to: list[str]) -> int:
    """Move, kill it after so many lines of progress, and return how it ended."""
    with narrow_pipe() as (out, into):
        process = subprocess.Popen(
            [BUSWAY, "move", "--from", "data", *to, "--json"],
            cwd=folder,
            env=environment(),
            stdout=into,
        )
        into.close()
        for _ in range(lines):
            out.readline()
        process.kill()
        return process.wait(DEADLINE_S)


async def test_a_move_that_is_killed_goes_on(
    tmp_path: Path, settings: Settings, to: list[str]
) -> None:
    await make_directory(tmp_path / "data", 20_000, each=50, bad=29)
    before = await held(tmp_path / "data")
    ends = [await asyncio.to_thread(killed_after, n, tmp_path, to) for n in KILLED_AFTER]
    assert set(ends) == {-9}, ends
    ended = await asyncio.to_thread(busway, "move", "--from", "data", *to, cwd=tmp_path)
    assert ended.code == 0, ended
    assert await held_by(settings) == before


async def test_a_lost_server_ends_a_move_which_goes_on_later(
    tmp_path: Path, engine: str, server: PostgresServer
) -> None:
    await make_directory(tmp_path / "data", 2_000)
    before = await held(tmp_path / "data")
    with narrow_pipe() as (out, into):
        process = await asyncio.create_subprocess_exec(
            *(BUSWAY, "move", "--from", "data", "--json", "--to", engine),
            cwd=tmp_path,
            env=environment(),
            stdout=into,
            stderr=asyncio.subprocess.PIPE,
        )
        into.close()
        progress: dict[str, Any] = json.loads(await asyncio.to_thread(out.readline))
        await asyncio.to_thread(server.stop, immediate=True)
        try:
            _, (_, errors) = await asyncio.gather(
                asyncio.to_thread(out.read), process.communicate()
            )
        finally:
            await asyncio.to_thread(server.start)
    assert progress == {"step": "events", "done": 0, "total": 5_400}
    assert process.returncode == 3
    assert b"the move is not finished, and nothing is lost" in errors
    assert b"run the same command again" in errors
    ended = await asyncio.to_thread(busway, "move", "--from", "data", "--to", engine, cwd=tmp_path)
    assert ended.code == 0, ended
    assert await held_by(Settings(engine=engine)) == before


async def test_nobody_works_a_target_before_all_is_there(tmp_path: Path, engine: str) -> None:
    await make_directory(tmp_path / "data", 20_000, each=50)
    assert await asyncio.to_thread(killed_after, 2, tmp_path, ["--to", engine]) == -9
    (tmp_path / "flows.py").write_text(FLOWS)
    for command in ("run", "serve", "work"):
        ended = await asyncio.to_thread(
            busway, command, "flows.py", "--engine", engine, cwd=tmp_path
        )
        assert ended.code == 1
        assert "is unfinished; run `busway move` again" in ended.err


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    asyncio.run(make_directory(tmp_path / "data", 10))
    nowhere = "postgresql://127.0.0.1:1/x"
    ended = busway("move", "--from", "data", "--to", nowhere, cwd=tmp_path)
    assert ended.code == 3
    assert "postgresql://127.0.0.1:1/x" in ended.err


def test_nothing_was_begun_where_there_is_nothing_to_move(tmp_path: Path) -> None:
    nowhere = ("--to", "postgresql://127.0.0.1:1/x")
    ended = busway("move", "--from", "none", *nowhere, cwd=tmp_path)
    assert (ended.code, "no data directory at none" in ended.err) == (1, True)
    asyncio.run(make_directory(tmp_path / "data", 10))
    ended = busway("move", "--from", "data", *nowhere, "--dry-run", cwd=tmp_path)
    assert (ended.code, "the move is not finished" in ended.err) == (1, False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--to", "sqlite://x"], "moved to postgresql://… or nats://…"),
        (["--to", "nats://127.0.0.1:1/x"], "needs a ledger in PostgreSQL"),
        (["--to", "postgresql://a/x", "--ledger", "postgresql://b/x"], "leave out the ledger"),
    ],
)
def test_a_target_that_is_none_is_told(tmp_path: Path, given: list[str], told: str) -> None:
    ended = busway("move", "--from", "data", *given, cwd=tmp_path)
    assert ended.code == 1
    assert told in ended.err.replace("\n", " ")


async def test_a_dry_run_says_what_there_is(tmp_path: Path, engine: str) -> None:
    await make_directory(tmp_path / "data", 200)
    arguments = ("move", "--from", "data", "--to", engine, "--dry-run")
    text = await asyncio.to_thread(busway, *arguments, cwd=tmp_path)
    assert text.code == 0, text
    assert "540 events in 3 partitions" in text.out
    assert "it can be used" in text.out
    plan = (await asyncio.to_thread(busway, *arguments, "--json", cwd=tmp_path)).json()["plan"]
    assert (plan["target"], plan["lanes"], plan["parked"], plan["dead"]) == ("free", 3, 33, 35)
