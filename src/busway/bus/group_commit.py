"""Append: concurrent requests share one commit, and what came before is not stored again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from busway.bus.dedupe import DedupeIndex, identity_digests
from busway.bus.dedupe_loader import DedupeLoader
from busway.bus.partitioner import Partitioner
from busway.clock import Clock, append_time
from busway.errors import StoreError, StoreFull
from busway.event import Event
from busway.exception_text import exception_line
from busway.ports import AppendEnvelope, AppendReceipt, Log, NewBatch

MAX_GROUP_BYTES = 8 * 1024 * 1024
MAX_GROUP_EVENTS = 10_000
"""What is sorted out on the event loop at a time; a request alone may have more."""
FOLLOW_DELAY_S = 0.1
"""How long more is gathered before it is learned: what is appended here is known by then."""
NOT_READY_AFTER_FAILURE_S = 5.0
"""How long after a failed append the intake reports itself not ready."""


class AppendObserver(Protocol):
    """Is notified of each commit, for telemetry."""

    def appended(self, requests: int, events: int, size_bytes: int, seconds: float) -> None: ...


class _NoObserver:
    def appended(self, requests: int, events: int, size_bytes: int, seconds: float) -> None: ...


class _AppendRequest(msgspec.Struct):
    raws: Sequence[bytes]
    envelopes: Sequence[AppendEnvelope]
    digests: Sequence[bytes]
    future: asyncio.Future[AppendReceipt]
    size_bytes: int


class Appender:
    """Takes requests from many sources and commits them in groups; implements ``Intake``.

    One group is under way at a time, so an event that comes twice at once is seen as a duplicate
    only after the first of the two is durable.
    """

    def __init__(
        self, log: Log, clock: Clock, window_s: float, observer: AppendObserver | None = None
    ) -> None:
        self._log = log
        self._clock = clock
        self._dedupe_index = DedupeIndex(window_s)
        self._dedupe_loader = DedupeLoader(log, clock, self._dedupe_index, window_s)
        self._loading = asyncio.Lock()
        self._loaded = asyncio.Event()
        self._last_append_uncertain = False
        """Whether an append failed that may have been stored."""
        self._unfollowed_partitions: set[int] = set()
        """The partitions that are not being followed for appends of other processes."""
        self._last_failure: tuple[float, str] | None = None
        """When and why the last append failed, if it did."""
        self._unindexed: set[bytes] = set()
        self._unindexed_in_order: Sequence[bytes] = ()
        """The identities that the last commit stored, before ``_dedupe_index`` has them, and as
        they came."""
        self._observer = observer or _NoObserver()
        self.on_stored: Callable[[Sequence[AppendEnvelope]], None] | None = None
        """An optional callback with the envelopes of each stored request."""
        self._waiting: list[_AppendRequest] = []
        self._wake = asyncio.Event()
        self._group_number = 0
        self._closed = False

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        """Resolve once the events are durable; see :class:`busway.ports.Intake`."""
        future: asyncio.Future[AppendReceipt] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(StoreError("the bus is closed; send it again after the restart"))
        elif not raws:
            future.set_result(AppendReceipt(0, 0))
        else:
            size = sum(map(len, raws))
            self._waiting.append(
                _AppendRequest(raws, envelopes, identity_digests(envelopes), future, size)
            )
            self._wake.set()
        return future

    def recent_failure(self) -> str | None:
        """Return why the last append failed, for a few seconds after it."""
        if (
            self._last_failure is None
            or self._clock.monotonic() - self._last_failure[0] > NOT_READY_AFTER_FAILURE_S
        ):
            return None
        return f"the last append failed: {self._last_failure[1]}"

    async def publish(self, events: Sequence[Event]) -> None:
        """Append Busway's own events; durable when it returns."""
        await self.load_recent()
        await self.append([e.to_json() for e in events], [e.envelope for e in events])

    async def load_recent(self) -> None:
        """Learn from the log which events came in its last window, as if they came just now.

        Once, before the first append: who appends nothing has no need to know.
        """
        async with self._loading:
            if not self._loaded.is_set():
                await self._dedupe_loader.load_window()
                self._loaded.set()

    async def follow(self, partition: int) -> None:
        """Wait for more in a partition, and learn what others have appended there.

        Where that fails, each commit looks by itself until it goes well again. Before
        ``load_recent`` there is nothing to go on from.
        """
        await self._loaded.wait()
        try:
            if partition in self._unfollowed_partitions:
                await self._dedupe_loader.load_new(partition)
                self._unfollowed_partitions.discard(partition)
            before = self._dedupe_loader.loaded_end(partition)
            await self._log.wait(partition, before)
            await self._clock.sleep(FOLLOW_DELAY_S)
            await self._dedupe_loader.load_new(partition)
            if self._dedupe_loader.loaded_end(partition) == before:
                await self._dedupe_loader.skip_gap(partition)
        except StoreError:
            self._unfollowed_partitions.add(partition)
            raise
        self._dedupe_index.expire(self._clock.monotonic())

    async def run(self) -> None:
        """Commit groups until it is closed and no request waits."""
        while True:
            while self._waiting:
                await self._commit(self._next_group())
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """Accept no more requests; ``run`` returns once the waiting ones are committed."""
        self._closed = True
        self._wake.set()

    def _next_group(self) -> list[_AppendRequest]:
        size = events = count = 0
        while count < len(self._waiting) and size < MAX_GROUP_BYTES and events < MAX_GROUP_EVENTS:
            size += self._waiting[count].size_bytes
            events += len(self._waiting[count].raws)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _commit(self, group: list[_AppendRequest]) -> None:
        began = self._clock.monotonic()
        try:
            await self._resolve_uncertainty()
            grouped, answers = self._partitioned(group)
            drafts = grouped.batches()
            appending = asyncio.ensure_future(self._append(drafts))
            await asyncio.sleep(0)
            self._index_last_commit(began)  # while the disk is busy
            await appending
        except StoreError as error:
            self._last_append_uncertain |= not isinstance(error, StoreFull)
            self._last_failure = (self._clock.monotonic(), str(error))
            _fail(group, error)
            return
        except BaseException as error:
            self._last_append_uncertain = True
            self._last_failure = (self._clock.monotonic(), exception_line(error))
            _fail(group, StoreError("the log failed; it is not known whether it was stored"))
            raise
        self._last_failure = None
        for request, answer in zip(group, answers, strict=True):
            if not request.future.done():
                request.future.set_result(answer)
            if self.on_stored is not None:
                self.on_stored(request.envelopes)
        self._unindexed, self._unindexed_in_order = (
            grouped.new_digests,
            grouped.new_digests_in_order,
        )
        size = sum(request.size_bytes for request in group)
        seconds = self._clock.monotonic() - began
        self._observer.appended(len(group), len(grouped.new_digests), size, seconds)

    async def _append(self, drafts: Sequence[NewBatch]) -> None:
        if drafts:
            self._dedupe_loader.note_own_append(
                drafts, await self._log.append(drafts, append_time(self._clock))
            )

    async def _resolve_uncertainty(self) -> None:
        """Learn whether what failed before was stored, so that a repeat of it is recognised.

        And what others have appended meanwhile where nobody follows.
        """
        unknown = (
            range(self._log.partitions)
            if self._last_append_uncertain
            else sorted(self._unfollowed_partitions)
        )
        for partition in unknown:
            await self._dedupe_loader.load_new(partition)
        self._last_append_uncertain = False

    def _index_last_commit(self, now: float) -> None:
        """Index the previous commit, and drop expired identities."""
        self._dedupe_index.add(self._unindexed_in_order, now)
        self._unindexed, self._unindexed_in_order = set(), ()
        self._dedupe_index.expire(now)

    def _partitioned(self, group: list[_AppendRequest]) -> tuple[Partitioner, list[AppendReceipt]]:
        """Partition a group; without duplicates, all its requests at once."""
        digests = list(chain.from_iterable([one.digests for one in group]))
        fresh = set(digests)
        known = self._dedupe_index.find(fresh) | (fresh & self._unindexed)
        grouped = Partitioner(self._log.partitions, self._group_number, known)
        self._group_number += 1
        if not known and len(fresh) == len(digests):
            raws = chain.from_iterable([one.raws for one in group])
            envelopes = chain.from_iterable([one.envelopes for one in group])
            grouped.add_new(raws, envelopes, digests, fresh)
            return grouped, [AppendReceipt(len(one.raws), 0) for one in group]
        return grouped, [grouped.add(one.raws, one.envelopes, one.digests) for one in group]


def _fail(group: list[_AppendRequest], error: StoreError) -> None:
    for request in group:
        if not request.future.done():
            request.future.set_exception(error)
