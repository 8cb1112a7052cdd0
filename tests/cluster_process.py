"""Processes of one installation: intakes and workers, each with a log of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from busway.control.worker import WorkerRecord
from command import DEADLINE_S, Process, Server, environment, start


class Worker:
    """A running ``busway work``."""

    def __init__(self, process: Process, ready: str, log: Path) -> None:
        self.process = process
        self.ready = ready
        self._log = log

    @property
    def url(self) -> str:
        """Where it tells its health; it has a port only when it was given one."""
        return self.ready.rpartition(" on ")[2].strip()

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Stop it in good order, and return its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)


class Cluster:
    """Starts processes on one engine, and looks into its ledger."""

    def __init__(self, engine: str, cwd: Path) -> None:
        self.engine = engine
        self.cwd = cwd
        self._count = 0
        self._running = 0
        self._session: asyncpg.Connection[Any] | None = None

    @contextmanager
    def serving(self, target: str, **more: str) -> Iterator[Server]:
        """Run ``busway serve`` on a free port until the end of the block."""
        with self._process("serve", target, "--port", "0", **more) as (process, log):
            assert process.stdout is not None
            yield Server(process, process.stdout.readline(), log)

    @contextmanager
    def working(self, target: str, **more: str) -> Iterator[Worker]:
        """Run ``busway work`` until the end of the block."""
        with self._process("work", target, **more) as (process, log):
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("busway works"), (ready, log.read_text())
            yield Worker(process, ready, log)

    @contextmanager
    def _process(self, *arguments: str, **more: str) -> Iterator[tuple[Process, Path]]:
        self._count += 1
        log = self.cwd / f"{arguments[0]}{self._count}.log"
        with log.open("w") as stderr:
            command = (*arguments, "--engine", self.engine)
            process = start(*command, cwd=self.cwd, env=environment(**more), stderr=stderr)
        self._running += 1
        try:
            yield process, log
        finally:
            self._running -= 1
            self._leave()
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            process.communicate(timeout=DEADLINE_S)

    async def rows(self, query: str, *values: object) -> list[Any]:
        """Return what a query finds in the database, none while its table is not there."""
        try:
            return list(await (await self._connected()).fetch(query, *values))
        except asyncpg.UndefinedTableError:
            return []
        finally:
            self._leave()

    async def _connected(self) -> asyncpg.Connection[Any]:
        """Return a session, the same one while processes run, which are looked at often."""
        if self._session is None or self._session.is_closed():
            self._session = await asyncpg.connect(self.engine, statement_cache_size=0)
        return self._session

    def _leave(self) -> None:
        if self._session is not None and not self._running:
            self._session.terminate()
            self._session = None

    async def holders(self, flow: str) -> dict[int, int | None]:
        """Return the process that has each lane of a flow."""
        kept = await self.rows(
            "SELECT name, value FROM busway.named_value WHERE name LIKE 'worker/%'"
        )
        pids = {
            name.removeprefix("worker/"): msgspec.json.decode(value, type=WorkerRecord).pid
            for name, value in kept
        }
        found = await self.rows(
            "SELECT partition, worker FROM busway.lane WHERE flow = $1 ORDER BY partition", flow
        )
        return {partition: pids.get(worker) for partition, worker in found}


class Watch:
    """Tells how long it is since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def passed_s(self) -> float:
        return time.monotonic() - self._began
