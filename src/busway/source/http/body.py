"""The body of a request on its way in: of a known length, or chunked."""

from __future__ import annotations

import re

from busway.ports import RequestRefusal
from busway.source.http.problem import bad_request, body_too_large

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")
_MAX_LINE = 1024
_MAX_TRAILERS = 8192
_FEW_CHUNKS, _SMALLEST_CHUNK = 4096, 16
"""So many chunks may be as small as they like, more of them have this size in bytes on average."""


class SizedBody:
    """Takes ``length`` bytes."""

    __slots__ = ("_length", "_received")

    def __init__(self, length: int) -> None:
        self._length = length
        self._received = bytearray()

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return len(self._received)

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Take bytes; return what is left over when the body is complete, ``None`` until then."""
        missing = self._length - len(self._received)
        self._received += data[:missing]
        return data[missing:] if len(data) >= missing else None

    def content(self) -> bytes:
        return bytes(self._received)


class ChunkedBody:
    """Takes chunks (RFC 9112, section 7.1) of ``limit`` bytes together; drops extensions and
    trailers."""

    __slots__ = (
        "_at",
        "_chunks",
        "_complete",
        "_last",
        "_left",
        "_limit",
        "_received",
        "_rest",
        "_trailers",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._received = bytearray()
        self._rest = b""
        self._at = 0
        """Where in the rest reading goes on."""
        self._left = 0
        """Bytes of the current chunk and of the line end after it that are still to come."""
        self._last = self._complete = False
        self._trailers = self._chunks = 0

    @property
    def size(self) -> int:
        """How many bytes are held."""
        return len(self._received)

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Take bytes; return what is left over when the body is complete, ``None`` until then."""
        rest, self._at = self._rest + data, 0
        going: bool | RequestRefusal = True
        while going is True and not self._complete:
            going = self._data(rest) if self._left else self._line(rest)
        if isinstance(going, RequestRefusal):
            return going
        self._rest = rest[self._at :]
        return self._rest if self._complete else None

    def content(self) -> bytes:
        return bytes(self._received)

    def _data(self, rest: bytes) -> bool | RequestRefusal:
        piece = rest[self._at : self._at + self._left - 2]
        self._received += piece
        self._at += len(piece)
        self._left -= len(piece)
        if self._left > 2 or len(rest) < self._at + 2:
            return False
        if not rest.startswith(b"\r\n", self._at):
            return bad_request("a chunk is longer than it says")
        self._at += 2
        self._left = 0
        return True

    def _line(self, rest: bytes) -> bool | RequestRefusal:
        end = rest.find(b"\r\n", self._at)
        if (end if end >= 0 else len(rest)) - self._at > _MAX_LINE:
            return bad_request("a line between the chunks of the body is too long")
        if end < 0:
            return False
        line = rest[self._at : end]
        self._at = end + 2
        return self._trailer(line) if self._last else self._size_line(line)

    def _size_line(self, line: bytes) -> bool | RequestRefusal:
        found = _SIZE.fullmatch(line)
        if found is None:
            return bad_request(f"a chunk begins with {line[:40]!r}, which is not its size")
        self._chunks += 1
        if self._chunks > _FEW_CHUNKS + len(self._received) // _SMALLEST_CHUNK:
            return bad_request("the chunks of the body are too small; send larger ones")
        size = int(found[1], 16)
        if size + len(self._received) > self._limit:
            return body_too_large(self._limit)
        self._last = not size
        self._left = size + 2 if size else 0
        return True

    def _trailer(self, line: bytes) -> bool | RequestRefusal:
        self._trailers += len(line) + 2
        self._complete = not line
        if self._trailers > _MAX_TRAILERS:
            return bad_request("the trailers of the body are too long")
        return True


class SkippedBody:
    """Lets ``length`` bytes pass that nobody wants."""

    __slots__ = ("_missing",)

    size = 0

    def __init__(self, length: int) -> None:
        self._missing = length

    def feed(self, data: bytes) -> bytes | RequestRefusal | None:
        """Take bytes; return what is left over when the body is complete, ``None`` until then."""
        missing, self._missing = self._missing, max(0, self._missing - len(data))
        return data[missing:] if len(data) >= missing else None

    def content(self) -> bytes:
        return b""


Body = SizedBody | ChunkedBody | SkippedBody
