"""The command ``busway`` in a process of its own that need not import anything.

Most of what a short command does is to import modules. A server process imports them once and
forks for each command: the process is as real as any, with a directory, an environment, files and
signals of its own, and runs what the installed script runs. A new interpreter is started instead
where the environment has what an interpreter reads when it starts, and, with
``BUSWAY_TEST_FRESH=1``, always.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

_READ_AT_START = ("PYTHON", "LD_", "DYLD_", "LC_", "LANG")
_SERVER = Path(__file__).with_name("preloaded_server.py")
_GRACE_S = 10.0


class Forked:
    """A process that the server has forked, with methods as :class:`subprocess.Popen` has them."""

    def __init__(self, command: Sequence[str], pid: int, status: int, output: int | None) -> None:
        self.args = command
        self.pid = pid
        self.stdout = None if output is None else os.fdopen(output, encoding="utf-8")
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """Return how it has ended, nothing while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return how it ends: an exit code, or the negative number of a signal."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return what it has written since it was read."""
        self.wait(timeout)
        if self.stdout is None or self.stdout.closed:
            return "", ""
        with self.stdout:
            return self.stdout.read(), ""

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and _readable(self._status, timeout):
            told = os.read(self._status, 32)
            os.close(self._status)
            assert told, "the server that forks has ended"
            self.returncode = int(told)
        return self.returncode


def is_possible(environment: Mapping[str, str]) -> bool:
    """Return whether a forked process can be what a new one would be."""
    if os.environ.get("BUSWAY_TEST_FRESH"):
        return False
    names = {name for name in {*environment, *os.environ} if name.startswith(_READ_AT_START)}
    return all(environment.get(name) == os.environ.get(name) for name in names)


def fork(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    files: tuple[int, int, int],
    output: int | None = None,
) -> Forked:
    """Start a command with its standard input, output and error; ``output`` reads from it."""
    ours, its = os.pipe()
    with tempfile.TemporaryFile() as request:
        given = [list(command), str(cwd), dict(environment)]
        request.write(json.dumps(given).encode())
        request.flush()
        socket.send_fds(_server(), [b"f"], [request.fileno(), its, *files])
    os.close(its)
    pid = int.from_bytes(os.read(ours, 8), "big")
    return Forked(command, pid, ours, output)


@cache
def _server() -> socket.socket:
    """Start the server, once in a process of pytest; it ends with it."""
    ours, its = socket.socketpair()
    with its:
        process = subprocess.Popen(
            [sys.executable, str(_SERVER), str(its.fileno())], pass_fds=[its.fileno()]
        )

    def end() -> None:
        ours.close()
        process.wait(_GRACE_S)

    atexit.register(end)
    return ours


def _readable(file: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))
