"""One batch as one message: what its headers say, and how it is found again."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec
import zstandard

from busway import batch as codec
from busway.errors import StoreDamaged, StoreTooNew
from busway.ports import Batch

OFFSET = "Busway-Offset"
COUNT = "Busway-Count"
AT = "Busway-At"
BYTES = "Busway-Bytes"
ID = "Busway-Id"
CODING = "Busway-Coding"
ZSTD = "zstd"
_SEQUENCE = "Nats-Sequence"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SMALL_BYTES = 1_024
_LEVEL = 1
_decompress = zstandard.ZstdDecompressor().decompress


def compressed(body: bytes) -> tuple[bytes, str]:
    """Return a body as it is sent, and the name of its coding: small ones stay as they are."""
    if len(body) < _SMALL_BYTES:
        return body, ""
    smaller = zstandard.compress(body, _LEVEL)  # may be asked in several threads
    return (smaller, ZSTD) if len(smaller) < len(body) else (body, "")


class Spot(msgspec.Struct, frozen=True):
    """Where a batch is: its sequence in the stream, and its offsets in the partition.

    One without events marks where a partition goes on after all of it was trimmed.
    """

    seq: int
    offset: int
    count: int
    at: datetime
    id: str
    size: int = 0
    """The bytes of its events."""

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
                int(found[BYTES]),
            )
        except (KeyError, ValueError) as error:
            raise StoreDamaged(
                f"{place}, message {found.get(_SEQUENCE, seq)}: Busway did not write it ({error});"
                " nothing else may publish there"
            ) from error

    def headers(self) -> dict[str, str]:
        """Return what is sent with its events."""
        return {
            OFFSET: str(self.offset),
            COUNT: str(self.count),
            AT: str((self.at - _EPOCH) // _MICROSECOND),
            ID: self.id,
            BYTES: str(self.size),
        }


class Message(msgspec.Struct, frozen=True):
    """A stored message, its body not looked at yet."""

    spot: Spot
    body: bytes
    coding: str = ""

    def batch(self, partition: int, place: str) -> Batch:
        """Return its batch; raises :class:`StoreDamaged` when it is not what was written."""
        spot = self.spot
        where = f"{place}, partition {partition}, offset {spot.offset}"
        events = codec.decode(self._plain(where), where)
        if len(events) != spot.count:
            raise StoreDamaged(f"{where}: {len(events)} events, not {spot.count}; restore a backup")
        return Batch(partition, spot.offset, spot.at, events)

    def _plain(self, where: str) -> bytes:
        if not self.coding:
            return self.body
        if self.coding != ZSTD:
            raise StoreTooNew(f"{where}: the coding {self.coding!r} is not known; upgrade Busway")
        try:
            return _decompress(self.body)
        except zstandard.ZstdError as error:
            raise StoreDamaged(f"{where}: it cannot be unpacked; restore a backup") from error


def from_base64(text: str) -> dict[str, str]:
    """Return the headers of a message that came as JSON."""
    lines = base64.b64decode(text).decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
