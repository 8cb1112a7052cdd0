"""What is known of the partitions: where each ends, and at which sequence an offset is."""

from __future__ import annotations

from bisect import bisect_right, insort

from busway.engine.jetstream.message import Spot
from busway.engine.tail import Tail

_KEPT = 2_048
"""The places of batches that are remembered for each partition."""


class Chart:
    """Takes in every batch that is seen; nothing in it goes backwards.

    Where the stream has, all that is known of the partition here is in doubt.
    """

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.tail = Tail([0] * partitions)
        self._went_back: set[int] = set()
        self._last: list[Spot | None] = [None] * partitions
        self._kept: list[_Kept] = [_Kept() for _ in range(partitions)]

    def last(self, partition: int) -> Spot | None:
        """Return the last batch of a partition, ``None`` while none was seen."""
        return self._last[partition]

    def went_back(self, partition: int) -> bool:
        """Say whether what was seen cannot all be there: offsets, or places, were given again."""
        return partition in self._went_back

    def note(self, partition: int, spot: Spot) -> None:
        """Take in where a batch is; a later one than was known moves the end on."""
        if spot.count:
            self._kept[partition].add(spot)
        last = self._last[partition]
        if last is not None and not _fit(spot, last):
            self._went_back.add(partition)
        if last is None or spot.seq > last.seq:
            self._last[partition] = spot
            self.tail.advance(partition, spot.end)

    def around(self, partition: int, offset: int) -> tuple[int, int]:
        """Return between which sequences the batch with an offset begins.

        The first of its partition at or after the lower one is it where the two are the same;
        otherwise it is between them, the upper one included; 0 is "not known" for the upper one.
        """
        return self._kept[partition].around(offset)


def _fit(one: Spot, other: Spot) -> bool:
    """Say whether two messages of a partition can both be in the stream."""
    if one.seq == other.seq:
        return one.id == other.id
    before, after = (one, other) if one.seq < other.seq else (other, one)
    return before.end <= after.offset


class _Kept:
    """Places of batches by their offsets; the ones added first go first."""

    def __init__(self) -> None:
        self._offsets: list[int] = []
        self._spots: dict[int, Spot] = {}

    def add(self, spot: Spot) -> None:
        if spot.offset not in self._spots:
            insort(self._offsets, spot.offset)
            if len(self._spots) >= _KEPT:
                self._forget(next(iter(self._spots)))
        self._spots[spot.offset] = spot

    def around(self, offset: int) -> tuple[int, int]:
        index = bisect_right(self._offsets, offset)
        upper = self._spots[self._offsets[index]].seq if index < len(self._offsets) else 0
        if not index:
            return 1, upper
        before = self._spots[self._offsets[index - 1]]
        if offset < before.end:
            return before.seq, before.seq
        return (before.seq + 1,) * 2 if offset == before.end else (before.seq + 1, upper)

    def _forget(self, offset: int) -> None:
        del self._spots[offset]
        del self._offsets[bisect_right(self._offsets, offset) - 1]
