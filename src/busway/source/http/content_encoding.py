"""Content codings: bodies that came compressed, inflated up to a limit and never beyond it.

The work is bounded by the size of the body: members and frames are read in pieces that grow with
them, so that none is copied again for each that follows, and there may not be more of them than a
sender who packs a file in blocks makes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

import zstandard

from busway.ports import RequestRefusal
from busway.source.problem import body_too_large, malformed_body

ACCEPTED_ENCODINGS = "gzip, zstd, deflate"
_MAX_WINDOW_BYTES = 8 * 1024 * 1024
"""What RFC 9659 lets a zstd content coding ask for."""
_FEW_MEMBERS, _SMALLEST_MEMBER = 1_000, 1_024
"""So many members may be as small as they like, more of them have this size in bytes on average."""
_FIRST_PIECE_BYTES, _MAX_PIECE_BYTES = 256, 1024 * 1024
_PADDING = re.compile(rb"\0*")
_ZSTD_FRAMES = (zstandard.FRAME_HEADER, b"\x2a\x4d\x18")
"""What a frame, and one that is to be skipped, has at its beginning."""


class _TooManyMembers(Exception):
    """There are more members than a body of its size has."""


def decompress(encoding: str, body: bytes, max_bytes: int) -> bytes | RequestRefusal:
    """Return the body without its coding (``gzip``, ``zstd`` or ``deflate``), of ``max_bytes``
    bytes at most."""
    try:
        plain = (
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
    return body_too_large(max_bytes, "the body, decompressed,") if plain is None else plain


def _max_members(body: bytes) -> int:
    return _FEW_MEMBERS + len(body) // _SMALLEST_MEMBER


def _decompress_zlib(coding: str, body: bytes, limit: int) -> bytes | None:
    bits = 31 if coding == "gzip" else _deflate_bits(body)
    out = bytearray()
    at = members = 0
    while at < len(body):
        members += 1
        if members > _max_members(body):
            raise _TooManyMembers
        found = _decompress_member(bits, body, at, limit + 1 - len(out))
        if found is None:
            return None
        plain, at = found
        out += plain
        if len(out) > limit:
            return None
        at = _PADDING.match(body, at).end()  # type: ignore[union-attr]  # it always matches
        if at < len(body) and coding == "deflate":
            raise EOFError("something follows it")
    return bytes(out)


def _decompress_member(bits: int, body: bytes, at: int, room: int) -> tuple[bytes, int] | None:
    """Return what one member holds and where it ends; ``None`` when it is more than ``room``."""
    stream = zlib.decompressobj(bits)
    out = bytearray()
    size = _FIRST_PIECE_BYTES
    while not stream.eof:
        piece = stream.unconsumed_tail or body[at : at + size]
        at += 0 if stream.unconsumed_tail else len(piece)
        if not piece:
            raise EOFError("it ends too early")
        out += stream.decompress(piece, room - len(out))
        if len(out) >= room:
            return None
        size = min(2 * size, _MAX_PIECE_BYTES)
    return bytes(out), at - len(stream.unused_data)


def _deflate_bits(body: bytes) -> int:
    """Tell zlib's format, which RFC 9110 means, from the bare stream, which some senders send."""
    zlib_format = body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return 15 if zlib_format else -15


def _decompress_zstd(body: bytes, limit: int) -> bytes | None:
    if sum(map(body.count, _ZSTD_FRAMES)) > _max_members(body):
        raise _TooManyMembers
    engine = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    with engine.stream_reader(body, read_across_frames=True) as reader:
        plain = reader.read(limit + 1)
    if len(plain) > limit:
        return None
    _check_complete(engine.decompressobj, body)
    return plain


def _check_complete(begin: Callable[[], zstandard.ZstdDecompressionObj], body: bytes) -> None:
    """The reader takes a stream that stops in the middle for its end; this one notices."""
    at = 0
    while at < len(body):
        frame, size = begin(), _FIRST_PIECE_BYTES
        while not frame.eof:
            piece = body[at : at + size]
            if not piece:
                raise EOFError("it ends too early")
            frame.decompress(piece)
            at += len(piece)
            size = min(2 * size, _MAX_PIECE_BYTES)
        at -= len(frame.unused_data)
