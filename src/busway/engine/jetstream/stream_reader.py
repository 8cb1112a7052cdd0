"""Read messages from any server with a copy, and search for messages."""

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
    """Reads with direct gets, which any replica answers.

    A replica may lag: then it has fewer messages, but no gaps. If a message that must exist is
    missing, the reader asks the leader.
    """

    def __init__(self, stream: LogStream, index: StreamIndex) -> None:
        self._stream = stream
        self._index = index
        self._label = str(stream.connection.address)
        self._stored_ratio = 1.0
        """How many bytes the servers store for a byte of an event, in the last read."""

    async def read(self, partition: int, seq: int, max_bytes: int) -> list[StoredMessage]:
        """Return messages from a sequence on: one, and more until they fill ``max_bytes``."""
        messages: list[StoredMessage] = []
        remaining = max(max_bytes, 1)
        while len(messages) < MAX_READ_MESSAGES:
            count = MAX_READ_MESSAGES - len(messages)
            fetched, pending = await self._fetch(partition, seq, count, remaining)
            messages += fetched
            remaining -= sum(message.position.size_bytes for message in fetched)
            if not fetched or not pending or remaining <= 0:
                break
            seq = messages[-1].position.seq + 1
        while not messages or not messages[-1].position.count:
            # the replica that answered may lag
            message = await self._stream.next_message(
                partition, messages[-1].position.seq + 1 if messages else seq
            )
            if message is None:
                break
            messages.append(message)
        for message in messages:
            self._index.record(partition, message.position)
        return messages

    async def first_position(self, partition: int) -> BatchPosition | None:
        """Return the position of the first batch of a partition, from the leader."""
        message = await self._stream.next_message(partition, 1)
        return None if message is None else message.position

    async def locate(self, partition: int, offset: int) -> int:
        """Return a sequence from which on the batch with an offset is the first of its partition.

        For a trimmed offset it is that of the first batch.
        """
        lower, upper = self._index.sequence_range(partition, offset)
        if lower == upper:
            return lower
        first = await self.search(partition, lambda batch: batch.end > offset, lower, upper)
        return upper if first is None else first.seq

    async def search(
        self, partition: int, holds: Callable[[BatchPosition], bool], lower: int = 1, upper: int = 0
    ) -> BatchPosition | None:
        """Return the first batch of a partition for which ``holds`` is true, by binary search."""
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
        """Record the last batch of each partition, as of sequence ``last_seq`` or later."""
        query = {"multi_last": [self._stream.subject(n) for n in range(partitions)]}
        replies, pending = await self._direct_get(query)
        positions = {_partition(reply): self._decode(reply).position for reply in replies}
        if pending or max((last.seq for last in positions.values()), default=0) < last_seq:
            messages = [await self._stream.last_message(number) for number in range(partitions)]
            positions = {n: message.position for n, message in enumerate(messages) if message}
        for partition, position in positions.items():
            self._index.record(partition, position)

    async def _next(self, partition: int, seq: int, before: int) -> StoredMessage | None:
        """Return the first message from a sequence on, if it is before another sequence."""
        messages, _ = await self._fetch(partition, seq, 1, 0)
        message = messages[0] if messages else await self._stream.next_message(partition, seq)
        return message if message is not None and message.position.seq < before else None

    async def _fetch(
        self, partition: int, seq: int, count: int, max_bytes: int
    ) -> tuple[list[StoredMessage], int]:
        query = {
            "seq": seq,
            "next_by_subj": self._stream.subject(partition),
            "batch": count,
            "max_bytes": max(int(max_bytes * self._stored_ratio), 1),
        }
        replies, pending = await self._direct_get(query)
        messages = [self._decode(reply) for reply in replies]
        if messages:
            stored_bytes = sum(len(message.body) for message in messages)
            event_bytes = sum(message.position.size_bytes for message in messages)
            self._stored_ratio = min(stored_bytes / max(event_bytes, 1), 1.0)
        return messages, pending

    def _decode(self, message: Msg) -> StoredMessage:
        headers = message.headers or {}
        return StoredMessage(
            BatchPosition.from_headers(headers, self._label),
            message.data,
            headers.get(ENCODING_HEADER, ""),
        )

    async def _direct_get(self, query: dict[str, Any]) -> tuple[list[Msg], int]:
        """Return the messages, and the number of further ones."""
        body = msgspec.json.encode(query)
        subject = f"{_DIRECT_GET_SUBJECT}.{self._stream.name}"
        *replies, end = await self._stream.connection.request_repeatedly(subject, body, many=True)
        return replies, int((end.headers or {}).get(_PENDING_HEADER, "0"))


def _partition(message: Msg) -> int:
    return int((message.headers or {})[_SUBJECT_HEADER].rpartition(".")[2])
