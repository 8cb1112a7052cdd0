"""How the events of one batch are written as bytes, the same in every log.

::

    0   1 byte   version of this format: 1
    1   1 byte   flags, all 0 in version 1 (room for events encrypted under keys of their own)
    2   2 bytes  0
    4   4 bytes  number of events
    8   8 bytes  XXH3-64 of the rest, seeded with the 8 bytes above as one integer
    16  the events: a MessagePack array of ``bin``

Integers are little-endian. A log may pack a body: it then is one zstd frame around that, and begins
with the byte 0x28, which is no version.
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
"""A body that is smaller is not worth packing."""
_MAX_BODY_BYTES = 1 << 30
"""What a body cannot be: a frame that claims to hold more is damaged."""
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
    """Return the body of a batch, packed where that makes it smaller."""
    body = bytes(encode_batch(events))
    if len(body) < _MIN_COMPRESSED_BYTES:
        return body
    packed = _compress(body)
    return packed if len(packed) < len(body) else body


def decode_batch(body: bytes | bytearray, place: str) -> list[bytes]:
    """Return the events of a body, packed or not; ``place`` says in errors where it came from.

    Raises :class:`StoreTooNew` for a version or flags from the future, :class:`StoreCorrupted` when
    the bytes are not what was written.
    """
    if body.startswith(_FRAME):
        body = _decompressed(body, place)
    if len(body) < _HEADER.size:
        raise StoreCorrupted(f"{place}: the batch is cut short; restore the log from a backup")
    lead, checksum = _HEADER.unpack_from(body)
    if lead & 0xFF > FORMAT_VERSION or (lead & 0xFF == FORMAT_VERSION and lead & 0xFFFFFF00):
        raise StoreTooNew(f"{place}: a newer Busway wrote the batch; upgrade this one")
    payload = memoryview(body)[_HEADER.size :]
    if lead & 0xFF != FORMAT_VERSION or _checksum(payload, lead) != checksum:
        raise StoreCorrupted(f"{place}: the checksum does not fit; restore the log from a backup")
    return _unpack(payload)


def _decompressed(body: bytes | bytearray, place: str) -> bytes:
    try:
        if 0 <= zstandard.frame_content_size(body) <= _MAX_BODY_BYTES:
            return _decompress(body)
    except zstandard.ZstdError:
        pass
    raise StoreCorrupted(f"{place}: the batch cannot be unpacked; restore the log from a backup")


def size_bytes(events: Sequence[bytes]) -> int:
    """Return how many bytes the events are, as ``max_bytes`` of a read counts them."""
    return sum(map(len, events))
