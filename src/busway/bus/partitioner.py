"""The events of one commit: drops duplicates and sorts the others by partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from zlib import crc32

from busway.ports import AppendEnvelope, AppendReceipt, NewBatch


class Partitioner:
    """Gathers requests; ``group_number`` says where events without a key go, all of a group
    together.

    An event with a key goes to the partition of its key's CRC-32 modulo their number, for ever.

    ``known_digests`` are the identities, among those of the group, that were seen before it.
    """

    def __init__(self, partitions: int, group_number: int, known_digests: Set[bytes]) -> None:
        self._partitions = partitions
        self._keyless_partition = group_number % partitions
        self._known = known_digests
        self._batches: defaultdict[int, list[bytes]] = defaultdict(list)
        self.new_digests: set[bytes] = set()
        self.new_digests_in_order: list[bytes] = []
        """The identities of the new events, as a set and in order."""

    def add(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope], digests: Sequence[bytes]
    ) -> AppendReceipt:
        """Add a request and return its receipt if the commit succeeds."""
        new = set(digests)
        if self._known:
            new -= self._known
        new -= self.new_digests
        if len(new) == len(digests):
            self._assign(raws, envelopes)
        else:
            first = {one: index for index, one in reversed(list(enumerate(digests)))}
            kept = sorted(first[one] for one in new)
            self._assign([raws[i] for i in kept], [envelopes[i] for i in kept])
        self.new_digests |= new
        self.new_digests_in_order += new
        return AppendReceipt(len(new), len(digests) - len(new))

    def add_new(
        self,
        raws: Iterable[bytes],
        envelopes: Iterable[AppendEnvelope],
        order: list[bytes],
        fresh: set[bytes],
    ) -> None:
        """Add all events of a group, which are known to be new and different;
        ``new_digests_in_order`` and ``new_digests`` are their identities."""
        self._assign(raws, envelopes)
        self.new_digests_in_order, self.new_digests = order, fresh

    def _assign(self, raws: Iterable[bytes], envelopes: Iterable[AppendEnvelope]) -> None:
        drafts, keyless, count = self._batches, self._keyless_partition, self._partitions
        for raw, envelope in zip(raws, envelopes, strict=True):
            key = envelope.partitionkey or envelope.subject
            drafts[keyless if key is None else crc32(key.encode()) % count].append(raw)

    def batches(self) -> list[NewBatch]:
        """Return the new batches, one per partition."""
        return [NewBatch(partition, events) for partition, events in self._batches.items()]
