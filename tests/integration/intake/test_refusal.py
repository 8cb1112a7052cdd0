"""What is refused: status, reason, and that nothing of the request is stored."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib

import pytest
import zstandard

from busway.errors import StoreError, StoreFull
from busway.event import Event
from intake_client import (
    BATCHED,
    NDJSON,
    PATIENCE_S,
    STRUCTURED,
    Answer,
    Client,
    Desk,
    chunked,
    event,
    request,
    serving,
)


def is_problem(answer: Answer, status: int, kind: str) -> bool:
    """Assert that an answer is an RFC 9457 problem."""
    problem = answer.json
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, problem["status"]) == (status, status), problem
    assert problem["type"] == f"urn:busway:problem:{kind}"
    assert problem["title"]
    assert problem["detail"]
    return True


BAD_EVENTS = {
    "not an object": (b'["x"]', "JSON object"),
    "not JSON": (b'{"specversion": oops}', "not valid JSON"),
    "nothing": (b"", "not valid JSON"),
    "two events": (event(1) + event(2), "not valid JSON"),
    "no id": (b'{"specversion":"1.0","source":"/a","type":"t"}', "id is missing"),
    "empty type": (event(1, type=""), "type is ''"),
    "null source": (event(1, source=None), "source is missing"),
    "number as id": (event(1, id=4), "id is 4"),
    "old version": (event(1, specversion="0.3"), 'only "1.0"'),
    "time without offset": (event(1, time="2026-01-02T03:04:05"), "time is"),
    "capital extension": (event(1, Tenant="x"), "lower-case"),
    "object extension": (event(1, tenant={}), "tenant is {}"),
    "NUL in an id": (event(1, id="a\0b"), "character NUL"),
    "NUL in an extension": (event(1, tenant="\0"), "character NUL"),
    "float extension": (event(1, tenant=1.5), "tenant is 1.5"),
    "large extension": (event(1, tenant=2**31), "32-bit"),
    "reserved type": (event(1, type="busway.alert.raised"), "types that begin with 'busway.'"),
    "reserved source": (event(1, source="/busway/alerts"), "reserved for Busway's own events"),
    "reserved extension": (event(1, buswayhops=1), "reserved for Busway's own attributes"),
    "long id": (event(1, id="i" * 1025), "id is 1025 characters long; at most 1024 are accepted"),
    "empty partition key": (event(1, partitionkey=""), "partitionkey is ''"),
    "number as partition key": (event(1, partitionkey=7), "partitionkey is 7"),
    "number as traceparent": (event(1, traceparent=7), "traceparent is 7"),
    "no media type": (event(1, datacontenttype="json"), "media type"),
    "data twice": (event(1, data_base64="AA=="), "send one of them"),
    "bad base64": (event(1, data_base64="*").replace(b'"data": {"n": 1}, ', b""), "cannot decode"),
    "base64 of bad JSON": (
        event(1, data_base64="AA==", datacontenttype="application/json").replace(
            b'"data": {"n": 1}, ', b""
        ),
        "cannot decode",
    ),
    "not UTF-8 in data": (event(1).replace(b'{"n": 1}', b'"\xff"'), "utf-8"),
    "lone surrogate": (event(1).replace(b'{"n": 1}', b'"\\ud800"'), "not valid JSON"),
    "number out of range": (event(1).replace(b'{"n": 1}', b'{"n": 1e999}'), "out of range"),
    "integer out of range": (event(1).replace(b'{"n": 1}', b"9" * 5000), "out of range"),
    "too deep": (event(1).replace(b'{"n": 1}', b"[" * 300 + b"]" * 300), "nested deeper"),
    "far too deep": (event(1).replace(b'{"n": 1}', b"[" * 9999 + b"]" * 9999), "nested deeper"),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
@pytest.mark.parametrize("kind", [STRUCTURED, NDJSON])
async def test_bad_event_is_named_with_its_reason(desk: Desk, name: str, kind: str) -> None:
    body, reason = BAD_EVENTS[name]
    if kind == NDJSON and name == "nothing":
        pytest.skip("a blank line is no event")
    answer = await desk.ask(request(body if kind == STRUCTURED else event(8) + b"\n" + body, kind))
    assert is_problem(answer, 400, "invalid-events")
    (fault,) = answer.json["errors"]
    assert fault["index"] == (0 if kind == STRUCTURED else 1)
    assert reason.casefold() in fault["reason"].casefold()
    assert desk.intake.raws == []


async def test_every_bad_line_is_listed_and_no_good_one_is_stored(desk: Desk) -> None:
    body = b"\n".join([event(1), b"", b"{", event(2), event(3, id="")])
    answer = await desk.ask(request(body, NDJSON))
    assert is_problem(answer, 400, "invalid-events")
    assert [(e["index"], e["line"]) for e in answer.json["errors"]] == [(1, 3), (3, 5)]
    assert answer.json["detail"].startswith("2 of 4 events")
    assert desk.intake.raws == []


async def test_a_hundred_reasons_are_enough(desk: Desk) -> None:
    answer = await desk.ask(request(b"[" + b",".join([b"{}"] * 250) + b"]", BATCHED))
    assert len(answer.json["errors"]) == 100
    assert answer.json["more"] == 150


BAD_BODIES = {
    "broken array": (b"[" + event(1), BATCHED, ()),
    "object for an array": (event(1), BATCHED, ()),
    "nothing for an array": (b"", BATCHED, ()),
    "deep array": (b"[" * 5000, BATCHED, ()),
    "byte order mark": (b"\xef\xbb\xbf" + event(1), STRUCTURED, ()),
    "byte order mark, lines": (b"\xef\xbb\xbf" + event(1), NDJSON, ()),
    "no gzip": (event(1), STRUCTURED, ("Content-Encoding: gzip",)),
    "half a gzip": (gzip.compress(event(1))[:-9], STRUCTURED, ("Content-Encoding: gzip",)),
    "gzip and junk": (gzip.compress(event(1)) + b"x", STRUCTURED, ("Content-Encoding: gzip",)),
    "no zstd": (event(1), STRUCTURED, ("Content-Encoding: zstd",)),
    "half a zstd": (
        zstandard.ZstdCompressor().compress(event(1))[:-4],
        STRUCTURED,
        ("Content-Encoding: zstd",),
    ),
    "no deflate": (b"\xff" + event(1), STRUCTURED, ("Content-Encoding: deflate",)),
    "deflate and junk": (
        zlib.compress(event(1)) + b"x",
        STRUCTURED,
        ("Content-Encoding: deflate",),
    ),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_body_that_cannot_be_read(desk: Desk, name: str) -> None:
    body, kind, headers = BAD_BODIES[name]
    answer = await desk.ask(request(body, kind, *headers))
    assert is_problem(answer, 400, "malformed-body")
    assert desk.intake.raws == []


def _zstd_stream(data: bytes) -> bytes:
    """Compress without saying how long it is."""
    out = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(out, closefd=False) as writer:
        writer.write(data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("coding", "bomb"),
    [
        ("gzip", gzip.compress(bytes(64_000_000), 1)),
        ("zstd", zstandard.ZstdCompressor().compress(bytes(64_000_000))),
        ("zstd", _zstd_stream(bytes(64_000_000))),
        ("deflate", zlib.compress(bytes(64_000_000), 1)),
    ],
)
async def test_bombs_are_refused(desk: Desk, coding: str, bomb: bytes) -> None:
    answer = await desk.ask(request(bomb, NDJSON, f"Content-Encoding: {coding}"))
    assert is_problem(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("", ()),
        ("text/plain", ()),
        ("application/cloudevents+xml", ("ce-id: 1",)),
        (STRUCTURED + "; charset=utf-16", ()),
        (STRUCTURED, ("Content-Encoding: br",)),
        (STRUCTURED, ("Content-Encoding: gzip, gzip",)),
    ],
)
async def test_media_that_is_not_understood(
    desk: Desk, kind: str, headers: tuple[str, ...]
) -> None:
    client = await desk.connect()
    answer = await client.ask(request(event(1), kind, *headers))
    assert is_problem(answer, 415, "unsupported-media")
    assert {"accept-post", "accept-encoding"} & set(answer.headers) or "charset" in kind
    assert (await client.ask(request(event(2)))).status == 202


@pytest.mark.parametrize(
    ("line", "allow"),
    [
        ("GET /events HTTP/1.1", "POST, OPTIONS"),
        ("HEAD /events HTTP/1.1", "POST, OPTIONS"),
        ("DELETE /events?x=1 HTTP/1.1", "POST, OPTIONS"),
        ("POST /healthz HTTP/1.1", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_method(desk: Desk, line: str, allow: str) -> None:
    client = await desk.connect()
    answer = await client.ask(request(line=line), line.split(maxsplit=1)[0])
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert (await client.ask(request(event(2)))).status == 202


@pytest.mark.parametrize("path", ["/", "/event", "/events/", "/EVENTS", "*", "http://x"])
async def test_nothing_there(desk: Desk, path: str) -> None:
    assert is_problem(await desk.ask(request(line=f"POST {path} HTTP/1.1")), 404, "not-found")


async def _answered_and_closed(client: Client, data: bytes, status: int, kind: str) -> None:
    answer = await client.ask(data)
    assert is_problem(answer, status, kind)
    assert answer.headers["connection"] == "close"
    assert await client.ended()


async def test_declared_body_over_the_limit_is_refused_before_it_comes(small: Desk) -> None:
    head = request(b"", STRUCTURED).replace(b"Content-Length: 0", b"Content-Length: 4097")
    await _answered_and_closed(await small.connect(), head, 413, "body-too-large")


async def test_chunked_body_over_the_limit_is_refused_as_it_comes(small: Desk) -> None:
    data = chunked(b"x" * 9000, 3000, NDJSON)
    await _answered_and_closed(await small.connect(), data[:7000], 413, "body-too-large")
    assert small.intake.raws == []


async def test_event_over_the_limit(small: Desk) -> None:
    client = await small.connect()
    answer = await client.ask(request(event(1) + b"\n" + event(2, data="x" * 1024), NDJSON))
    assert is_problem(answer, 413, "event-too-large")
    assert [e["index"] for e in answer.json["errors"]] == [1]
    assert small.intake.raws == []
    assert (await client.ask(request(event(3)))).status == 202


async def test_head_over_the_limit(small: Desk) -> None:
    data = request(event(1), STRUCTURED, "X: " + "x" * 3000)
    await _answered_and_closed(await small.connect(), data, 431, "head-too-large")
    endless = b"POST /events HTTP/1.1\r\nX: " + b"x" * 3000
    await _answered_and_closed(await small.connect(), endless, 431, "head-too-large")


MALFORMED = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "no host": request(event(1), host=""),
    "two hosts": request(event(1), STRUCTURED, "Host: there"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "unknown coding": chunked(event(1)).replace(b": chunked", b": gzip, chunked"),
    "only an unknown coding": chunked(event(1)).replace(b": chunked", b": gzip"),
    "bad length": request().replace(b"Length: 0", b"Length: -1"),
    "two lengths": request(b"", STRUCTURED, "Content-Length: 5"),
    "length and chunks": request(b"", STRUCTURED, "Transfer-Encoding: chunked"),
    "space before colon": request(b"", STRUCTURED, "X : 1"),
    "folded header": request(b"", STRUCTURED, "X: 1\r\n 2"),
    "bare line feed": request(b"", STRUCTURED, "X: 1\nY: 2"),
    "chunked in HTTP/1.0": chunked(event(1)).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "chunk size": chunked(event(1)).replace(b"\r\n\r\n7", b"\r\n\r\n0x7", 1),
    "chunk end": chunked(b"1234567").replace(b"1234567", b"12345678"),
    "negative chunk": chunked(event(1)).replace(b"\r\n\r\n7", b"\r\n\r\n-7", 1),
    "endless chunk line": chunked(b"").replace(b"\r\n\r\n0", b"\r\n\r\n0;" + b"x" * 2000, 1),
    "endless trailers": chunked(b"")[:-2] + b"X: y\r\n" * 2000 + b"\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_http(desk: Desk, name: str) -> None:
    client = await desk.connect()
    await _answered_and_closed(client, MALFORMED[name], 400, "malformed-request")
    assert desk.intake.raws == []
    assert (await desk.ask(request(event(1)))).status == 202


async def test_unknown_expectation(desk: Desk) -> None:
    answer = await desk.ask(request(event(1), STRUCTURED, "Expect: tea"))
    assert is_problem(answer, 417, "expectation")


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (StoreFull("the disk is full"), 507, "store-full"),
        (StoreError("the store is gone"), 503, "store-failing"),
        (asyncio.CancelledError(), 503, "store-failing"),
    ],
)
async def test_store_that_takes_nothing(
    desk: Desk, error: BaseException, status: int, kind: str
) -> None:
    client = await desk.connect()
    desk.intake.error = error
    answer = await client.ask(request(event(1)))
    assert is_problem(answer, status, kind)
    assert int(answer.headers["retry-after"]) > 0
    desk.intake.error = None
    assert (await client.ask(request(event(1)))).status == 202


async def test_too_many_requests_in_flight(small: Desk) -> None:
    small.intake.hold = True
    client, other = await small.connect(), await small.connect()
    await client.send(b"".join(request(event(n)) for n in range(9)))
    while small.intake.held < 8:
        small.intake.arrived.clear()
        await asyncio.wait_for(small.intake.arrived.wait(), PATIENCE_S)
    answer = await other.ask(request(event(9)))
    assert is_problem(answer, 429, "too-busy")
    assert int(answer.headers["retry-after"]) > 0
    assert (await other.ask(request(line="GET /healthz HTTP/1.1"))).status == 200
    small.intake.hold = False
    small.intake.release()
    assert [(await client.answer()).status for _ in range(9)] == [202] * 8 + [429]
    assert (await other.ask(request(event(9)))).status == 202


async def test_too_many_bytes_in_flight(small: Desk) -> None:
    small.intake.hold = True
    client, other = await small.connect(), await small.connect()
    await client.send(request(b"\n".join([event(n) for n in range(40)]), NDJSON))
    await asyncio.wait_for(small.intake.arrived.wait(), PATIENCE_S)
    lines = b"\n".join([event(n) for n in range(40, 80)])
    assert is_problem(await other.ask(request(lines, NDJSON)), 429, "too-busy")
    answer = await (await small.connect()).ask(chunked(lines, 500, NDJSON))
    assert is_problem(answer, 429, "too-busy")
    small.intake.release()
    assert (await client.answer()).status == 202
    assert len(small.intake.raws) == 40


BAD_HEADERS = {
    "overlong": "ce-subject: %C0%A0",
    "truncated": "ce-subject: %E2%82",
    "lone continuation": "ce-subject: a%80b",
    "surrogate": "ce-subject: %ED%A0%80",
    "latin-1": "ce-subject: %E9",
    "twice": "ce-id: 2",
    "data": "ce-data: 2",
    "name": "ce-a_b: 2",
    "empty": "ce-subject:",
    "time": "ce-time: yesterday",
}


@pytest.mark.parametrize("name", BAD_HEADERS)
async def test_bad_binary_attributes(desk: Desk, name: str) -> None:
    good = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: /a", "ce-type: t")
    answer = await desk.ask(request(b"", "", *good, BAD_HEADERS[name]))
    assert is_problem(answer, 400, "invalid-events")
    assert desk.intake.raws == []


@pytest.mark.parametrize(
    "body", [b"{", b"1e999", b'"\xff"', b"[" * 400 + b"]" * 400, b'1,"id":"2"']
)
async def test_binary_data_that_is_not_the_json_it_says(desk: Desk, body: bytes) -> None:
    good = ("ce-specversion: 1.0", "ce-id: 1", "ce-source: /a", "ce-type: t")
    answer = await desk.ask(request(body, "application/json", *good))
    assert is_problem(answer, 400, "invalid-events")


async def test_numbers_that_only_look_large_are_fine(desk: Desk) -> None:
    values = b'{"a":1e30,"b":1e-999,"c":"0e1234,","d":1.5e+300,"e":"9e999","f":%s}' % (b"7" * 300)
    answer = await desk.ask(request(event(1).replace(b'{"n": 1}', values)))
    assert answer.status == 202, answer.json
    assert Event.from_json(desk.intake.raws[0]).data["f"] == int("7" * 300)


async def test_defect_of_the_bus_is_a_500_and_the_server_lives() -> None:
    seen: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, c: seen.append(c["message"]))
    async with serving() as desk:
        desk.intake.error = ZeroDivisionError()
        assert is_problem(await desk.ask(request(event(1))), 500, "internal")
        desk.intake.error = None
        assert (await desk.ask(request(event(1)))).status == 202
    assert seen == ["the bus failed on an append"]
