"""The bytes of a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway import batch
from busway.errors import StoreDamaged, StoreTooNew


@given(st.lists(st.binary(max_size=300)))
def test_what_was_encoded_is_decoded(events: list[bytes]) -> None:
    assert batch.decode(bytes(batch.encode(events)), "here") == events


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
