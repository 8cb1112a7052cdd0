"""What Busway asks of a log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

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


class Log(Protocol):
    """Holds events, in batches, and nothing else. Safe for concurrent use by tasks of one loop.

    ``identity`` names this log for ever (a copy of its data has the same one); ``partitions`` is
    fixed when the log is made. Offsets are dense: the n-th event of a partition has offset n. Only
    ``skip_to`` leaves a hole, in the place of events that the log has lost.
    """

    @property
    def identity(self) -> str: ...

    @property
    def partitions(self) -> int: ...

    async def append(self, new_batches: Sequence[NewBatch], at: datetime) -> Sequence[int]:
        """Store the drafts, all or none, and return the offset of the first event of each.

        Durable when it returns: one fsync (cluster: a quorum) for all of them. Called by one task
        at a time; no draft is empty. Raises :class:`StoreFull`, and then nothing is stored; after
        another :class:`StoreError` all of them, or a part, may be stored or not.
        """
        ...

    async def read(self, partition: int, offset: int, max_bytes: int) -> Sequence[LogBatch]:
        """Return whole batches from the one that holds ``offset``, at least one where there is one.

        Further batches follow while they fit ``max_bytes`` (an engine may stop after a thousand)
        and each begins where the one before ends: not beyond a hole. A trimmed ``offset``, or one
        in a hole, reads from the first kept one after it. The first batch may begin before
        ``offset``; the caller cuts it. What another process appended may be left out until
        ``bounds`` or ``wait`` has told of it here, what it trimmed may be found until ``bounds``
        has. Where nothing is found before the end that ``bounds`` told, there is nothing.
        Raises :class:`StoreCorrupted` when a stored batch is not what was written.
        """
        ...

    async def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first kept offset and the end (the offset that the next event will get)."""
        ...

    async def trim(self, partition: int, offset: int) -> int:
        """Forget batches that end at or before ``offset``.

        Returns by how many offsets the first kept one moves on: what went, and holes.
        """
        ...

    async def skip_to(self, partition: int, offset: int) -> int:
        """Have the next event get ``offset`` where the partition ends before it, else do nothing.

        Returns where the partition ended. What is kept stays, and has a hole behind it; where
        nothing is kept, ``offset`` is the first kept one as well as the end. Durable when it
        returns; others may append, or ask for the same, meanwhile.
        """
        ...

    async def offset_at(self, partition: int, at: datetime) -> int:
        """Return the offset of the first kept batch appended at or after ``at``, or the end.

        Where the clock was set back between batches, it may be any batch at which that begins to
        hold.
        """
        ...

    async def size_bytes(self) -> int:
        """Return what the log takes up."""
        ...

    async def wait(self, partition: int, offset: int) -> None:
        """Return once the end of the partition is beyond ``offset``; it may return too early."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class HasGeneration(Protocol):
    """A log that may lose what was read from it, and give the offsets to other events."""

    @property
    def generation(self) -> int:
        """Changes whenever what was read before may not be there, and before others are read."""
        ...


@runtime_checkable
class HasAppendTimes(Protocol):
    """A log that can tell at little cost when an event came."""

    async def appended_at(self, partition: int, offset: int) -> datetime | None:
        """Return when the batch with this offset was appended, ``None`` where it is not kept."""
        ...
