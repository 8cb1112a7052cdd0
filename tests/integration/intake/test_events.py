"""What is taken, in every mode and coding; what is answered with 202 is stored as it came."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
import zstandard

from busway.event import Event
from intake_client import BATCHED, NDJSON, STRUCTURED, Desk, chunked, event, request


async def test_structured_event_is_stored_as_it_came(desk: Desk) -> None:
    body = b'{ "specversion" : "1.0",\n "id":"1","source":"/a","type":"t","data" : {"x":1.50} }'
    answer = await desk.ask(request(b"\n " + body + b"\n"))
    assert (answer.status, answer.json) == (202, {"accepted": 1, "duplicates": 0})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["date"].endswith("GMT")
    assert desk.intake.raws == [body]


async def test_duplicates_are_counted(desk: Desk) -> None:
    body = b"\n".join([event(1), event(2), event(1)])
    answer = await desk.ask(request(body, NDJSON))
    assert answer.json == {"accepted": 2, "duplicates": 1}


async def test_batch_keeps_the_bytes_of_each_event(desk: Desk) -> None:
    first, second = b'{"id":"1","specversion":"1.0","source":"/a","type":"t"}', event(2)
    answer = await desk.ask(request(b"[ " + first + b" ,\n" + second + b"]", BATCHED))
    assert answer.json == {"accepted": 2, "duplicates": 0}
    assert desk.intake.raws == [first, second]


@pytest.mark.parametrize("kind", [BATCHED, "application/json"])
async def test_empty_batch_is_taken(desk: Desk, kind: str) -> None:
    answer = await desk.ask(request(b"[]", kind))
    assert (answer.status, answer.json) == (202, {"accepted": 0, "duplicates": 0})


async def test_lines_are_events_and_blank_lines_nothing(desk: Desk) -> None:
    body = b"\n" + event(1) + b"\r\n  \n\r\n" + event(2) + b"\n\n" + event(3)
    answer = await desk.ask(request(body, NDJSON))
    assert answer.json == {"accepted": 3, "duplicates": 0}
    assert desk.intake.raws == [event(1), event(2), event(3)]


@pytest.mark.parametrize("body", [event(1), b" [" + event(1) + b"]"])
async def test_plain_json_is_an_event_or_an_array_of_them(desk: Desk, body: bytes) -> None:
    answer = await desk.ask(request(body, "application/json; charset=utf-8"))
    assert answer.json == {"accepted": 1, "duplicates": 0}
    assert desk.intake.raws == [event(1)]


async def test_binary_mode_makes_one_event_of_headers_and_body(desk: Desk) -> None:
    headers = (
        "ce-specversion: 1.0",
        "ce-id: 1",
        "ce-source: /a",
        "ce-type: t",
        "CE-Tenant: n%C3%B6",
    )
    answer = await desk.ask(request(b'{"x": 1}', "application/json", *headers))
    assert answer.status == 202
    stored = Event.from_json(desk.intake.raws[0])
    assert (stored.id, stored.data, stored.extensions["tenant"]) == ("1", {"x": 1}, "nö")
    assert b'"data":{"x": 1}' in desk.intake.raws[0]


@pytest.mark.parametrize("kind", [STRUCTURED, NDJSON])
@pytest.mark.parametrize(
    "member",
    [
        {"tenant": "north"},
        {"count": 4},
        {"flag": True},
        {"subject": None},
        {"data_base64": "AAE=", "data": None},
    ],
)
async def test_extensions_and_nulls_are_fine(
    desk: Desk, kind: str, member: dict[str, object]
) -> None:
    body = event(1, **member)
    if "data_base64" in member:
        body = body.replace(b'"data": null, ', b"")
    answer = await desk.ask(request(body, kind))
    assert answer.status == 202, answer.json
    assert desk.intake.raws == [body]


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
        ("zstd", lambda data: zstandard.ZstdCompressor().compress(data)),
        ("zstd", lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data)),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
    ],
)
async def test_compressed_bodies_are_read(desk: Desk, coding: str, pack: object) -> None:
    assert callable(pack)
    body = b"\n".join(event(n) for n in range(100))
    answer = await desk.ask(request(pack(body), NDJSON, f"Content-Encoding: {coding}"))
    assert answer.json == {"accepted": 100, "duplicates": 0}


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_chunked_bodies_are_read(desk: Desk, size: int) -> None:
    body = b"\n".join(event(n) for n in range(20))
    client = await desk.connect()
    data = chunked(body, size, NDJSON)
    answer = await client.ask(data.replace(b"\r\n0\r\n\r\n", b"\r\n000;x=y\r\nTrailer: 1\r\n\r\n"))
    assert answer.json == {"accepted": 20, "duplicates": 0}
    assert (await client.ask(request(event(99)))).status == 202


async def test_request_may_come_byte_by_byte(desk: Desk) -> None:
    client = await desk.connect()
    for data in (request(event(1)), chunked(event(2), 30)):
        for at in range(len(data)):
            await client.send(data[at : at + 1])
        assert (await client.answer()).json == {"accepted": 1, "duplicates": 0}


async def test_large_body_in_many_pieces(desk: Desk) -> None:
    body = b"\n".join(event(n, data="x" * 1000) for n in range(5000))
    answer = await desk.ask(request(body, NDJSON))
    assert answer.json == {"accepted": 5000, "duplicates": 0}
    assert json.loads(desk.intake.raws[-1])["id"] == "e4999"


async def test_envelopes_tell_the_bus_what_it_needs(desk: Desk) -> None:
    bodies = [event(1, partitionkey="k", subject="s"), event(2, tenant="x"), event(3, tenant=[])]
    await desk.ask(request(bodies[0]))
    await desk.ask(request(bodies[1]))
    envelopes = desk.intake.envelopes
    assert [(e.id, e.source, e.partitionkey, e.subject) for e in envelopes] == [
        ("e1", "/shop", "k", "s"),
        ("e2", "/shop", None, None),
    ]
