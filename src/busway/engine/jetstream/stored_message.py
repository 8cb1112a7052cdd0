"""A stored message holds one batch: its headers give the position, its body the events."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec
import zstandard

from busway import batch_codec as codec
from busway.errors import StoreCorrupted, StoreTooNew
from busway.ports import LogBatch

OFFSET_HEADER = "Busway-Offset"
COUNT_HEADER = "Busway-Count"
APPENDED_AT_HEADER = "Busway-Appended-At"
SIZE_HEADER = "Busway-Size"
ID_HEADER = "Busway-Message-Id"
ENCODING_HEADER = "Busway-Encoding"
ZSTD = "zstd"
_SEQUENCE_HEADER = "Nats-Sequence"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MIN_COMPRESSED_BYTES = 1_024
_COMPRESSION_LEVEL = 1
_decompress = zstandard.ZstdDecompressor().decompress


def compress(body: bytes) -> tuple[bytes, str]:
    """Return a body, compressed if that makes it smaller, and the name of its encoding."""
    if len(body) < _MIN_COMPRESSED_BYTES:
        return body, ""
    smaller = zstandard.compress(body, _COMPRESSION_LEVEL)  # thread-safe, unlike a ZstdCompressor
    return (smaller, ZSTD) if len(smaller) < len(body) else (body, "")


class BatchPosition(msgspec.Struct, frozen=True):
    """The position of a batch: its sequence in the stream, and its offsets in the partition.

    A batch without events marks the end of a partition that was trimmed or skipped ahead.
    """

    seq: int
    offset: int
    count: int
    appended_at: datetime
    message_id: str
    size_bytes: int = 0
    """The bytes of its events."""

    @property
    def end(self) -> int:
        return self.offset + self.count

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], label: str, seq: int = 0) -> Self:
        """Read the headers of a stored message.

        Raises :class:`StoreCorrupted` for a message that Busway did not write.
        """
        try:
            return cls(
                seq or int(headers[_SEQUENCE_HEADER]),
                int(headers[OFFSET_HEADER]),
                int(headers[COUNT_HEADER]),
                _EPOCH + int(headers[APPENDED_AT_HEADER]) * _MICROSECOND,
                headers[ID_HEADER],
                int(headers[SIZE_HEADER]),
            )
        except (KeyError, ValueError) as error:
            raise StoreCorrupted(
                f"{label}, message {headers.get(_SEQUENCE_HEADER, seq)}: Busway did not write"
                f" it ({error}); nothing else may publish there"
            ) from error

    def to_headers(self) -> dict[str, str]:
        """Return the headers of its message."""
        return {
            OFFSET_HEADER: str(self.offset),
            COUNT_HEADER: str(self.count),
            APPENDED_AT_HEADER: str((self.appended_at - _EPOCH) // _MICROSECOND),
            ID_HEADER: self.message_id,
            SIZE_HEADER: str(self.size_bytes),
        }


class StoredMessage(msgspec.Struct, frozen=True):
    """A stored message with its encoded body."""

    position: BatchPosition
    body: bytes
    encoding: str = ""

    def decode_batch(self, partition: int, label: str) -> LogBatch:
        """Return its batch; raises :class:`StoreCorrupted` if it is not what was written."""
        position = self.position
        location = f"{label}, partition {partition}, offset {position.offset}"
        events = codec.decode_batch(self._decompressed(location), location)
        if len(events) != position.count:
            raise StoreCorrupted(
                f"{location}: {len(events)} events, not {position.count}; restore a backup"
            )
        return LogBatch(partition, position.offset, position.appended_at, events)

    def _decompressed(self, location: str) -> bytes:
        if not self.encoding:
            return self.body
        if self.encoding != ZSTD:
            raise StoreTooNew(f"{location}: unknown encoding {self.encoding!r}; upgrade Busway")
        try:
            return _decompress(self.body)
        except zstandard.ZstdError as error:
            raise StoreCorrupted(
                f"{location}: it cannot be decompressed; restore a backup"
            ) from error


def decode_headers(text: str) -> dict[str, str]:
    """Return the headers of a message from a JSON response."""
    lines = base64.b64decode(text).decode("utf-8", "replace").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip(): value.strip() for name, _, value in pairs}
