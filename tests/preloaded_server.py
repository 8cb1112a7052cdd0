"""Import Busway once, then fork a process for each command that is asked for.

A request is a byte on a socket with five files: the command's arguments, directory and environment
as JSON, where its process's number and then its exit code are written to, and its standard files.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import time
from typing import TextIO

NOT_LOADED = ("busway.__main__", "busway.testing")
LOADED_LATE = """
asyncpg encodings.idna httpcore2 litestar._kwargs litestar.middleware._internal.exceptions nats pwd
rich._emoji_codes typer._adapters uvicorn.lifespan.off
""".split()
"""What others import only when it is needed, where they have it."""


def load() -> None:
    """Import all modules that a command can need."""
    package = importlib.import_module("busway")
    for found in pkgutil.walk_packages(package.__path__, "busway."):
        if not found.name.startswith(NOT_LOADED):
            importlib.import_module(found.name)
    for name in LOADED_LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()


class Server:
    """Forks, and tells of each process how it ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._reports: dict[int, int] = {}
        self._ended, wake = os.pipe()
        os.set_blocking(self._ended, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> list[str] | None:
        """Return the arguments in each process that was forked, nothing when it is the end."""
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._ended], [], [])
            if self._ended in ready:
                self._report()
            if self._requests.fileno() in ready:
                content, files, _, _ = socket.recv_fds(self._requests, 1, 5)
                if not content:
                    return None
                if arguments := self._fork(files):
                    return arguments

    def _fork(self, files: list[int]) -> list[str] | None:
        request, report, *standard = files
        pid = os.fork()
        if not pid:
            self._requests.detach()
            return become(request, standard)
        os.write(report, pid.to_bytes(8, "big"))
        self._reports[pid] = report
        for file in (request, *standard):
            os.close(file)
        return None

    def _report(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._ended, 4096)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                report = self._reports.pop(ended[0])
                with contextlib.suppress(BrokenPipeError):  # nobody waits for it
                    os.write(report, str(os.waitstatus_to_exitcode(ended[1])).encode())
                os.close(report)


def become(request: int, standard: list[int]) -> list[str]:
    """Become, in a process that was forked, what a new one would be; return its arguments."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with os.fdopen(request, "rb") as asked:
        asked.seek(0)
        arguments, cwd, environment = json.load(asked)
    for number, given in enumerate(standard):
        os.dup2(given, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = again(number, getattr(sys, f"__{name}__"))
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    return list(arguments)


def again(number: int, like: TextIO) -> TextIO:
    """Return a standard file anew, as an interpreter opens it."""
    return open(
        number,
        "w" if number else "r",
        buffering=1 if number == 2 else -1,
        encoding=like.encoding,
        errors=like.errors,
        closefd=False,
    )


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    load()
    sys.argv = Server(requests).serve() or []
    if sys.argv:
        from busway.cli.main import main as command

        sys.path[0] = os.path.dirname(sys.argv[0])  # noqa: PTH120
        command()


if __name__ == "__main__":
    main()
