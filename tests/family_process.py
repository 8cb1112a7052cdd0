"""``busway run --workers`` on a data directory, and a look at its workers."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from busway.control.worker import WorkerRecord
from command import Server, busway, running, select, until

LEDGER = Path(".busway") / "ledger.db"
LOG = Path(".busway") / "log.db"


class Family:
    """The process that takes events, its workers, and the directory that they share."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cwd = server.cwd

    @property
    def pids(self) -> list[int]:
        """The processes of the workers that are there now, in the order in which they came."""
        return children(self.server.process.pid)

    def holders(self, flow: str) -> dict[int, int | None]:
        """Return the process that has each lane of a flow."""
        pids = self._beating()
        lanes = "SELECT partition, worker FROM lane WHERE flow = '{}' ORDER BY partition"
        return {p: pids.get(worker) for p, worker in select(self.cwd / LEDGER, lanes.format(flow))}

    def beating(self) -> set[int]:
        """Return the processes whose beats are kept: others wait for these."""
        return set(self._beating().values())

    def _beating(self) -> dict[str, int]:
        kept = select(
            self.cwd / LEDGER, "SELECT name, value FROM named_value WHERE name LIKE 'worker/%'"
        )
        return {
            name.removeprefix("worker/"): msgspec.json.decode(value, type=WorkerRecord).pid
            for name, value in kept
        }

    def worker(self, id: str) -> int:
        """Return the process of a worker."""
        return self._beating()[id]

    def spread(self, flow: str, count: int) -> None:
        """Return once so many workers have all lanes of a flow, as many each."""

        def even() -> bool:
            found, there = Counter(self.holders(flow).values()), set(self.pids)
            return len(found) == count == len(there) and there == set(found) and uniform(found)

        until(even, f"{count} workers have as many lanes of {flow}")

    def send(self, first: int, end: int, **more: Any) -> None:
        for at in range(first, end, 1_000):
            answer = self.server.post(*orders(at, min(at + 1_000, end), **more))
            assert answer.status_code == 202, answer.text

    def kill(self, pid: int) -> None:
        """Kill a process at once."""
        os.kill(pid, signal.SIGKILL)


def uniform(found: Counter[Any]) -> bool:
    return max(found.values()) - min(found.values()) <= 1


def orders(first: int, end: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "subject": f"k{n % 100}", "data": {"n": n}} | more for n in range(first, end)
    ]


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, as long as they run."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stop_outside_of_transactions(pid: int, *databases: Path) -> None:
    """Stop a process where it locks nothing: what it locks nobody else can have."""

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if all(_is_free(one) for one in databases):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(stopped, "it was stopped between two transactions")


def _is_free(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.2, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


@contextmanager
def family(cwd: Path, *arguments: str, workers: int = 2, **more: str) -> Iterator[Family]:
    """Run ``shop.py`` with workers until the end of the block."""
    with running("shop.py", "--workers", str(workers), *arguments, cwd=cwd, **more) as server:
        assert f", {workers} worker" in server.ready, (server.ready, server.log)
        found = Family(server)
        pids = found.pids
        try:
            yield found
        finally:
            for pid in {*pids, *(found.pids if server.process.poll() is None else ())}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def all_is_well(cwd: Path) -> None:
    checked = busway("check", cwd=cwd)
    assert checked.code == 0, checked.out + checked.err
