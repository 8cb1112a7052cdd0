"""One batch as one message: what its headers say, and how it is found again."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

from busway import batch as codec
from busway.errors import StoreDamaged
from busway.ports import Batch

OFFSET = "Busway-Offset"
COUNT = "Busway-Count"
AT = "Busway-At"
ID = "Busway-Id"
_SEQUENCE = "Nats-Sequence"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def headers(offset: int, count: int, at: datetime, identity: str) -> dict[str, str]:
    """Return the headers of a message that holds a batch."""
    microseconds = (at - _EPOCH) // _MICROSECOND
    return {OFFSET: str(offset), COUNT: str(count), AT: str(microseconds), ID: identity}


class Spot(msgspec.Struct, frozen=True):
    """Where a batch is: its sequence in the stream, and its offsets in the partition.

    One without events marks where a partition goes on after all of it was trimmed.
    """

    seq: int
    offset: int
    count: int
    at: datetime
    id: str

    @property
    def end(self) -> int:
        return self.offset + self.count

    @classmethod
    def of(cls, found: Mapping[str, str], place: str, seq: int = 0) -> Self:
        """Read the headers of a stored message.

        Raises :class:`StoreDamaged` for one that Busway did not write.
        """
        try:
            return cls(
                seq or int(found[_SEQUENCE]),
                int(found[OFFSET]),
                int(found[COUNT]),
                _EPOCH + int(found[AT]) * _MICROSECOND,
                found[ID],
            )
        except (KeyError, ValueError) as error:
            raise StoreDamaged(
                f"{place}, message {found.get(_SEQUENCE, seq)}: Busway did not write it ({error});"
                " nothing else may publish there"
            ) from error


class Message(msgspec.Struct, frozen=True):
    """A stored message, its body not looked at yet."""

    spot: Spot
    body: bytes

    def batch(self, partition: int, place: str) -> Batch:
        """Return its batch; raises :class:`StoreDamaged` when it is not what was written."""
        spot = self.spot
        where = f"{place}, partition {partition}, offset {spot.offset}"
        events = codec.decode(self.body, where)
        if len(events) != spot.count:
            raise StoreDamaged(f"{where}: {len(events)} events, not {spot.count}; restore a backup")
        return Batch(partition, spot.offset, spot.at, events)


def from_base64(text: str) -> dict[str, str]:
    """Return the headers of a message that came as JSON."""
    lines = base64.b64decode(text).decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
