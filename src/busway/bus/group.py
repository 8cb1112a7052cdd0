"""One commit's worth of events: duplicates out, the rest by partition."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from busway.bus.recent import Recent, digest
from busway.ports import Addressed, Appended, Draft


class _Identity(msgspec.Struct):
    id: str
    source: str


_decode_identity = msgspec.json.Decoder(_Identity).decode


def identity(raw: bytes) -> bytes:
    """Return the digest of the identity of an event in its JSON format."""
    found = _decode_identity(raw)
    return digest(found.source, found.id)


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key: its CRC-32 modulo their number, the same for ever."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % partitions


class Grouping:
    """Gathers requests; ``turn`` says where events without a key go, all of a group together."""

    def __init__(self, partitions: int, turn: int, recent: Recent) -> None:
        self._partitions = partitions
        self._keyless = turn % partitions
        self._recent = recent
        self._drafts: defaultdict[int, list[bytes]] = defaultdict(list)
        self.fresh: set[bytes] = set()
        """The identities of the events that are new."""

    def take(self, raws: Sequence[bytes], envelopes: Sequence[Addressed]) -> Appended:
        """Add one request and return what becomes of it when the commit succeeds."""
        digests = [digest(e.source, e.id) for e in envelopes]
        new = set(digests) - self._recent.find(digests) - self.fresh
        if len(new) == len(digests):
            self._place(raws, envelopes)
        else:
            first = {one: index for index, one in reversed(list(enumerate(digests)))}
            kept = sorted(first[one] for one in new)
            self._place([raws[i] for i in kept], [envelopes[i] for i in kept])
        self.fresh |= new
        return Appended(len(new), len(digests) - len(new))

    def _place(self, raws: Sequence[bytes], envelopes: Sequence[Addressed]) -> None:
        for raw, envelope in zip(raws, envelopes, strict=True):
            key = envelope.partitionkey or envelope.subject
            if key is None:
                self._drafts[self._keyless].append(raw)
            else:
                self._drafts[partition_of(key, self._partitions)].append(raw)

    def drafts(self) -> list[Draft]:
        """Return what is to be appended, one draft a partition."""
        return [Draft(partition, events) for partition, events in self._drafts.items()]
