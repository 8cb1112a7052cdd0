"""One commit's worth of events: duplicates out, the rest by partition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from zlib import crc32

from busway.ports import Addressed, Appended, Draft


class Grouping:
    """Gathers requests; ``turn`` says where events without a key go, all of a group together.

    An event with a key goes to the partition of its key's CRC-32 modulo their number, for ever.

    ``known`` are the identities, among those of the group, that were seen before it.
    """

    def __init__(self, partitions: int, turn: int, known: Set[bytes]) -> None:
        self._partitions = partitions
        self._keyless = turn % partitions
        self._known = known
        self._drafts: defaultdict[int, list[bytes]] = defaultdict(list)
        self.fresh: set[bytes] = set()
        self.order: list[bytes] = []
        """The identities of the events that are new, and the same as they came."""

    def take(
        self, raws: Sequence[bytes], envelopes: Sequence[Addressed], digests: Sequence[bytes]
    ) -> Appended:
        """Add one request and return what becomes of it when the commit succeeds."""
        new = set(digests)
        if self._known:
            new -= self._known
        new -= self.fresh
        if len(new) == len(digests):
            self._place(raws, envelopes)
        else:
            first = {one: index for index, one in reversed(list(enumerate(digests)))}
            kept = sorted(first[one] for one in new)
            self._place([raws[i] for i in kept], [envelopes[i] for i in kept])
        self.fresh |= new
        self.order += new
        return Appended(len(new), len(digests) - len(new))

    def take_new(
        self,
        raws: Iterable[bytes],
        envelopes: Iterable[Addressed],
        order: list[bytes],
        fresh: set[bytes],
    ) -> None:
        """Add all events of a group, which are known to be new and different; ``order`` and
        ``fresh`` are their identities."""
        self._place(raws, envelopes)
        self.order, self.fresh = order, fresh

    def _place(self, raws: Iterable[bytes], envelopes: Iterable[Addressed]) -> None:
        drafts, keyless, count = self._drafts, self._keyless, self._partitions
        for raw, envelope in zip(raws, envelopes, strict=True):
            key = envelope.partitionkey or envelope.subject
            drafts[keyless if key is None else crc32(key.encode()) % count].append(raw)

    def drafts(self) -> list[Draft]:
        """Return what is to be appended, one draft a partition."""
        return [Draft(partition, events) for partition, events in self._drafts.items()]
