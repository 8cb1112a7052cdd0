"""Content encodings: decompress request bodies up to a limit, never beyond it.

The work is bounded by the size of the body: members and frames are read in pieces of growing size,
so that the rest of the body is not copied for each of them, and their number is limited to what a
block-wise compressor produces.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import zstandard

from busway.ports import RequestRefusal
from busway.source.refusal import body_too_large, malformed_body

ACCEPTED_ENCODINGS = "gzip, zstd, deflate"
_MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""The largest window that RFC 9659 allows for the zstd content encoding."""
_FEW_MEMBERS, _SMALLEST_MEMBER = 1_000, 1_024
"""This many members may have any size; beyond it members need this average size in bytes."""
_FIRST_PIECE_BYTES, _MAX_PIECE_BYTES = 256, 1024 * 1024
_PADDING = re.compile(rb"\0*")
_ZSTD_FRAMES = (zstandard.FRAME_HEADER, b"\x2a\x4d\x18")
"""Magic numbers of frames and, in part, of skippable frames."""


class _TooManyMembers(Exception):
    """The body has too many members for its size."""


def decompress(encoding: str, body: bytes, max_bytes: int) -> bytes | RequestRefusal:
    """Return the decompressed body, at most ``max_bytes`` long.

    ``encoding`` is ``gzip``, ``zstd`` or ``deflate``.
    """
    try:
        content = (
            _decompress_zstd(body, max_bytes)
            if encoding == "zstd"
            else _decompress_zlib(encoding, body, max_bytes)
        )
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        return malformed_body(f"the body is not valid {encoding}: {error}")
    except _TooManyMembers:
        return malformed_body(
            f"the body has too many {encoding} members for its size; compress it as one"
        )
    return body_too_large(max_bytes, "the body, decompressed,") if content is None else content


def _max_members(body: bytes) -> int:
    return _FEW_MEMBERS + len(body) // _SMALLEST_MEMBER


def _decompress_zlib(encoding: str, body: bytes, limit: int) -> bytes | None:
    bits = 31 if encoding == "gzip" else _deflate_bits(body)
    out = bytearray()
    position = members = 0
    while position < len(body):
        members += 1
        if members > _max_members(body):
            raise _TooManyMembers
        member = _decompress_member(bits, body, position, limit + 1 - len(out))
        if member is None:
            return None
        content, position = member
        out += content
        if len(out) > limit:
            return None
        position = _PADDING.match(body, position).end()  # type: ignore[union-attr]  # it always matches
        if position < len(body) and encoding == "deflate":
            raise EOFError("there is data after its end")
    return bytes(out)


def _decompress_member(
    bits: int, body: bytes, position: int, max_bytes: int
) -> tuple[bytes, int] | None:
    """Return the content of one member and its end; ``None`` if it reaches ``max_bytes``."""
    stream = zlib.decompressobj(bits)
    out = bytearray()
    size = _FIRST_PIECE_BYTES
    while not stream.eof:
        piece = stream.unconsumed_tail or body[position : position + size]
        position += 0 if stream.unconsumed_tail else len(piece)
        if not piece:
            raise EOFError("it is truncated")
        out += stream.decompress(piece, max_bytes - len(out))
        if len(out) >= max_bytes:
            return None
        size = min(2 * size, _MAX_PIECE_BYTES)
    return bytes(out), position - len(stream.unused_data)


def _deflate_bits(body: bytes) -> int:
    """Return the window bits: zlib's format (RFC 9110), or the raw stream of some clients."""
    zlib_format = body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return 15 if zlib_format else -15


def _decompress_zstd(body: bytes, limit: int) -> bytes | None:
    if sum(map(body.count, _ZSTD_FRAMES)) > _max_members(body):
        raise _TooManyMembers
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    with decompressor.stream_reader(body, read_across_frames=True) as reader:
        content = reader.read(limit + 1)
    if len(content) > limit:
        return None
    _check_complete(decompressor.decompressobj, body)
    return content


def _check_complete(start_frame: Callable[[], zstandard.ZstdDecompressionObj], body: bytes) -> None:
    """Raise :class:`EOFError` for a truncated frame, which the stream reader does not notice."""
    position = 0
    while position < len(body):
        frame, size = start_frame(), _FIRST_PIECE_BYTES
        while not frame.eof:
            piece = body[position : position + size]
            if not piece:
                raise EOFError("it is truncated")
            frame.decompress(piece)
            position += len(piece)
            size = min(2 * size, _MAX_PIECE_BYTES)
        position -= len(frame.unused_data)
