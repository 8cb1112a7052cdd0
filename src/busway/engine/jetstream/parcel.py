"""What goes into one message, and at which place it is to be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from busway import batch as codec
from busway.engine.jetstream.message import CODING, Spot, compressed
from busway.ports import Draft

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_STREAM = "Nats-Expected-Stream"
_PER_EVENT_BYTES = 5
_MUCH_BYTES = 64 * 1024
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

    def headers(self, stream: str) -> dict[str, str]:
        """Return what is sent with it, so that no other stream takes it."""
        found = self.spot(0).headers() | {_STREAM: stream}
        if self.after is not None:
            found[_EXPECTED] = str(self.after)
        if self.parcel.coding:
            found[CODING] = self.parcel.coding
        return found

    def spot(self, seq: int) -> Spot:
        parcel = self.parcel
        return Spot(seq, self.offset, parcel.count, self.at, self.id, parcel.size)


def parcels(drafts: Sequence[Draft], max_payload: int) -> Sequence[Parcel]:
    """Divide drafts into messages of at most ``max_payload`` bytes, one event at least in each."""
    return [
        Parcel(draft.partition, number, events, size, bytes(codec.encode(events)))
        for number, draft in enumerate(drafts)
        for events, size in _portions(draft.events, max_payload - _PER_MESSAGE_BYTES)
    ]


def packed(made: Sequence[Parcel]) -> Sequence[Parcel]:
    """Return parcels with the smaller ones of their bodies, packed or not."""
    return [
        msgspec.structs.replace(one, body=body, coding=coding)
        for one, (body, coding) in ((one, compressed(one.body)) for one in made)
    ]


async def packed_aside(made: Sequence[Parcel]) -> Sequence[Parcel]:
    """Return what :func:`packed` does; while it is much, the loop goes on."""
    if sum(len(one.body) for one in made) < _MUCH_BYTES:
        return packed(made)
    return await asyncio.to_thread(packed, made)


def marker(partition: int) -> Parcel:
    """Return a parcel without events, to keep the place where a trimmed partition goes on."""
    return Parcel(partition, 0, (), 0, bytes(codec.encode([])))


def room_for(event_bytes: int) -> int:
    """Return the payload that a server must take for events of a size."""
    return event_bytes + _PER_EVENT_BYTES + _PER_MESSAGE_BYTES


def _portions(events: Sequence[bytes], max_bytes: int) -> Iterator[tuple[Sequence[bytes], int]]:
    """Return events in portions that fit, each with the bytes of its events."""
    size = codec.size(events)
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
