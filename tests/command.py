"""The real command ``busway``, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import httpx

from preloaded import Forked, fork, is_possible
from proof import PROOF, TOKEN
from service import NO_TLS, next_look_s

BUSWAY = str(Path(sys.executable).with_name("busway"))
DEADLINE_S = 60.0
EVENT = {"specversion": "1.0", "source": "/shop", "type": "order.created"}

Process = subprocess.Popen[str] | Forked


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without any setting of Busway's but the API's token.

    What is given as an empty text is not set.
    """
    found = {name: value for name, value in os.environ.items() if not name.startswith("BUSWAY_")}
    found |= {"COLUMNS": "100", "BUSWAY_API_TOKEN": TOKEN} | more
    return {name: value for name, value in found.items() if value or name not in more}


def busway(*arguments: str, cwd: Path, stdin: str = "", **more: str) -> Ended:
    """Run a command to its end."""
    env = environment(**more)
    if is_possible(env):
        return _forked(arguments, cwd, env, stdin)
    done = subprocess.run(
        [BUSWAY, *arguments],
        cwd=cwd,
        env=env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _forked(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str) -> Ended:
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(TemporaryFile("w+")) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        process = fork([BUSWAY, *arguments], cwd, env, (given.fileno(), out.fileno(), err.fileno()))
        try:
            code = process.wait(DEADLINE_S)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return Ended(code, out.read(), err.read())


def start(*arguments: str, cwd: Path, env: Mapping[str, str], stderr: IO[str]) -> Process:
    """Start a command; its output can be read."""
    if not is_possible(env):
        return subprocess.Popen(
            [BUSWAY, *arguments],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    output, its = os.pipe()
    with Path(os.devnull).open() as nothing, os.fdopen(its, "w") as stdout:
        files = (nothing.fileno(), stdout.fileno(), stderr.fileno())
        return fork([BUSWAY, *arguments], cwd, env, files, output)


def in_a_terminal(answer: str, *arguments: str, cwd: Path) -> str:
    """Run a command on a terminal, answer its question, and return all that it showed."""
    ours, terminal = pty.openpty()
    with subprocess.Popen(
        [BUSWAY, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        os.write(ours, f"{answer}\n".encode())
        shown = b""
        with suppress(OSError):  # EIO: nobody has the terminal open any more
            while part := os.read(ours, 4096):
                shown += part
        process.wait(DEADLINE_S)
    os.close(ours)
    return shown.decode()


class Server:
    """A running ``busway run``."""

    def __init__(self, process: Process, ready: str, log: Path) -> None:
        self.process = process
        self.ready = ready
        self.cwd = log.parent
        found = re.search(r"http://\S+", ready)
        assert found, f"it did not start: {ready!r} {log.read_text()}"
        self.url = found[0]
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it has logged, of all its processes; a line that is being written is left out."""
        return [json.loads(line) for line in self.log.splitlines(True) if line.endswith("\n")]

    def post(self, *events: dict[str, Any]) -> httpx.Response:
        """Post events as NDJSON; each has ``EVENT``'s members unless it says otherwise."""
        body = b"\n".join(json.dumps(EVENT | event).encode() for event in events)
        headers = {"content-type": "application/x-ndjson"}
        url = f"{self.url}/events"
        return httpx.post(url, content=body, headers=headers, timeout=DEADLINE_S, verify=NO_TLS)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        self.process.send_signal(with_signal)
        return self.process.wait(DEADLINE_S)


@contextmanager
def running(target: str, *arguments: str, cwd: Path, **more: str) -> Iterator[Server]:
    """Run a flows file on a free port until the end of the block."""
    log = cwd / "stderr.log"
    with log.open("w") as stderr:
        command = ("run", target, "--port", "0", *arguments)
        process = start(*command, cwd=cwd, env=environment(**more), stderr=stderr)
    assert process.stdout is not None
    try:
        yield Server(process, process.stdout.readline(), log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=DEADLINE_S)


def until(condition: Callable[[], object], what: str, within_s: float = DEADLINE_S) -> None:
    """Return once a condition holds."""
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        assert waited_s < within_s, f"{what}: it did not come true"
        time.sleep(next_look_s(waited_s))


def select(database: Path, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a SQLite database; none while it, or the table, is not there yet."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database, timeout=DEADLINE_S)) as connection:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return []


def copy_directory(data: Path, to: Path) -> None:
    """Copy a data directory that a server has open, each database as it is at one instant."""
    to.mkdir()
    for path in data.iterdir():
        if path.suffix == ".db":
            with (
                closing(sqlite3.connect(path)) as found,
                closing(sqlite3.connect(to / path.name)) as made,
            ):
                found.backup(made)
        elif not path.name.endswith(("-wal", "-shm")):
            shutil.copy(path, to)


def get(url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Get what a server tells, however slow the machine is."""
    given = PROOF | dict(headers or {})
    return httpx.get(url, headers=given, timeout=DEADLINE_S, verify=NO_TLS)


def curl(command: str, url: str) -> httpx.Response:
    """Do what a ``curl`` of the documentation does, at the server's address."""
    words = shlex.split(command)
    assert words[0] == "curl"
    target = words[1].replace("http://127.0.0.1:8400", url)
    given = dict(zip(words[2::2], words[3::2], strict=True))
    name, _, value = given["-H"].partition(": ")
    body, headers = given["-d"].encode(), {name: value}
    return httpx.post(target, content=body, headers=headers, timeout=DEADLINE_S, verify=NO_TLS)
