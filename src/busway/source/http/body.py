"""Readers of request bodies: of a known length, chunked, or discarded."""

from __future__ import annotations

import re

from busway.ports import RequestRefusal
from busway.source.refusal import bad_request, body_too_large

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")
_MAX_LINE = 1024
_MAX_TRAILERS = 8192
_FEW_CHUNKS, _SMALLEST_CHUNK = 4096, 16
"""This many chunks may have any size; beyond it chunks need this average size in bytes."""


class SizedBody:
    """Reads a body of ``length`` bytes."""

    __slots__ = ("_length", "_received")

    def __init__(self, length: int) -> None:
        self._length = length
        self._received = bytearray()

    @property
    def held_bytes(self) -> int:
        """Number of bytes in memory."""
        return len(self._received)

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Read bytes; return the bytes after the body once it is complete, ``None`` until then."""
        missing = self._length - len(self._received)
        self._received += data[:missing]
        return data[missing:] if len(data) >= missing else None

    def content(self) -> bytes:
        return bytes(self._received)


class ChunkedBody:
    """Reads a chunked body (RFC 9112, section 7.1) of at most ``limit`` bytes.

    Chunk extensions and trailers are dropped.
    """

    __slots__ = (
        "_buffer",
        "_chunk_count",
        "_chunk_left",
        "_is_complete",
        "_is_last_chunk",
        "_limit",
        "_position",
        "_received",
        "_trailer_bytes",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = bytearray()
        self._buffer = b""
        self._position = 0
        """Position in the buffered data at which reading continues."""
        self._chunk_left = 0
        """Missing bytes of the current chunk, including the line end after it."""
        self._is_last_chunk = self._is_complete = False
        self._trailer_bytes = self._chunk_count = 0

    @property
    def held_bytes(self) -> int:
        """Number of bytes in memory."""
        return len(self._received)

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Read bytes; return the bytes after the body once it is complete, ``None`` until then."""
        rest, self._position = self._buffer + data, 0
        progress: bool | RequestRefusal = True
        while progress is True and not self._is_complete:
            progress = self._read_data(rest) if self._chunk_left else self._read_line(rest)
        if isinstance(progress, RequestRefusal):
            return progress
        self._buffer = rest[self._position :]
        return self._buffer if self._is_complete else None

    def content(self) -> bytes:
        return bytes(self._received)

    def _read_data(self, rest: bytes) -> bool | RequestRefusal:
        piece = rest[self._position : self._position + self._chunk_left - 2]
        self._received += piece
        self._position += len(piece)
        self._chunk_left -= len(piece)
        if self._chunk_left > 2 or len(rest) < self._position + 2:
            return False
        if not rest.startswith(b"\r\n", self._position):
            return bad_request("a chunk is longer than its declared size")
        self._position += 2
        self._chunk_left = 0
        return True

    def _read_line(self, rest: bytes) -> bool | RequestRefusal:
        end = rest.find(b"\r\n", self._position)
        if (end if end >= 0 else len(rest)) - self._position > _MAX_LINE:
            return bad_request("a line between the chunks of the body is too long")
        if end < 0:
            return False
        line = rest[self._position : end]
        self._position = end + 2
        return self._read_trailer(line) if self._is_last_chunk else self._read_size_line(line)

    def _read_size_line(self, line: bytes) -> bool | RequestRefusal:
        size_line = _SIZE.fullmatch(line)
        if size_line is None:
            return bad_request(f"a chunk begins with {line[:40]!r}, which is not a chunk size")
        self._chunk_count += 1
        if self._chunk_count > _FEW_CHUNKS + len(self._received) // _SMALLEST_CHUNK:
            return bad_request("the chunks of the body are too small; send larger ones")
        size = int(size_line[1], 16)
        if size + len(self._received) > self._limit:
            return body_too_large(self._limit)
        self._is_last_chunk = not size
        self._chunk_left = size + 2 if size else 0
        return True

    def _read_trailer(self, line: bytes) -> bool | RequestRefusal:
        self._trailer_bytes += len(line) + 2
        self._is_complete = not line
        if self._trailer_bytes > _MAX_TRAILERS:
            return bad_request("the trailers of the body are too long")
        return True


class DiscardedBody:
    """Discards a body of ``length`` bytes."""

    __slots__ = ("_missing",)

    held_bytes = 0

    def __init__(self, length: int) -> None:
        self._missing = length

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Read bytes; return the bytes after the body once it is complete, ``None`` until then."""
        missing, self._missing = self._missing, max(0, self._missing - len(data))
        return data[missing:] if len(data) >= missing else None

    def content(self) -> bytes:
        return b""


Body = SizedBody | ChunkedBody | DiscardedBody
