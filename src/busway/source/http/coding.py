"""Content codings: bodies that came compressed, inflated up to a limit and never beyond it."""

from __future__ import annotations

import zlib

import zstandard

from busway.source.http.problem import Refusal, body_too_large, malformed

ACCEPTED = "gzip, zstd, deflate"
_MAX_WINDOW = 8 * 1024 * 1024
"""What RFC 9659 lets a zstd content coding ask for."""


def inflate(coding: str, body: bytes, limit: int) -> bytes | Refusal:
    """Return the body without its coding (``gzip``, ``zstd`` or ``deflate``), of ``limit`` bytes
    at most."""
    try:
        plain = _zstd(body, limit) if coding == "zstd" else _zlib(coding, body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        return malformed(f"the body is not valid {coding}: {error}")
    return body_too_large(limit, "the body, decompressed,") if plain is None else plain


def _zlib(coding: str, body: bytes, limit: int) -> bytes | None:
    bits = 31 if coding == "gzip" else _deflate_bits(body)
    out = bytearray()
    while body:
        stream = zlib.decompressobj(bits)
        out += stream.decompress(body, limit + 1 - len(out))
        if len(out) > limit:
            return None
        if not stream.eof:
            raise EOFError("it ends too early")
        body = stream.unused_data.lstrip(b"\0")
        if body and coding == "deflate":
            raise EOFError("something follows it")
    return bytes(out)


def _deflate_bits(body: bytes) -> int:
    """Tell zlib's format, which RFC 9110 means, from the bare stream, which some senders send."""
    zlib_format = body[:1] and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return 15 if zlib_format else -15


def _zstd(body: bytes, limit: int) -> bytes | None:
    engine = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with engine.stream_reader(body, read_across_frames=True) as reader:
        plain = reader.read(limit + 1)
    if len(plain) > limit:
        return None
    _check_frames(engine, body)
    return plain


def _check_frames(engine: zstandard.ZstdDecompressor, body: bytes) -> None:
    """The reader takes a stream that stops in the middle for its end; this one notices."""
    while body:
        frame = engine.decompressobj()
        frame.decompress(body)
        if not frame.eof:
            raise EOFError("it ends too early")
        body = frame.unused_data
