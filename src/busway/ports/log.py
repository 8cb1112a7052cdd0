"""The port of logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec


class NewBatch(msgspec.Struct, frozen=True):
    """Events for one partition, in order, each as the bytes of its JSON format."""

    partition: int
    events: Sequence[bytes]


class LogBatch(msgspec.Struct, frozen=True):
    """Events of one partition with consecutive offsets, as one append stored them."""

    partition: int
    offset: int
    appended_at: datetime
    events: Sequence[bytes]

    @property
    def end(self) -> int:
        """The offset after the last event."""
        return self.offset + len(self.events)


class PartitionBounds(NamedTuple):
    """The first offset that a partition keeps, and its end: the offset of the next event."""

    start: int
    end: int


class Log(Protocol):
    """Holds batches of events and nothing else. Safe for concurrent use by tasks of one loop.

    ``identity`` is permanent (a copy of the data has the same identity); ``partitions`` is fixed
    when the log is created. Offsets are dense: the n-th event of a partition has offset n. Only
    ``skip_to`` leaves a gap, in place of events that the log has lost.
    """

    @property
    def identity(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        """Store new batches, all or none, and return the offset of the first event of each.

        Durable when it returns: one fsync (cluster: a quorum) for all batches. One task at a time
        calls it; no batch is empty. After :class:`StoreFull` nothing is stored; after another
        :class:`StoreError` all, some or none of the batches may be stored.
        """
        ...

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        """Return whole batches, starting with the batch that holds ``offset``, if there is one.

        Further batches follow while they fit into ``max_bytes`` (an engine may stop after a
        thousand) and while each starts where the previous one ends: a read stops at a gap. For an
        ``offset`` that was trimmed or is in a gap, the read starts at the first kept offset after
        it. The first batch may start before ``offset``; the caller cuts it.

        Batches appended by another process may be missing until ``bounds`` or ``wait`` has
        reported them here, and batches trimmed by another process may be returned until ``bounds``
        has. If nothing is returned before the end that ``bounds`` reported, nothing is stored
        there. Raises :class:`StoreCorrupted` if a stored batch differs from what was written.
        """
        ...

    async def bounds(self, partition: int) -> PartitionBounds:
        """Return the bounds of a partition."""
        ...

    async def trim(self, partition: int, offset: int) -> int:
        """Delete batches that end at or before ``offset``.

        Returns by how many offsets the first kept one advances, gaps included.
        """
        ...

    async def skip_to(self, partition: int, offset: int) -> int:
        """Make ``offset`` the next offset if the partition ends before it; else do nothing.

        Returns the previous end of the partition. Kept events stay, followed by a gap; if no event
        is kept, ``offset`` becomes the first kept offset as well as the end. Durable when it
        returns; other processes may append or call it concurrently.
        """
        ...

    async def offset_at(self, partition: int, at: datetime) -> int:
        """Return the offset of the first kept batch appended at or after ``at``, or the end.

        If the clock was set back between batches, any batch that satisfies this and whose
        predecessor does not may be returned.
        """
        ...

    async def size_bytes(self) -> int:
        """Return the size of the log in bytes."""
        ...

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the partition ends after ``offset``; spurious returns are allowed."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class HasGeneration(Protocol):
    """A log that may lose events that were read, and give their offsets to other events."""

    @property
    def generation(self) -> int:
        """A number that changes whenever events may have been lost, before others are read."""
        ...


@runtime_checkable
class HasAppendTimes(Protocol):
    """A log that can cheaply report when an event was appended."""

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        """Return when the batch with this offset was appended, ``None`` if it is not kept."""
        ...
