"""What is known of the partitions: where each ends, and at which sequence an offset is."""

from __future__ import annotations

from bisect import bisect_right, insort

from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.partition_end import PartitionEnds

_MAX_POSITIONS = 2_048
"""The places of batches that are remembered for each partition."""


class StreamIndex:
    """Takes in every batch that is seen; nothing in it goes backwards.

    Where the stream has, all that is known of the partition here is in doubt.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.ends = PartitionEnds([0] * partitions)
        self._inconsistent: set[int] = set()
        self._last_positions: list[BatchPosition | None] = [None] * partitions
        self._indexes: list[_PartitionIndex] = [_PartitionIndex() for _ in range(partitions)]

    def last_position(self, partition: int) -> BatchPosition | None:
        """Return the last batch of a partition, ``None`` while none was seen."""
        return self._last_positions[partition]

    def is_inconsistent(self, partition: int) -> bool:
        """Say whether what was seen cannot all be there: offsets, or places, were given again."""
        return partition in self._inconsistent

    def record(self, partition: int, position: BatchPosition) -> None:
        """Take in where a batch is; a later one than was known moves the end on."""
        if position.count:
            self._indexes[partition].add(position)
        last = self._last_positions[partition]
        if last is not None and not _are_consistent(position, last):
            self._inconsistent.add(partition)
        if last is None or position.seq > last.seq:
            self._last_positions[partition] = position
            self.ends.advance(partition, position.end)

    def sequence_range(self, partition: int, offset: int) -> tuple[int, int]:
        """Return between which sequences the batch with an offset begins.

        The first of its partition at or after the lower one is it where the two are the same;
        otherwise it is between them, the upper one included; 0 is "not known" for the upper one.
        """
        return self._indexes[partition].sequence_range(offset)


def _are_consistent(first: BatchPosition, second: BatchPosition) -> bool:
    """Say whether two messages of a partition can both be in the stream."""
    if first.seq == second.seq:
        return first.message_id == second.message_id
    before, after = (first, second) if first.seq < second.seq else (second, first)
    return before.end <= after.offset


class _PartitionIndex:
    """Places of batches by their offsets; the ones added first go first."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._positions: dict[int, BatchPosition] = {}

    def add(self, position: BatchPosition) -> None:
        if position.offset not in self._positions:
            insort(self._offsets, position.offset)
            if len(self._positions) >= _MAX_POSITIONS:
                self._remove(next(iter(self._positions)))
        self._positions[position.offset] = position

    def sequence_range(self, offset: int) -> tuple[int, int]:
        index = bisect_right(self._offsets, offset)
        upper = self._positions[self._offsets[index]].seq if index < len(self._offsets) else 0
        if not index:
            return 1, upper
        before = self._positions[self._offsets[index - 1]]
        if offset < before.end:
            return before.seq, before.seq
        return (before.seq + 1,) * 2 if offset == before.end else (before.seq + 1, upper)

    def _remove(self, offset: int) -> None:
        del self._positions[offset]
        del self._offsets[bisect_right(self._offsets, offset) - 1]
