"""End what a test run has started when the run itself was killed: servers, workers, databases.

A process of its own watches each process of pytest, the workers of xdist included. Everything that
a test starts inherits a mark in its environment, also what becomes a daemon; when the watched
process has ended, the watchdog ends whatever still carries its mark. A run that make has started
ends when make does.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest

MARK = "PYTEST_PROCESS_MARK"
_LOOK_S = 0.2
_GRACE_S = 3.0


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch this process; its children get its mark."""
    mark = str(uuid.uuid4())
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    maker = os.getppid() if "MAKELEVEL" in os.environ else 0
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, mark, str(os.getpid()), str(maker)],
        environment,
        file_actions=silent,
        setsid=True,  # Ctrl-C in a terminal does not reach it
    )
    os.environ[MARK] = mark


def _watch(mark: str, watched: int, maker: int) -> None:
    """Wait until the watched process has ended, then end what carries its mark."""
    while os.getppid() == watched:
        if maker:
            _end_without(maker, watched)
        time.sleep(_LOOK_S)
    deadline = time.monotonic() + _GRACE_S
    while marked := list(_marked(mark)):
        for process in marked:
            _end(process, kindly=time.monotonic() < deadline)
        time.sleep(_LOOK_S)


def _end_without(maker: int, watched: int) -> None:
    try:
        process = psutil.Process(watched)
        if process.ppid() != maker:
            process.kill()
    except psutil.Error:
        return


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


def _end(process: psutil.Process, *, kindly: bool) -> None:
    """End a process: first as asked for, so that a database frees its shared memory."""
    try:
        if kindly:
            process.resume()
            process.terminate()
        else:
            process.kill()
    except psutil.Error:
        return


if __name__ == "__main__":
    _watch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
