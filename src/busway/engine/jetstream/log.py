"""The log in NATS JetStream: a message for each batch, a subject for each partition."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from busway import batch as codec
from busway.engine.jetstream.chart import Chart
from busway.engine.jetstream.check import cautions, check_server
from busway.engine.jetstream.fetch import Fetch
from busway.engine.jetstream.link import Link
from busway.engine.jetstream.message import Message
from busway.engine.jetstream.parcel import Parcel, marker, packed_aside, parcels
from busway.engine.jetstream.place import Place
from busway.engine.jetstream.prepare import Prepared, prepare
from busway.engine.jetstream.publish import Publisher
from busway.engine.jetstream.stream import Stream
from busway.engine.jetstream.sync import check_sync
from busway.engine.jetstream.watch import Watch
from busway.engine.recent import Recent, fitting
from busway.errors import StoreDamaged, StoreFull
from busway.ports import Batch, Draft

MAX_EVENT_BYTES = 1024 * 1024
_CLOSE_S = 5.0
_RECENT_BYTES = 16 * 1024 * 1024
_LAG_S = (0.0, 0.05, 0.2, 1.0)
"""How long a trim may take to come from one server to the next."""


class JetStreamLog:
    """Appends and reads over one connection; any number of processes may.

    ``cautions`` are what a person should be told at the start: how the cluster could lose what it
    acknowledged, and what to do about it. ``moving`` is whether a move into it is unfinished.
    """

    def __init__(self, stream: Stream, prepared: Prepared, max_bytes: int) -> None:
        self._stream = stream
        self._place = str(stream.link.place)
        self._identity = prepared.identity
        self.moving = prepared.moving
        self._max_bytes = max_bytes
        self._chart = Chart(prepared.partitions)
        self._fetch = Fetch(stream, self._chart)
        self._watch = Watch(stream, prepared.identity, self._fetch, self._chart)
        self._publisher = Publisher(stream, self._chart, atomic=prepared.atomic)
        self._recent = [
            Recent(_RECENT_BYTES // prepared.partitions) for _ in range(prepared.partitions)
        ]
        self._bases: dict[int, int] = {}
        self._gone = 0
        self._lock = asyncio.Lock()
        self.cautions: Sequence[str] = ()

    @classmethod
    async def open(
        cls,
        place: Place,
        partitions: int,
        max_bytes: int = 0,
        max_event_bytes: int = MAX_EVENT_BYTES,
        identity: str = "",
    ) -> Self:
        """Open a log, made where there is none; ``max_bytes`` of 0 sets no limit.

        With an ``identity`` it is the log that has it, or :class:`StoreDamaged` is raised and
        nothing is made. Raises :class:`StoreError` when the servers cannot be used, or are not set
        up so that they could hold it.
        """
        sync = await check_sync(place)
        link = await Link.open(place)
        try:
            await check_server(link, max_event_bytes)
            stream = Stream(link)
            prepared = await prepare(stream, partitions, max_bytes, identity)
            log = cls(stream, prepared, max_bytes)
            log.cautions = cautions(place, prepared.info, sync)
            await log._watch.begin()
        except BaseException:
            await link.close()
            raise
        return log

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._recent)

    async def append(self, drafts: Sequence[Draft], at: datetime) -> Sequence[int]:
        for draft in drafts:
            if not 0 <= draft.partition < self.partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            self._make_sure_of(draft.partition)
        if not drafts:
            return []
        # it goes on, also when its caller does not: what it stores must be known here
        return await asyncio.shield(asyncio.ensure_future(self._append(drafts, at)))

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[Batch]:
        self._make_sure_of(partition)
        end = self._chart.tail.end(partition)
        if offset >= end:
            return ()
        recent = self._recent[partition].read(offset, max_bytes)
        if recent:
            return recent
        seq = await self._fetch.holding(partition, max(offset, 0))
        messages = await self._fetch.several(partition, seq, max_bytes)
        joined = await self._joined(partition, (offset, end), messages)
        return self._fitting(partition, joined, max_bytes)

    async def bounds(self, partition: int) -> tuple[int, int]:
        state = await self._watch.look()
        self._make_sure_of(partition)
        if state.gone != self._gone:
            self._gone = state.gone
            self._bases.clear()
        base = self._bases.get(partition)
        if base is None:
            begun = self._chart.last(partition) is not None
            base = await self._base(partition)
            self._recent[partition].forget(base)  # others may have trimmed
            if begun:
                self._bases[partition] = base
        return base, self._chart.tail.end(partition)

    async def trim(self, partition: int, offset: int) -> int:
        before = await self._base(partition)
        after = await self._trim_to(partition, offset)
        self._recent[partition].forget(after)
        return max(after - before, 0)

    async def continue_at(self, partition: int, offset: int) -> int:
        await self._watch.look()
        async with self._lock:
            before = await self._publisher.continue_at(partition, offset)
        first = await self._fetch.first(partition) if before < offset else None
        if first is not None and not first.count and first.end == before:
            await self._trim_to(partition, before)  # nothing was kept: no hole
        return before

    async def offset_at(self, partition: int, at: datetime) -> int:
        # one without events is as old as what is before it; what it says begins behind it
        found = await self._fetch.search(partition, lambda spot: spot.at >= at)
        while found is not None and not found.count:
            found = await self._fetch.search(partition, lambda spot: spot.at >= at, found.seq + 1)
        return self._chart.tail.end(partition) if found is None else found.offset

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        if not 0 <= offset < self._chart.tail.end(partition):
            return None
        batches = await self.read(partition, offset, 0)
        return batches[0].appended_at if batches and batches[0].offset <= offset else None

    async def size_bytes(self) -> int:
        return (await self._stream.info()).state.bytes

    async def wait(self, partition: int, offset: int) -> None:
        await self._watch.wait(partition, offset)

    async def close(self) -> None:
        await self._watch.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S), self._lock:
                pass  # an append that is under way may end
        await self._stream.link.close()

    async def _append(self, drafts: Sequence[Draft], at: datetime) -> list[int]:
        async with self._lock:
            link = self._stream.link
            made = parcels(drafts, link.max_payload)
            if link.place.compress:
                made = await packed_aside(made)
            await self._make_sure_of_room(made)
            spots = await self._publisher.store(made, at)
        firsts: dict[int, int] = {}
        for parcel, spot in zip(made, spots, strict=True):
            firsts.setdefault(parcel.draft, spot.offset)
            batch = Batch(parcel.partition, spot.offset, at, parcel.events)
            self._recent[parcel.partition].add(batch, parcel.size)
        return list(firsts.values())

    async def _make_sure_of_room(self, made: Sequence[Parcel]) -> None:
        """Look for room where the servers would store a part of what has no room."""
        if self._max_bytes and len(made) > 1 and not self._publisher.atomic:
            wanted = sum(len(parcel.body) for parcel in made)
            if await self.size_bytes() + wanted > self._max_bytes:
                raise StoreFull(
                    f"{self._place}: the log has reached its limit of {self._max_bytes} bytes;"
                    " raise BUSWAY_MAX_LOG_BYTES, or have the flows catch up"
                )

    async def _trim_to(self, partition: int, offset: int) -> int:
        """Forget what ends at or before an offset; return where the partition begins then."""
        first = await self._fetch.search(partition, lambda spot: spot.end > offset)
        if first is None:
            return await self._trim_all(partition, offset)
        await self._stream.purge(partition, first.seq)
        return first.offset

    async def _trim_all(self, partition: int, offset: int) -> int:
        """Forget everything but a message without events, which keeps the end.

        What others append meanwhile stays, and then keeps the end itself.
        """
        last = await self._stream.last(partition)
        if last is None:
            return 0
        if last.spot.end > offset:
            return await self._trim_to(partition, offset)
        await self._stream.purge(partition, last.spot.seq)
        if not last.spot.count:
            return last.spot.end
        async with self._lock:
            (spot,) = await self._publisher.store([marker(partition)], last.spot.at)
        alone = spot.offset == last.spot.end
        await self._stream.purge(partition, spot.seq if alone else last.spot.seq + 1)
        return last.spot.end

    async def _base(self, partition: int) -> int:
        first = await self._fetch.first(partition)
        if first is not None:
            return first.offset
        if end := self._chart.tail.end(partition):
            raise self._missing(partition, end)
        return 0

    async def _joined(
        self, partition: int, place: tuple[int, int], messages: Sequence[Message]
    ) -> Sequence[Message]:
        """Return the messages with events up to where one is missing: at a hole, or as happens
        while they are trimmed.

        Raises :class:`StoreDamaged` when one is missing before the first of them. ``place`` is the
        offset that was asked for, and where the partition ended then.
        """
        offset, end = place
        ahead = list(itertools.takewhile(lambda one: not one.spot.count, messages))
        found = messages[len(ahead) :]
        goes_on = max(offset, ahead[-1].spot.end) if ahead else offset
        begins = found[0].spot.offset if found else end
        if begins > goes_on:
            await self._make_sure_of_trim(partition, begins)
        pairs = enumerate(itertools.pairwise(found), 1)
        gap = (n for n, (before, after) in pairs if before.spot.end != after.spot.offset)
        return found[: next(gap, len(found))]

    async def _make_sure_of_trim(self, partition: int, offset: int) -> None:
        for pause_s in _LAG_S:
            await asyncio.sleep(pause_s)
            if await self._base(partition) >= offset:
                return
        raise self._missing(partition, offset)

    def _make_sure_of(self, partition: int) -> None:
        """Raise :class:`StoreDamaged` where offsets were given again that are known here."""
        if self._chart.went_back(partition):
            raise StoreDamaged(
                f"{self._place}, partition {partition}: events were deleted under this process,"
                " and others append in their place; start it anew"
            )

    def _missing(self, partition: int, offset: int) -> StoreDamaged:
        return StoreDamaged(
            f"{self._place}, partition {partition}: events before offset {offset} are missing;"
            " a server lost them, or somebody deleted messages; restore the stream from a backup"
        )

    def _fitting(
        self, partition: int, messages: Sequence[Message], max_bytes: int
    ) -> Sequence[Batch]:
        batches = (m.batch(partition, self._place) for m in messages if m.spot.count)
        return fitting(((batch, codec.size(batch.events)) for batch in batches), max_bytes)
