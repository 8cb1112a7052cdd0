"""Append: concurrent requests share one commit, and what came before is not stored again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol

import msgspec

from busway.bus.group import Grouping
from busway.bus.known import Known
from busway.bus.recent import Recent, digests_of
from busway.clock import Clock, arrival_time
from busway.errors import StoreError, StoreFull
from busway.event import Event
from busway.exception_text import exception_line
from busway.ports import Addressed, Appended, Draft, Log

GROUP_BYTES = 8 * 1024 * 1024
GROUP_EVENTS = 10_000
"""What is sorted out on the event loop at a time; a request alone may have more."""
GATHER_S = 0.1
"""How long more is gathered before it is learned: what is appended here is known by then."""
FAILING_S = 5.0
"""How long an append that failed tells that the next one may fail as well."""


class AppendObserver(Protocol):
    """Hears of each commit; for telemetry."""

    def appended(self, requests: int, events: int, size_bytes: int, seconds: float) -> None: ...


class _Silent:
    def appended(self, requests: int, events: int, size_bytes: int, seconds: float) -> None: ...


class _Request(msgspec.Struct):
    raws: Sequence[bytes]
    envelopes: Sequence[Addressed]
    digests: Sequence[bytes]
    future: asyncio.Future[Appended]
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
        self._recent = Recent(window_s)
        self._known = Known(log, clock, self._recent, window_s)
        self._rebuilding = asyncio.Lock()
        self._rebuilt = asyncio.Event()
        self._uncertain = False
        """Whether an append failed so that it may have been stored."""
        self._unfollowed: set[int] = set()
        """The partitions of which it is not heard now what others append."""
        self._failed: tuple[float, str] | None = None
        """When the last append failed, and why, where it did."""
        self._unfiled: set[bytes] = set()
        self._filing: Sequence[bytes] = ()
        """The identities that the last commit stored, before ``_recent`` has them, and as they
        came."""
        self._observer = observer or _Silent()
        self.witness: Callable[[Sequence[Addressed]], None] | None = None
        """Hears of the envelopes of each request that was stored, where somebody wants to."""
        self._waiting: list[_Request] = []
        self._wake = asyncio.Event()
        self._turn = 0
        self._closed = False

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[Addressed]
    ) -> asyncio.Future[Appended]:
        """Resolve once the events are durable; see :class:`busway.ports.Intake`."""
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(StoreError("the bus is closed; send it again after the restart"))
        elif not raws:
            future.set_result(Appended(0, 0))
        else:
            size = sum(map(len, raws))
            self._waiting.append(_Request(raws, envelopes, digests_of(envelopes), future, size))
            self._wake.set()
        return future

    def failing(self) -> str | None:
        """Return why the last append failed, for a few seconds; then it is worth another try."""
        if self._failed is None or self._clock.monotonic() - self._failed[0] > FAILING_S:
            return None
        return f"the last append failed: {self._failed[1]}"

    async def publish(self, events: Sequence[Event]) -> None:
        """Append events that Busway itself makes; durable when it returns."""
        await self.rebuild()
        await self.append([e.to_json() for e in events], [e.envelope for e in events])

    async def rebuild(self) -> None:
        """Learn from the log which events came in its last window, as if they came just now.

        Once, before the first append: who appends nothing has no need to know.
        """
        async with self._rebuilding:
            if not self._rebuilt.is_set():
                await self._known.rebuild()
                self._rebuilt.set()

    async def follow(self, partition: int) -> None:
        """Wait for more in a partition, and learn what others have appended there.

        Where that fails, each commit looks by itself until it goes well again. Before ``rebuild``
        there is nothing to go on from.
        """
        await self._rebuilt.wait()
        try:
            if partition in self._unfollowed:
                await self._known.learn(partition)
                self._unfollowed.discard(partition)
            before = self._known.end(partition)
            await self._log.wait(partition, before)
            await self._clock.sleep(GATHER_S)
            await self._known.learn(partition)
            if self._known.end(partition) == before:
                await self._known.skip(partition)
        except StoreError:
            self._unfollowed.add(partition)
            raise
        self._recent.expire(self._clock.monotonic())

    async def run(self) -> None:
        """Commit groups until closed and nothing waits."""
        while True:
            while self._waiting:
                await self._commit(self._next_group())
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    def close(self) -> None:
        """Take no more; ``run`` returns when what waits is committed."""
        self._closed = True
        self._wake.set()

    def _next_group(self) -> list[_Request]:
        size = events = count = 0
        while count < len(self._waiting) and size < GROUP_BYTES and events < GROUP_EVENTS:
            size += self._waiting[count].size_bytes
            events += len(self._waiting[count].raws)
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    async def _commit(self, group: list[_Request]) -> None:
        began = self._clock.monotonic()
        try:
            await self._make_certain()
            grouped, answers = self._grouped(group)
            drafts = grouped.drafts()
            appending = asyncio.ensure_future(self._append(drafts))
            await asyncio.sleep(0)
            self._file(began)  # while the disk is busy
            await appending
        except StoreError as error:
            self._uncertain |= not isinstance(error, StoreFull)
            self._failed = (self._clock.monotonic(), str(error))
            _refuse(group, error)
            return
        except BaseException as error:
            self._uncertain = True
            self._failed = (self._clock.monotonic(), exception_line(error))
            _refuse(group, StoreError("the log failed; it is not known whether it was stored"))
            raise
        self._failed = None
        for request, answer in zip(group, answers, strict=True):
            if not request.future.done():
                request.future.set_result(answer)
            if self.witness is not None:
                self.witness(request.envelopes)
        self._unfiled, self._filing = grouped.fresh, grouped.order
        size = sum(request.size_bytes for request in group)
        seconds = self._clock.monotonic() - began
        self._observer.appended(len(group), len(grouped.fresh), size, seconds)

    async def _append(self, drafts: Sequence[Draft]) -> None:
        if drafts:
            self._known.appended(drafts, await self._log.append(drafts, arrival_time(self._clock)))

    async def _make_certain(self) -> None:
        """Learn whether what failed before was stored, so that a repeat of it is recognised.

        And what others have appended meanwhile where nobody follows.
        """
        unknown = range(self._log.partitions) if self._uncertain else sorted(self._unfollowed)
        for partition in unknown:
            await self._known.learn(partition)
        self._uncertain = False

    def _file(self, now: float) -> None:
        """Remember what the commit before stored, and forget what is too old."""
        self._recent.add(self._filing, now)
        self._unfiled, self._filing = set(), ()
        self._recent.expire(now)

    def _grouped(self, group: list[_Request]) -> tuple[Grouping, list[Appended]]:
        """Sort a group by partition; where nothing comes twice, all of its requests at once."""
        digests = list(chain.from_iterable([one.digests for one in group]))
        fresh = set(digests)
        known = self._recent.find(fresh) | (fresh & self._unfiled)
        grouped = Grouping(self._log.partitions, self._turn, known)
        self._turn += 1
        if not known and len(fresh) == len(digests):
            raws = chain.from_iterable([one.raws for one in group])
            envelopes = chain.from_iterable([one.envelopes for one in group])
            grouped.take_new(raws, envelopes, digests, fresh)
            return grouped, [Appended(len(one.raws), 0) for one in group]
        return grouped, [grouped.take(one.raws, one.envelopes, one.digests) for one in group]


def _refuse(group: list[_Request], error: StoreError) -> None:
    for request in group:
        if not request.future.done():
            request.future.set_exception(error)
