"""The log in NATS JetStream: a message for each batch, a subject for each partition."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from busway import batch_codec as codec
from busway.engine.batch_cache import BatchCache, SizedBatch, batches_within
from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.connection import NatsConnection
from busway.engine.jetstream.fsync_check import check_fsync
from busway.engine.jetstream.log_watcher import JetStreamLogWatcher
from busway.engine.jetstream.outgoing_message import (
    OutgoingMessage,
    compress_in_background,
    end_marker,
    split_drafts,
)
from busway.engine.jetstream.provisioning import ProvisionedStream, provision
from busway.engine.jetstream.publisher import Publisher
from busway.engine.jetstream.server_check import check_server, stream_warnings
from busway.engine.jetstream.stored_message import StoredMessage
from busway.engine.jetstream.stream import LogStream
from busway.engine.jetstream.stream_index import StreamIndex
from busway.engine.jetstream.stream_reader import StreamReader
from busway.errors import StoreCorrupted, StoreFull
from busway.ports import LogBatch, NewBatch, PartitionBounds

MAX_EVENT_BYTES = 1024 * 1024
_CLOSE_TIMEOUT_S = 5.0
_CACHE_BYTES = 16 * 1024 * 1024
_TRIM_LAG_S = (0.0, 0.05, 0.2, 1.0)
"""How long a trim may take to reach the other servers."""


class JetStreamLog:
    """Appends and reads over one connection; any number of processes may do so.

    ``warnings`` are for people, at the start: how the cluster could lose acknowledged events, and
    what to do about it. ``is_move_unfinished`` is whether a move into it is unfinished.
    """

    def __init__(self, stream: LogStream, provisioned: ProvisionedStream, max_bytes: int) -> None:
        self._stream = stream
        self._label = str(stream.connection.address)
        self._identity = provisioned.identity
        self.is_move_unfinished = provisioned.is_move_unfinished
        self._max_bytes = max_bytes
        self._index = StreamIndex(provisioned.partitions)
        self._reader = StreamReader(stream, self._index)
        self._watcher = JetStreamLogWatcher(stream, provisioned.identity, self._reader, self._index)
        self._publisher = Publisher(stream, self._index, atomic=provisioned.atomic)
        self._caches = [
            BatchCache(_CACHE_BYTES // provisioned.partitions)
            for _ in range(provisioned.partitions)
        ]
        self._bases: dict[int, int] = {}
        self._deleted_count = 0
        self._lock = asyncio.Lock()
        self.warnings: Sequence[str] = ()

    @classmethod
    async def open(
        cls,
        address: JetStreamAddress,
        partitions: int,
        max_bytes: int = 0,
        max_event_bytes: int = MAX_EVENT_BYTES,
        identity: str = "",
    ) -> Self:
        """Open a log; create it if there is none; ``max_bytes`` of 0 sets no limit.

        With an ``identity`` the log must have it, else :class:`StoreCorrupted` is raised and
        nothing is created. Raises :class:`StoreError` if the servers cannot be used, or cannot hold
        a log as they are configured.
        """
        fsync_report = await check_fsync(address)
        connection = await NatsConnection.open(address)
        try:
            await check_server(connection, max_event_bytes)
            stream = LogStream(connection)
            provisioned = await provision(stream, partitions, max_bytes, identity)
            log = cls(stream, provisioned, max_bytes)
            log.warnings = stream_warnings(address, provisioned.info, fsync_report)
            await log._watcher.start()
        except BaseException:
            await connection.close()
            raise
        return log

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def partitions(self) -> int:
        return len(self._caches)

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        for draft in new_batches:
            if not 0 <= draft.partition < self.partitions or not draft.events:
                raise ValueError(f"no events, or no such partition: {draft.partition}")
            self._check_consistent(draft.partition)
        if not new_batches:
            return []
        # it continues if the caller is cancelled: this process must learn what it stores
        return await asyncio.shield(asyncio.ensure_future(self._append(new_batches, at)))

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        self._check_consistent(partition)
        end = self._index.ends.end(partition)
        if offset >= end:
            return ()
        recent = self._caches[partition].read(offset, max_bytes)
        if recent:
            return recent
        seq = await self._reader.locate(partition, max(offset, 0))
        messages = await self._reader.read(partition, seq, max_bytes)
        contiguous = await self._contiguous(partition, offset, end, messages)
        return self._batches_within(partition, contiguous, max_bytes)

    async def bounds(self, partition: int) -> PartitionBounds:
        state = await self._watcher.refresh()
        self._check_consistent(partition)
        if state.deleted_count != self._deleted_count:
            self._deleted_count = state.deleted_count
            self._bases.clear()
        base = self._bases.get(partition)
        if base is None:
            has_messages = self._index.last_position(partition) is not None
            base = await self._find_base(partition)
            self._caches[partition].evict_until(base)  # another process may have trimmed
            if has_messages:
                self._bases[partition] = base
        return PartitionBounds(base, self._index.ends.end(partition))

    async def trim(self, partition: int, offset: int) -> int:
        before = await self._find_base(partition)
        after = await self._trim_to(partition, offset)
        self._caches[partition].evict_until(after)
        return max(after - before, 0)

    async def skip_to(self, partition: int, offset: int) -> int:
        await self._watcher.refresh()
        async with self._lock:
            before = await self._publisher.skip_to(partition, offset)
        first = await self._reader.first_position(partition) if before < offset else None
        if first is not None and not first.count and first.end == before:
            await self._trim_to(partition, before)  # the partition was empty: no gap
        return before

    async def offset_at(self, partition: int, at: datetime) -> int:
        first = await self._reader.search(partition, lambda position: position.appended_at >= at)
        # a message without events has the time of the message before: the next one counts
        while first is not None and not first.count:
            first = await self._reader.search(
                partition, lambda position: position.appended_at >= at, first.seq + 1
            )
        return self._index.ends.end(partition) if first is None else first.offset

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        if not 0 <= offset < self._index.ends.end(partition):
            return None
        batches = await self.read(partition, offset, 0)
        return batches[0].appended_at if batches and batches[0].offset <= offset else None

    async def size_bytes(self) -> int:
        return (await self._stream.info()).state.bytes

    async def wait(self, partition: int, offset: int) -> None:
        await self._watcher.wait(partition, offset)

    async def close(self) -> None:
        await self._watcher.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S), self._lock:
                pass  # let an append in progress end
        await self._stream.connection.close()

    async def _append(self, drafts: Sequence[NewBatch], at: datetime) -> list[int]:
        async with self._lock:
            connection = self._stream.connection
            messages = split_drafts(drafts, connection.max_payload)
            if connection.address.compress:
                messages = await compress_in_background(messages)
            await self._check_quota(messages)
            positions = await self._publisher.store(messages, at)
        offsets: dict[int, int] = {}
        for message, position in zip(messages, positions, strict=True):
            offsets.setdefault(message.draft_index, position.offset)
            batch = LogBatch(message.partition, position.offset, at, message.events)
            self._caches[message.partition].add(batch, message.size_bytes)
        return list(offsets.values())

    async def _check_quota(self, messages: Sequence[OutgoingMessage]) -> None:
        """Check for room if the servers would store only the part of an append that fits."""
        if self._max_bytes and len(messages) > 1 and not self._publisher.atomic:
            size = sum(len(message.body) for message in messages)
            if await self.size_bytes() + size > self._max_bytes:
                raise StoreFull(
                    f"{self._label}: the log has reached its limit of {self._max_bytes} bytes;"
                    " raise BUSWAY_MAX_LOG_BYTES, or have the flows catch up"
                )

    async def _trim_to(self, partition: int, offset: int) -> int:
        """Delete batches that end at or before an offset; return the new base of the partition."""
        first = await self._reader.search(partition, lambda position: position.end > offset)
        if first is None:
            return await self._trim_all(partition, offset)
        await self._stream.purge(partition, first.seq)
        return first.offset

    async def _trim_all(self, partition: int, offset: int) -> int:
        """Delete everything except a message without events, which keeps the end.

        Concurrent appends of others stay, and then keep the end themselves.
        """
        last = await self._stream.last_message(partition)
        if last is None:
            return 0
        if last.position.end > offset:
            return await self._trim_to(partition, offset)
        await self._stream.purge(partition, last.position.seq)
        if not last.position.count:
            return last.position.end
        async with self._lock:
            (marker,) = await self._publisher.store(
                [end_marker(partition)], last.position.appended_at
            )
        is_next = marker.offset == last.position.end
        await self._stream.purge(partition, marker.seq if is_next else last.position.seq + 1)
        return last.position.end

    async def _find_base(self, partition: int) -> int:
        first = await self._reader.first_position(partition)
        if first is not None:
            return first.offset
        if end := self._index.ends.end(partition):
            raise self._missing_error(partition, end)
        return 0

    async def _contiguous(
        self, partition: int, offset: int, end: int, messages: Sequence[StoredMessage]
    ) -> Sequence[StoredMessage]:
        """Return the messages with events up to the first gap, which a trim may cause as well.

        ``offset`` is the wanted one, ``end`` that of the partition when the read began. Raises
        :class:`StoreCorrupted` if events are missing before the first message.
        """
        markers = list(itertools.takewhile(lambda message: not message.position.count, messages))
        batches = messages[len(markers) :]
        expected = max(offset, markers[-1].position.end) if markers else offset
        first = batches[0].position.offset if batches else end
        if first > expected:
            await self._wait_for_trim(partition, first)
        pairs = enumerate(itertools.pairwise(batches), 1)
        gaps = (n for n, (before, after) in pairs if before.position.end != after.position.offset)
        return batches[: next(gaps, len(batches))]

    async def _wait_for_trim(self, partition: int, offset: int) -> None:
        for pause_s in _TRIM_LAG_S:
            await asyncio.sleep(pause_s)
            if await self._find_base(partition) >= offset:
                return
        raise self._missing_error(partition, offset)

    def _check_consistent(self, partition: int) -> None:
        """Raise :class:`StoreCorrupted` if known offsets hold other events now."""
        if self._index.is_inconsistent(partition):
            raise StoreCorrupted(
                f"{self._label}, partition {partition}: events were deleted while this process"
                " runs, and others were appended at their offsets; restart it"
            )

    def _missing_error(self, partition: int, offset: int) -> StoreCorrupted:
        return StoreCorrupted(
            f"{self._label}, partition {partition}: events before offset {offset} are missing;"
            " a server lost them, or messages were deleted; restore the stream from a backup"
        )

    def _batches_within(
        self, partition: int, messages: Sequence[StoredMessage], max_bytes: int
    ) -> Sequence[LogBatch]:
        batches = (m.decode_batch(partition, self._label) for m in messages if m.position.count)
        return batches_within(
            (SizedBatch(batch, codec.size_bytes(batch.events)) for batch in batches), max_bytes
        )
