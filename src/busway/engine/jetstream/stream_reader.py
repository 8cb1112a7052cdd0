"""Read messages from whichever server has a copy, and find the one that is looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from nats.aio.msg import Msg

from busway.engine.jetstream.stored_message import (
    ENCODING_HEADER,
    BatchPosition,
    StoredMessage,
)
from busway.engine.jetstream.stream import LogStream
from busway.engine.jetstream.stream_index import StreamIndex

MAX_READ_MESSAGES = 1_000
_DIRECT_GET_SUBJECT = "$JS.API.DIRECT.GET"
_PENDING_HEADER = "Nats-Num-Pending"
_SUBJECT_HEADER = "Nats-Subject"


class StreamReader:
    """Reads by direct gets, which any replica answers.

    A replica may lag: it then has less, but no gaps. Where something must be there and is not, the
    leader is asked.
    """

    def __init__(self, stream: LogStream, index: StreamIndex) -> None:
        self._stream = stream
        self._index = index
        self._label = str(stream.connection.address)
        self._stored_ratio = 1.0
        """How many bytes the servers keep for one of an event, as it was seen last."""

    async def read(self, partition: int, seq: int, max_bytes: int) -> list[StoredMessage]:
        """Return messages from a sequence on: one, and more until they fill ``max_bytes``."""
        found: list[StoredMessage] = []
        left = max(max_bytes, 1)
        while len(found) < MAX_READ_MESSAGES:
            got, pending = await self._fetch(partition, seq, MAX_READ_MESSAGES - len(found), left)
            found += got
            left -= sum(message.position.size_bytes for message in got)
            if not got or not pending or left <= 0:
                break
            seq = found[-1].position.seq + 1
        while not found or not found[-1].position.count:
            # the replica that answered may not have come as far
            message = await self._stream.next_message(
                partition, found[-1].position.seq + 1 if found else seq
            )
            if message is None:
                break
            found.append(message)
        for message in found:
            self._index.record(partition, message.position)
        return found

    async def first_position(self, partition: int) -> BatchPosition | None:
        """Return the first kept batch of a partition, as the leader has it."""
        message = await self._stream.next_message(partition, 1)
        return None if message is None else message.position

    async def locate(self, partition: int, offset: int) -> int:
        """Return a sequence at or after which the batch with an offset is the partition's next.

        For an offset that was trimmed it is that of the first kept batch.
        """
        lower, upper = self._index.sequence_range(partition, offset)
        if lower == upper:
            return lower
        found = await self.search(partition, lambda spot: spot.end > offset, lower, upper)
        return upper if found is None else found.seq

    async def search(
        self, partition: int, holds: Callable[[BatchPosition], bool], lower: int = 1, upper: int = 0
    ) -> BatchPosition | None:
        """Return the first batch of a partition at which ``holds`` begins to hold, by halving."""
        if not upper:
            last = await self._stream.last_message(partition)
            if last is None:
                return None
            self._index.record(partition, last.position)
            upper = last.position.seq
        upper += 1
        best: BatchPosition | None = None
        while lower < upper:
            middle = (lower + upper) // 2
            message = await self._next(partition, middle, upper)
            if message is None:
                upper = middle
            elif holds(message.position):
                best, upper = message.position, middle
            else:
                lower = message.position.seq + 1
        return best

    async def refresh_ends(self, partitions: int, last_seq: int) -> None:
        """Take in the last batch of each partition, once the stream has come to ``last_seq``."""
        wanted = {"multi_last": [self._stream.subject(n) for n in range(partitions)]}
        found, pending = await self._direct_get(wanted)
        spots = {_partition(message): self._decode(message).position for message in found}
        if pending or max((spot.seq for spot in spots.values()), default=0) < last_seq:
            asked = [await self._stream.last_message(partition) for partition in range(partitions)]
            spots = {n: message.position for n, message in enumerate(asked) if message is not None}
        for partition, spot in spots.items():
            self._index.record(partition, spot)

    async def _next(self, partition: int, seq: int, before: int) -> StoredMessage | None:
        """Return the first message from a sequence on, unless it is not before another one."""
        found, _ = await self._fetch(partition, seq, 1, 0)
        message = found[0] if found else await self._stream.next_message(partition, seq)
        return message if message is not None and message.position.seq < before else None

    async def _fetch(
        self, partition: int, seq: int, count: int, max_bytes: int
    ) -> tuple[list[StoredMessage], int]:
        wanted = {
            "seq": seq,
            "next_by_subj": self._stream.subject(partition),
            "batch": count,
            "max_bytes": max(int(max_bytes * self._stored_ratio), 1),
        }
        answers, pending = await self._direct_get(wanted)
        found = [self._decode(message) for message in answers]
        if found:
            stored = sum(len(message.body) for message in found)
            self._stored_ratio = min(
                stored / max(sum(one.position.size_bytes for one in found), 1), 1.0
            )
        return found, pending

    def _decode(self, message: Msg) -> StoredMessage:
        headers = message.headers or {}
        return StoredMessage(
            BatchPosition.from_headers(headers, self._label),
            message.data,
            headers.get(ENCODING_HEADER, ""),
        )

    async def _direct_get(self, wanted: dict[str, Any]) -> tuple[list[Msg], int]:
        """Return the messages, and how many more there are."""
        body = msgspec.json.encode(wanted)
        subject = f"{_DIRECT_GET_SUBJECT}.{self._stream.name}"
        *found, end = await self._stream.connection.request_repeatedly(subject, body, many=True)
        return found, int((end.headers or {}).get(_PENDING_HEADER, "0"))


def _partition(message: Msg) -> int:
    return int((message.headers or {})[_SUBJECT_HEADER].rpartition(".")[2])
