"""The bytes of a batch."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway import batch_codec
from busway.errors import StoreCorrupted, StoreTooNew


@given(st.lists(st.binary(max_size=300)))
def test_what_was_encoded_is_decoded(events: list[bytes]) -> None:
    assert batch_codec.decode_batch(bytes(batch_codec.encode_batch(events)), "here") == events


@given(st.lists(st.binary(max_size=300)), st.integers(1, 40))
def test_what_was_packed_is_decoded(events: list[bytes], times: int) -> None:
    assert (
        batch_codec.decode_batch(batch_codec.encode_compressed(events * times), "here")
        == events * times
    )


def test_what_is_alike_is_packed_small_and_what_is_small_stays() -> None:
    alike = [b'{"type":"order.created","n":%d}' % n for n in range(1000)]
    assert len(batch_codec.encode_compressed(alike)) < batch_codec.size_bytes(alike) / 3
    assert batch_codec.encode_compressed(alike[:3]) == batch_codec.encode_batch(alike[:3])


def test_the_format_stays_readable() -> None:
    written = bytes.fromhex("01000000020000001cd4f97e840cd68b92c40161c4026262")
    assert batch_codec.decode_batch(written, "here") == [b"a", b"bb"]
    assert bytes(batch_codec.encode_batch([b"a", b"bb"])) == written


@given(st.data())
def test_any_flipped_bit_is_seen(data: st.DataObject) -> None:
    body = batch_codec.encode_batch([b"first", b"second"])
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises((StoreCorrupted, StoreTooNew), match="partition 3, offset 42"):
        batch_codec.decode_batch(body, "partition 3, offset 42")


@given(st.data())
def test_a_flipped_bit_of_a_packed_body_is_seen_or_harmless(data: st.DataObject) -> None:
    events = [b"alike " * 200, b"alike " * 300]
    body = bytearray(batch_codec.encode_compressed(events))
    assert body[0] != batch_codec.FORMAT_VERSION
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(StoreCorrupted, StoreTooNew):
        # a zstd frame has a bit that means nothing
        assert batch_codec.decode_batch(body, "partition 3, offset 42") == events


def test_a_truncated_or_oversized_frame_is_damaged() -> None:
    packed = batch_codec.encode_compressed([b"alike " * 1000])
    for cut in (4, 5, 10, len(packed) - 1):
        with pytest.raises(StoreCorrupted, match="decompress"):
            batch_codec.decode_batch(packed[:cut], "here")
    claiming = b"\x28\xb5\x2f\xfd\xc0\x58" + (1 << 50).to_bytes(8, "little") + packed[6:]
    with pytest.raises(StoreCorrupted, match="decompress"):
        batch_codec.decode_batch(claiming, "here")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 20])
def test_a_truncated_body_is_damaged(length: int) -> None:
    with pytest.raises(StoreCorrupted, match="here"):
        batch_codec.decode_batch(batch_codec.encode_batch([b"first", b"second"])[:length], "here")


@pytest.mark.parametrize(("position", "value"), [(0, 2), (0, 255), (1, 1), (3, 1)])
def test_a_newer_version_or_flag_is_too_new(position: int, value: int) -> None:
    body = batch_codec.encode_batch([b"event"])
    body[position] = value
    with pytest.raises(StoreTooNew, match="upgrade"):
        batch_codec.decode_batch(body, "here")
