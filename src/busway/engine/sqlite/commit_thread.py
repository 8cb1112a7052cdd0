"""A thread that owns a connection and commits the work of many tasks together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, TypeVar

import apsw

from busway.driver.sqlite.transaction import immediate_transaction
from busway.engine.sqlite.database import to_store_error
from busway.errors import StoreError

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
"""The statements of one transaction; they may run twice, so they change only the database."""

_MAX_GROUP_SIZE = 256


class _QueuedWork:
    __slots__ = ("future", "is_single_statement", "on_commit", "work")

    def __init__(
        self, work: Work[Any], on_commit: Callable[[Any], None] | None, is_single_statement: bool
    ) -> None:
        self.work = work
        self.on_commit = on_commit
        self.is_single_statement = is_single_statement
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, value: Any, error: Exception | None) -> None:
        if error is None and self.on_commit:
            self.on_commit(value)
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class _WorkResult(NamedTuple):
    job: _QueuedWork
    value: Any
    error: Exception | None


class CommitThread:
    """Runs work in the order of arrival; work that waits shares the next transaction.

    Each work is atomic: if one of a group fails, the group is rolled back and each runs again
    alone, so that an error reaches only its own caller.
    """

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_QueuedWork | None] = SimpleQueue()
        self._closed = False
        self._thread = Thread(target=self._run, name=f"busway-{path.name}", daemon=True)
        self._thread.start()

    def submit(
        self,
        work: Work[T],
        on_commit: Callable[[T], None] | None = None,
        *,
        is_single_statement: bool = False,
    ) -> asyncio.Future[T]:
        """Queue work; the future is done when it is durable.

        ``on_commit`` gets the result first, on the event loop, even if the caller is cancelled.
        ``is_single_statement``: the work is one statement and needs no transaction around it.
        """
        if self._closed:
            raise StoreError(f"{self._path} is closed")
        job = _QueuedWork(work, on_commit, is_single_statement)
        self._queue.put(job)
        return job.future

    async def close(self) -> None:
        """Finish the submitted work, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while group := self._next_group():
            results = self._commit(group)
            self._loop.call_soon_threadsafe(_resolve, results)
        self._connection.close()

    def _next_group(self) -> list[_QueuedWork]:
        group: list[_QueuedWork] = []
        job = self._queue.get()
        while job is not None:
            group.append(job)
            if len(group) == _MAX_GROUP_SIZE:
                break
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
        if job is None and group:
            self._queue.put(None)
        return group

    def _commit(self, group: list[_QueuedWork]) -> list[_WorkResult]:
        try:
            values = self._run_all(group)
        except Exception as error:
            if len(group) > 1:
                return [result for job in group for result in self._commit([job])]
            return [_WorkResult(group[0], None, to_store_error(error, self._path))]
        return [_WorkResult(job, value, None) for job, value in zip(group, values, strict=True)]

    def _run_all(self, group: list[_QueuedWork]) -> list[Any]:
        if len(group) == 1 and group[0].is_single_statement:
            return [group[0].work(self._connection)]
        return self._transaction([job.work for job in group])

    def _transaction(self, works: list[Work[Any]]) -> list[Any]:
        with immediate_transaction(self._connection):
            return [work(self._connection) for work in works]


def _resolve(results: list[_WorkResult]) -> None:
    for job, value, error in results:
        job.resolve(value, error)
