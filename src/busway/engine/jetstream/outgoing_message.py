"""What goes into one message, and at which place it is to be stored."""

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
_PER_EVENT_BYTES = 5
_BACKGROUND_BYTES = 64 * 1024
_PER_MESSAGE_BYTES = 1_024
"""Room for the headers of a message and the head of a batch."""


class OutgoingMessage(msgspec.Struct, frozen=True):
    """Events that go into one message; ``draft_index`` is the number of the draft that they are
    of."""

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
    """A parcel on its way to be the next of its partition behind the message ``expected_seq``.

    ``None`` stands for another one that is sent in one piece with it.
    """

    message: OutgoingMessage
    offset: int
    expected_seq: int | None
    message_id: str
    appended_at: datetime

    def to_headers(self, stream: str) -> dict[str, str]:
        """Return what is sent with it, so that no other stream takes it."""
        found = self.position(0).to_headers() | {_EXPECTED_STREAM_HEADER: stream}
        if self.expected_seq is not None:
            found[_EXPECTED_SEQUENCE_HEADER] = str(self.expected_seq)
        if self.message.encoding:
            found[ENCODING_HEADER] = self.message.encoding
        return found

    def position(self, seq: int) -> BatchPosition:
        parcel = self.message
        return BatchPosition(
            seq, self.offset, parcel.count, self.appended_at, self.message_id, parcel.size_bytes
        )


def split_drafts(drafts: Sequence[NewBatch], max_payload: int) -> Sequence[OutgoingMessage]:
    """Divide drafts into messages of at most ``max_payload`` bytes, one event at least in each."""
    return [
        OutgoingMessage(draft.partition, number, events, size, bytes(codec.encode_batch(events)))
        for number, draft in enumerate(drafts)
        for events, size in _split_events(draft.events, max_payload - _PER_MESSAGE_BYTES)
    ]


def compress_messages(messages: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
    """Return parcels with the smaller ones of their bodies, packed or not."""
    return [
        msgspec.structs.replace(one, body=body, encoding=coding)
        for one, (body, coding) in ((one, compress(one.body)) for one in messages)
    ]


async def compress_in_background(messages: Sequence[OutgoingMessage]) -> Sequence[OutgoingMessage]:
    """Return what :func:`compress_messages` does; while it is much, the loop goes on."""
    if sum(len(one.body) for one in messages) < _BACKGROUND_BYTES:
        return compress_messages(messages)
    return await asyncio.to_thread(compress_messages, messages)


def end_marker(partition: int) -> OutgoingMessage:
    """Return a parcel without events, to keep the place where a trimmed partition goes on."""
    return OutgoingMessage(partition, 0, (), 0, bytes(codec.encode_batch([])))


def payload_bytes_for(event_bytes: int) -> int:
    """Return the payload that a server must take for events of a size."""
    return event_bytes + _PER_EVENT_BYTES + _PER_MESSAGE_BYTES


def _split_events(events: Sequence[bytes], max_bytes: int) -> Iterator[tuple[Sequence[bytes], int]]:
    """Return events in portions that fit, each with the bytes of its events."""
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
