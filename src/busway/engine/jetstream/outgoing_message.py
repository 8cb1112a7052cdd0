"""Messages to be published: their events, and the position at which they must be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from busway import batch_codec as codec
from busway.engine.jetstream.stored_message import (
    ENCODING_HEADER,
    BatchPosition,
    compress,
)
from busway.ports import NewBatch

_EXPECTED_SEQUENCE_HEADER = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_STREAM_HEADER = "Nats-Expected-Stream"
_BATCH_ID_HEADER = "Nats-Batch-Id"
_BATCH_SEQUENCE_HEADER = "Nats-Batch-Sequence"
_BATCH_COMMIT_HEADER = "Nats-Batch-Commit"
_PER_EVENT_BYTES = 5
_BACKGROUND_BYTES = 64 * 1024
_PER_MESSAGE_BYTES = 1_024
"""Room for the headers of a message and the head of a batch."""


class OutgoingMessage(msgspec.Struct, frozen=True):
    """The events of one message; ``draft_index`` is the number of the draft that they belong to."""

    partition: int
    draft_index: int
    events: Sequence[bytes]
    size_bytes: int
    body: bytes
    encoding: str = ""

    @property
    def count(self) -> int:
        return len(self.events)


class PlacedMessage(msgspec.Struct, frozen=True):
    """A message that must directly follow the message ``expected_seq`` of its partition.

    ``None``: it follows another message of the same atomic batch.
    """

    message: OutgoingMessage
    offset: int
    expected_seq: int | None
    message_id: str
    appended_at: datetime

    def to_headers(self, stream: str) -> dict[str, str]:
        """Return its headers, which keep any other stream from storing it."""
        headers = self.position(0).to_headers() | {_EXPECTED_STREAM_HEADER: stream}
        if self.expected_seq is not None:
            headers[_EXPECTED_SEQUENCE_HEADER] = str(self.expected_seq)
        if self.message.encoding:
            headers[ENCODING_HEADER] = self.message.encoding
        return headers

    def position(self, seq: int) -> BatchPosition:
        message = self.message
        return BatchPosition(
            seq, self.offset, message.count, self.appended_at, self.message_id, message.size_bytes
        )


def split_drafts(drafts: Sequence[NewBatch], max_payload: int) -> Sequence[OutgoingMessage]:
    """Split drafts into messages of at most ``max_payload`` bytes, with at least one event each."""
    return [
        OutgoingMessage(draft.partition, number, events, size, bytes(codec.encode_batch(events)))
        for number, draft in enumerate(drafts)
        for events, size in _split_events(draft.events, max_payload - _PER_MESSAGE_BYTES)
    ]


def compress_messages(messages: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
    """Return messages with compressed bodies, if those are smaller."""
    compressed = [compress(message.body) for message in messages]
    return [
        msgspec.structs.replace(message, body=body, encoding=encoding)
        for message, (body, encoding) in zip(messages, compressed, strict=True)
    ]


async def compress_in_background(messages: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
    """Do as :func:`compress_messages`, in a thread if there is much to compress."""
    if sum(len(message.body) for message in messages) < _BACKGROUND_BYTES:
        return compress_messages(messages)
    return await asyncio.to_thread(compress_messages, messages)


def end_marker(partition: int) -> OutgoingMessage:
    """Return a message without events, which keeps the end of a trimmed partition."""
    return OutgoingMessage(partition, 0, (), 0, bytes(codec.encode_batch([])))


def batch_headers(batch_id: str, sequence: int, *, is_last: bool = False) -> dict[str, str]:
    """Return the headers of a message in an atomic batch; ``sequence`` counts from 1."""
    headers = {_BATCH_ID_HEADER: batch_id, _BATCH_SEQUENCE_HEADER: str(sequence)}
    return headers | ({_BATCH_COMMIT_HEADER: "1"} if is_last else {})


def payload_bytes_for(event_bytes: int) -> int:
    """Return the payload that a server must accept for events of a size."""
    return event_bytes + _PER_EVENT_BYTES + _PER_MESSAGE_BYTES


def _split_events(events: Sequence[bytes], max_bytes: int) -> Iterator[tuple[Sequence[bytes], int]]:
    """Return events in parts that fit, each with the bytes of its events."""
    size = codec.size_bytes(events)
    if size + _PER_EVENT_BYTES * len(events) <= max_bytes:
        yield events, size
        return
    start = size = 0
    for index, event in enumerate(events):
        room = max_bytes - _PER_EVENT_BYTES * (index + 1 - start)
        if size + len(event) > room and index > start:
            yield events[start:index], size
            start, size = index, 0
        size += len(event)
    yield events[start:], size
