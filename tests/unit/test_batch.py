"""The bytes of a batch."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway import batch
from busway.errors import StoreDamaged, StoreTooNew


@given(st.lists(st.binary(max_size=300)))
def test_what_was_encoded_is_decoded(events: list[bytes]) -> None:
    assert batch.decode(bytes(batch.encode(events)), "here") == events


@given(st.lists(st.binary(max_size=300)), st.integers(1, 40))
def test_what_was_packed_is_decoded(events: list[bytes], times: int) -> None:
    assert batch.decode(batch.pack(events * times), "here") == events * times


def test_what_is_alike_is_packed_small_and_what_is_small_stays() -> None:
    alike = [b'{"type":"order.created","n":%d}' % n for n in range(1000)]
    assert len(batch.pack(alike)) < batch.size(alike) / 3
    assert batch.pack(alike[:3]) == batch.encode(alike[:3])


def test_the_format_stays_readable() -> None:
    written = bytes.fromhex("01000000020000001cd4f97e840cd68b92c40161c4026262")
    assert batch.decode(written, "here") == [b"a", b"bb"]
    assert bytes(batch.encode([b"a", b"bb"])) == written


@given(st.data())
def test_any_flipped_bit_is_seen(data: st.DataObject) -> None:
    body = batch.encode([b"first", b"second"])
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with pytest.raises((StoreDamaged, StoreTooNew), match="partition 3, offset 42"):
        batch.decode(body, "partition 3, offset 42")


@given(st.data())
def test_a_flipped_bit_of_a_packed_body_is_seen_or_harmless(data: st.DataObject) -> None:
    events = [b"alike " * 200, b"alike " * 300]
    body = bytearray(batch.pack(events))
    assert body[0] != batch.VERSION
    bit = data.draw(st.integers(0, len(body) * 8 - 1))
    body[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(StoreDamaged, StoreTooNew):
        # a zstd frame has a bit that means nothing
        assert batch.decode(body, "partition 3, offset 42") == events


def test_a_packed_body_that_is_cut_or_claims_too_much_is_damaged() -> None:
    packed = batch.pack([b"alike " * 1000])
    for cut in (4, 5, 10, len(packed) - 1):
        with pytest.raises(StoreDamaged, match="unpacked"):
            batch.decode(packed[:cut], "here")
    claiming = b"\x28\xb5\x2f\xfd\xc0\x58" + (1 << 50).to_bytes(8, "little") + packed[6:]
    with pytest.raises(StoreDamaged, match="unpacked"):
        batch.decode(claiming, "here")


@pytest.mark.parametrize("length", [0, 1, 15, 16, 20])
def test_a_cut_body_is_damaged(length: int) -> None:
    with pytest.raises(StoreDamaged, match="here"):
        batch.decode(batch.encode([b"first", b"second"])[:length], "here")


@pytest.mark.parametrize(("position", "value"), [(0, 2), (0, 255), (1, 1), (3, 1)])
def test_a_newer_version_or_flag_is_too_new(position: int, value: int) -> None:
    body = batch.encode([b"event"])
    body[position] = value
    with pytest.raises(StoreTooNew, match="upgrade"):
        batch.decode(body, "here")
