"""Bodies that are made to cost much are refused for little."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from busway.ports import DecodedEvents, RequestRefusal
from busway.source.decode import decode_array, decode_ndjson
from intake_client import event

LARGE = 4_000_000
Reading = Callable[[bytes, int], DecodedEvents | RequestRefusal]


def refused_for_little(read: Reading, body: bytes) -> None:
    tracemalloc.start()
    found = read(body, LARGE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, RequestRefusal)
    assert found.status == 400
    assert peak < LARGE


@pytest.mark.parametrize("piece", [b"\n", b"\r\n", b"1\n", b"{}\n", b" \n"])
def test_millions_of_lines(piece: bytes) -> None:
    refused_for_little(decode_ndjson, piece * (LARGE // len(piece)))


@pytest.mark.parametrize("piece", [b"1,", b"{},", b"null,", b"[],"])
def test_millions_of_elements(piece: bytes) -> None:
    refused_for_little(decode_array, b"[" + piece * (LARGE // len(piece)) + b"1]")


def test_counting_bad_events_comes_to_an_end() -> None:
    body = b'{"specversion":"1.0","id":"1"}\n' * 20_000
    found = decode_ndjson(body, LARGE)
    assert isinstance(found, RequestRefusal)
    assert found.detail == "at least 10000 of 20000 events rejected; none was stored"
    assert (len(found.faults), found.more) == (100, 9900)


def test_short_events_and_some_blank_lines_are_fine() -> None:
    least = b'{"specversion":"1.0","id":"1","source":"s","type":"t"}\n'
    found = decode_ndjson(least * 30_000 + b"\n" * 30_000, LARGE)
    assert isinstance(found, DecodedEvents)
    assert len(found.raws) == 30_000


def test_large_batches_are_read() -> None:
    body = b"[" + b",".join(event(n) for n in range(20_000)) + b"]"
    found = decode_array(body, LARGE)
    assert isinstance(found, DecodedEvents)
    assert found.raws[19_999] == event(19_999)
