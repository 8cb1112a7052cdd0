"""Which events of a reader the log has that its position does not cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import structlog

from busway.bus.dedupe import identity_digests
from busway.control.source.reader import AppendIntent
from busway.ports import Log, LogBatch

READ_BYTES = 4 * 1024 * 1024

_log = structlog.get_logger("busway")


class _Identity(msgspec.Struct, frozen=True, gc=False):
    id: str
    source: str


async def appended_since(log: Log, intent: AppendIntent, name: str) -> set[bytes]:
    """Return the identities of the events that were appended since an intent was written."""
    found: set[bytes] = set()
    for partition, start in enumerate(intent.ends):
        first, end = await log.bounds(partition)
        if first > start:
            _log.warning(
                "the log is trimmed beyond the position of a source; events of it may come twice",
                source=name,
                partition=partition,
                events=first - start,
            )
        offset = max(first, start)
        while offset < end:
            batches = await log.read(partition, offset, READ_BYTES)
            if not batches:
                break
            found.update(identity_digests(_identities(batches, offset, intent.sources)))
            offset = batches[-1].end
    return found


def _identities(
    batches: Sequence[LogBatch], offset: int, sources: Sequence[str]
) -> Iterator[_Identity]:
    for batch in batches:
        for raw in batch.events[max(offset - batch.offset, 0) :]:
            identity = _decode(raw)
            if not sources or identity.source in sources:
                yield identity


_decode = msgspec.json.Decoder(_Identity).decode
