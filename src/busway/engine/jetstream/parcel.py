"""What goes into one message, and at which place it is to be stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from busway import batch as codec
from busway.engine.jetstream.message import CODING, Spot, compressed
from busway.ports import Draft

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_PER_EVENT_BYTES = 5
_PER_MESSAGE_BYTES = 1_024
"""Room for the headers of a message and the head of a batch."""


class Parcel(msgspec.Struct, frozen=True):
    """Events that go into one message; ``draft`` is the number of the draft that they are of."""

    partition: int
    draft: int
    events: Sequence[bytes]
    size: int
    body: bytes
    coding: str = ""

    @property
    def count(self) -> int:
        return len(self.events)


class Sent(msgspec.Struct, frozen=True):
    """A parcel on its way to be the next of its partition behind the message ``after``.

    ``None`` stands for another one that is sent in one piece with it.
    """

    parcel: Parcel
    offset: int
    after: int | None
    id: str
    at: datetime

    def headers(self) -> dict[str, str]:
        found = self.spot(0).headers()
        if self.after is not None:
            found[_EXPECTED] = str(self.after)
        if self.parcel.coding:
            found[CODING] = self.parcel.coding
        return found

    def spot(self, seq: int) -> Spot:
        parcel = self.parcel
        return Spot(seq, self.offset, parcel.count, self.at, self.id, parcel.size)


def parcels(drafts: Sequence[Draft], max_payload: int, *, compress: bool) -> list[Parcel]:
    """Divide drafts into messages of at most ``max_payload`` bytes, one event at least in each."""
    found = []
    for number, draft in enumerate(drafts):
        for events in _portions(draft.events, max_payload - _PER_MESSAGE_BYTES):
            plain = bytes(codec.encode(events))
            body, coding = compressed(plain) if compress else (plain, "")
            size = codec.size(events)
            found.append(Parcel(draft.partition, number, events, size, body, coding))
    return found


def marker(partition: int) -> Parcel:
    """Return a parcel without events, to keep the place where a trimmed partition goes on."""
    return Parcel(partition, 0, (), 0, bytes(codec.encode([])))


def room_for(event_bytes: int) -> int:
    """Return the payload that a server must take for events of a size."""
    return event_bytes + _PER_EVENT_BYTES + _PER_MESSAGE_BYTES


def _portions(events: Sequence[bytes], max_bytes: int) -> Iterator[Sequence[bytes]]:
    if codec.size(events) + _PER_EVENT_BYTES * len(events) <= max_bytes:
        yield events
        return
    start = size = 0
    for index, event in enumerate(events):
        size += len(event) + _PER_EVENT_BYTES
        if size > max_bytes and index > start:
            yield events[start:index]
            start, size = index, len(event) + _PER_EVENT_BYTES
    yield events[start:]
