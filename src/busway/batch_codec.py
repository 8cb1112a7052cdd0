"""The binary format of a batch of events, the same in every log.

::

    0   1 byte   version of this format: 1
    1   1 byte   flags, all 0 in version 1 (reserved for events with their own encryption keys)
    2   2 bytes  0
    4   4 bytes  number of events
    8   8 bytes  XXH3-64 of the events, seeded with the first 8 bytes as one integer
    16  the events: a MessagePack array of ``bin``

Integers are little-endian. A log may compress a body: then it is one zstd frame, which starts with
the byte 0x28, not a version.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
import xxhash
import zstandard

from busway.errors import StoreCorrupted, StoreTooNew

FORMAT_VERSION = 1
_HEADER = struct.Struct("<QQ")
_pack_into = msgspec.msgpack.Encoder().encode_into
_unpack = msgspec.msgpack.Decoder(list[bytes]).decode
_checksum = xxhash.xxh3_64_intdigest
_FRAME = zstandard.FRAME_HEADER
_MIN_COMPRESSED_BYTES = 1024
"""A smaller body is not worth compressing."""
_MAX_BODY_BYTES = 1 << 30
"""The maximum size of a body: a frame that claims to be larger is damaged."""
_compress = zstandard.ZstdCompressor(level=1).compress
_decompress = zstandard.ZstdDecompressor().decompress


def encode_batch(events: Sequence[bytes]) -> bytearray:
    """Return the body of a batch."""
    body = bytearray(_HEADER.size + size_bytes(events) + 5 * len(events) + 5)
    _pack_into(events, body, _HEADER.size)
    lead = FORMAT_VERSION | len(events) << 32
    _HEADER.pack_into(body, 0, lead, _checksum(memoryview(body)[_HEADER.size :], lead))
    return body


def encode_compressed(events: Sequence[bytes]) -> bytes:
    """Return the body of a batch, compressed if that makes it smaller."""
    body = bytes(encode_batch(events))
    if len(body) < _MIN_COMPRESSED_BYTES:
        return body
    packed = _compress(body)
    return packed if len(packed) < len(body) else body


def decode_batch(body: bytes | bytearray, place: str) -> list[bytes]:
    """Return the events of a body, compressed or not; ``place`` is its location, for errors.

    Raises :class:`StoreTooNew` for an unknown version or flags, :class:`StoreCorrupted` if the
    bytes differ from what was written.
    """
    if body.startswith(_FRAME):
        body = _decompressed(body, place)
    if len(body) < _HEADER.size:
        raise StoreCorrupted(f"{place}: the batch is truncated; restore the log from a backup")
    lead, checksum = _HEADER.unpack_from(body)
    if lead & 0xFF > FORMAT_VERSION or (lead & 0xFF == FORMAT_VERSION and lead & 0xFFFFFF00):
        raise StoreTooNew(f"{place}: a newer version of Busway wrote the batch; upgrade Busway")
    payload = memoryview(body)[_HEADER.size :]
    if lead & 0xFF != FORMAT_VERSION or _checksum(payload, lead) != checksum:
        raise StoreCorrupted(f"{place}: the checksum does not match; restore the log from a backup")
    return _unpack(payload)


def _decompressed(body: bytes | bytearray, place: str) -> bytes:
    try:
        if 0 <= zstandard.frame_content_size(body) <= _MAX_BODY_BYTES:
            return _decompress(body)
    except zstandard.ZstdError:
        pass
    raise StoreCorrupted(f"{place}: cannot decompress the batch; restore the log from a backup")


def size_bytes(events: Sequence[bytes]) -> int:
    """Return the size of the events, as ``max_bytes`` of a read counts it."""
    return sum(map(len, events))
