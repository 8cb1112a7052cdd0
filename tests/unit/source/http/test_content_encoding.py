"""Compressed bodies: work bounded by their size, and what is not whole is noticed."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
import zstandard

from busway.ports import RequestRefusal
from busway.source.http.content_encoding import decompress

MIB = 1024 * 1024
LIMIT = 16 * MIB
EMPTY_GZIP = gzip.compress(b"", mtime=0)
EMPTY_ZSTD = bytes.fromhex("28b52ffd2000010000")
SKIPPABLE = bytes.fromhex("502a4d1800000000")
NOISE = random.Random(1).randbytes(3 * MIB)
zstd = zstandard.ZstdCompressor(level=1).compress


def refusal(coding: str, body: bytes, limit: int = LIMIT) -> RequestRefusal:
    found = decompress(coding, body, limit)
    assert isinstance(found, RequestRefusal)
    return found


@pytest.mark.parametrize(
    ("coding", "member"), [("gzip", EMPTY_GZIP), ("zstd", EMPTY_ZSTD), ("zstd", SKIPPABLE)]
)
def test_a_body_of_tiny_members_is_refused(coding: str, member: bytes) -> None:
    assert "too many" in refusal(coding, member * (LIMIT // len(member))).detail
    assert decompress(coding, member * 900, LIMIT) == b""


@pytest.mark.parametrize("pad", [0, 1, 3_000])
def test_members_of_gzip_follow_one_another_with_padding(pad: int) -> None:
    blocks = [NOISE[at : at + 60_000] for at in range(0, len(NOISE), 60_000)]
    body = b"".join(gzip.compress(block, 1) + b"\0" * pad for block in blocks)
    assert decompress("gzip", body, LIMIT) == NOISE


def test_long_padding_is_skipped() -> None:
    assert decompress("gzip", gzip.compress(b"x") + b"\0" * LIMIT, LIMIT) == b"x"
    assert decompress("gzip", (gzip.compress(b"x") + b"\0" * 2_000) * 8_000, LIMIT) == b"x" * 8_000


def test_frames_of_zstd_follow_one_another() -> None:
    blocks = [NOISE[at : at + 60_000] for at in range(0, len(NOISE), 60_000)]
    assert decompress("zstd", b"".join(map(zstd, blocks)), LIMIT) == NOISE


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(NOISE, 1)),
        ("zstd", zstd(NOISE)),
        ("deflate", zlib.compress(NOISE, 1)),
    ],
)
def test_truncated_body_is_refused(coding: str, body: bytes) -> None:
    assert decompress(coding, body, LIMIT) == NOISE
    for cut in (1, 5, 1_000):
        assert "truncated" in refusal(coding, body[:-cut]).detail


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_a_bomb_is_never_inflated_beyond_the_limit(coding: str) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "zstd": zstd,
        "deflate": zlib.compress,
    }
    pack = packs[coding]
    assert decompress(coding, pack(b"\n" * MIB), MIB) == b"\n" * MIB
    assert refusal(coding, pack(b"\n" * (MIB + 1)), MIB).status == 413
    assert refusal(coding, pack(b"\n" * (64 * MIB)), MIB).status == 413
