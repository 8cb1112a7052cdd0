"""When each row came into the SQLite table: it is looked at every two milliseconds."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

LOOK_S = 0.002
_FOUND = "SELECT order_id FROM orders WHERE order_id <= ?"


class Rows:
    """Looks from a thread of its own; ``seen`` has for each order when its row was first seen."""

    def __init__(self, path: Path, wanted: Collection[int]) -> None:
        self.seen: dict[int, float] = {}
        self._path = path
        self._wanted = wanted
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, within_s: float) -> None:
        """Wait until all rows were seen, for so long at most."""
        self._thread.join(within_s)
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._path.exists():
            if self._stopped.wait(LOOK_S):
                return
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as database:
            while not self._stopped.wait(LOOK_S) and len(self.seen) < len(self._wanted):
                try:
                    found = database.execute(_FOUND, (max(self._wanted),)).fetchall()
                except sqlite3.OperationalError:  # the table is not there yet
                    continue
                now = time.perf_counter()
                for (order,) in found:
                    if order in self._wanted:
                        self.seen.setdefault(order, now)
