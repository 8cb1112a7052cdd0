"""A thread that owns a connection and commits what many tasks ask for together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import apsw

from busway.engine.sqlite.database import translated
from busway.errors import StoreError

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
"""What one transaction does; it may run twice, so it keeps nothing outside the connection."""

_LARGEST_GROUP = 256


class _Job:
    __slots__ = ("future", "landed", "single", "work")

    def __init__(self, work: Work[Any], landed: Callable[[Any], None] | None, single: bool) -> None:
        self.work = work
        self.landed = landed
        self.single = single
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, value: Any, error: Exception | None) -> None:
        if error is None and self.landed:
            self.landed(value)
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


_Result = tuple[_Job, Any, Exception | None]


class Writer:
    """Runs work in the order in which it came; what waits meanwhile shares one transaction.

    Each work is atomic by itself: when one of a group fails, the group is rolled back and each
    runs again alone, so that an error reaches only the one who caused it.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"busway-{path.name}", daemon=True)
        self._thread.start()

    def submit(
        self, work: Work[T], landed: Callable[[T], None] | None = None, *, single: bool = False
    ) -> asyncio.Future[T]:
        """Have the work done; the future is done when it is durable.

        ``landed`` gets the result on the loop first, also when nobody waits any more. ``single``
        says that the work is one statement, which needs no transaction around it.
        """
        if self._closed:
            raise StoreError(f"{self._path} is closed")
        job = _Job(work, landed, single)
        self._jobs.put(job)
        return job.future

    async def close(self) -> None:
        """Finish what was submitted, then close the connection."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._next_group():
            results = self._commit(group)
            self._loop.call_soon_threadsafe(_resolve, results)
        self._connection.close()

    def _next_group(self) -> list[_Job]:
        group: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == _LARGEST_GROUP:
                break
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
        if job is None and group:
            self._jobs.put(None)
        return group

    def _commit(self, group: list[_Job]) -> list[_Result]:
        try:
            values = self._run_all(group)
        except Exception as error:
            if len(group) > 1:
                return [result for job in group for result in self._commit([job])]
            return [(group[0], None, translated(error, self._path))]
        return [(job, value, None) for job, value in zip(group, values, strict=True)]

    def _run_all(self, group: list[_Job]) -> list[Any]:
        if len(group) == 1 and group[0].single:
            return [group[0].work(self._connection)]
        return self._transaction([job.work for job in group])

    def _transaction(self, works: list[Work[Any]]) -> list[Any]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            values = [work(connection) for work in works]
            connection.execute("COMMIT")
        finally:
            # after an error; SQLite has rolled back by itself where the disk was full
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return values


def _resolve(results: list[_Result]) -> None:
    for job, value, error in results:
        job.resolve(value, error)
