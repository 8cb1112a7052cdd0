"""Open a database file, and wait for other processes that write to it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

_BUSY_STEP_S = 0.0005


class BusyHandler:
    """Waits for another process that writes, in steps about as short as its transactions.

    The default handler of SQLite soon sleeps for a tenth of a second at a time, and so comes too
    late again and again if others write without a pause.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = 0.0

    def __call__(self, calls: int) -> bool:
        """Sleep a little; return whether to try again. ``calls`` is 0 when a wait begins."""
        now = time.monotonic()
        if calls == 0:
            self._deadline = now + self._timeout_s
        time.sleep(_BUSY_STEP_S)  # SQLite calls this in the thread that has to wait
        return now < self._deadline


@contextmanager
def opening(path: Path, flags: int) -> Iterator[apsw.Connection]:
    """Open a file and lend the connection to be configured; close it if that fails."""
    connection = apsw.Connection(os.fspath(path), flags=flags)
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
