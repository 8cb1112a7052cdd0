"""An index of the partitions in memory: their ends, and the sequences of offsets."""

from __future__ import annotations

from bisect import bisect_right, insort

from busway.engine.jetstream.stored_message import BatchPosition
from busway.engine.partition_end import PartitionEnds

_MAX_POSITIONS = 2_048
"""How many positions of batches are kept for each partition."""


class StreamIndex:
    """Records the position of every known batch; ends never go backwards.

    If the stream does, the index of the partition is inconsistent.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.ends = PartitionEnds([0] * partitions)
        self._inconsistent: set[int] = set()
        self._last_positions: list[BatchPosition | None] = [None] * partitions
        self._indexes: list[_PartitionIndex] = [_PartitionIndex() for _ in range(partitions)]

    def last_position(self, partition: int) -> BatchPosition | None:
        """Return the position of the last known batch of a partition, ``None`` if there is none."""
        return self._last_positions[partition]

    def is_inconsistent(self, partition: int) -> bool:
        """Return whether recorded positions contradict each other: offsets were reused."""
        return partition in self._inconsistent

    def record(self, partition: int, position: BatchPosition) -> None:
        """Record the position of a batch; a later one than the last known advances the end."""
        if position.count:
            self._indexes[partition].add(position)
        last = self._last_positions[partition]
        if last is not None and not _are_consistent(position, last):
            self._inconsistent.add(partition)
        if last is None or position.seq > last.seq:
            self._last_positions[partition] = position
            self.ends.advance(partition, position.end)

    def sequence_range(self, partition: int, offset: int) -> tuple[int, int]:
        """Return a lower and an upper bound of the sequence of the batch with an offset.

        If the two are equal, it is the first batch of its partition at or after that sequence;
        otherwise it is between them, the upper bound included; an upper bound of 0 is unknown.
        """
        return self._indexes[partition].sequence_range(offset)


def _are_consistent(first: BatchPosition, second: BatchPosition) -> bool:
    """Return whether two messages of a partition can both be in the stream."""
    if first.seq == second.seq:
        return first.message_id == second.message_id
    before, after = (first, second) if first.seq < second.seq else (second, first)
    return before.end <= after.offset


class _PartitionIndex:
    """Positions of batches by their offsets; the oldest entries are removed first."""

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
