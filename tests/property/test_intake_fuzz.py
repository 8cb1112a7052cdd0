"""Whatever is thrown at the intake: it answers 2xx or 4xx, lives, and stores only what is good."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st

from busway.event import Event
from busway.ports import RequestRefusal
from busway.source.http.body import ChunkedBody
from busway.source.validate import (
    DECODE_ERRORS,
    decode_strict,
    is_safe_json,
    validate_extended,
    validate_fully,
)
from effort import examples
from intake_client import (
    BATCHED,
    NDJSON,
    PATIENCE_S,
    SMALL,
    STRUCTURED,
    Desk,
    chunked,
    event,
    request,
    serving,
)

FEW = settings(max_examples=examples(50))
MANY = settings(max_examples=examples(150))
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
NUMBER = r"-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,5})?"


class Thrower:
    """A server on a loop of its own thread, and a way to throw bytes at it."""

    def __init__(self) -> None:
        self._ready: Future[Desk] = Future()
        self._stop = asyncio.Event()
        self._thread = Thread(target=lambda: uvloop.run(self._serve()))
        self._thread.start()
        self.desk = self._ready.result(PATIENCE_S)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with serving(SMALL) as desk:
            self._ready.set_result(desk)
            await self._stop.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE_S)

    def throw(self, data: bytes) -> tuple[list[int], list[bytes]]:
        """Send bytes and hang up; return the final statuses that came, and what was stored."""
        work = asyncio.run_coroutine_threadsafe(self._throw(data), self._loop)
        return work.result(PATIENCE_S)

    async def _throw(self, data: bytes) -> tuple[list[int], list[bytes]]:
        before = len(self.desk.intake.raws)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.desk.port)
        answers = b""
        try:
            writer.write(data)
            writer.write_eof()
            answers = await asyncio.wait_for(reader.read(), PATIENCE_S)
        except ConnectionError:
            pass
        finally:
            writer.close()
        healthy = await self.desk.ask(request(line="GET /healthz HTTP/1.1"))
        assert healthy.status == 200
        await self.desk.hang_up()
        return list(_statuses(answers)), self.desk.intake.raws[before:]


def _statuses(answers: bytes) -> Iterator[int]:
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        assert head.startswith(b"HTTP/1.1 ")
        if head[9:12] != b"100":
            yield int(head[9:12])
        answers = rest[int(length[1]) if length else 0 :]


@pytest.fixture(scope="module")
def thrower() -> Iterator[Thrower]:
    running = Thrower()
    yield running
    running.close()


def _sound(statuses: list[int], stored: list[bytes]) -> None:
    assert all(200 <= status < 300 or 400 <= status < 500 for status in statuses), statuses
    assert not stored or 202 in statuses
    for raw in stored:
        found = Event.from_json(raw)
        assert found.id
        assert found.source
        assert found.type
        _ = found.data, found.extensions, found.key, found.time


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
json_values = st.recursive(scalars, _nested, max_leaves=8)
names = st.sampled_from(
    "id source type specversion subject time datacontenttype dataschema partitionkey traceparent"
    " tracestate data data_base64 tenant Tenant x_y".split()
)
odd_events = st.dictionaries(names, json_values, max_size=4).map(lambda m: event(1, **m))
events = st.integers(0, 10**6).map(event) | odd_events
marks = [bytes([byte]) for byte in b'{}[]",:\n\r \t\x00\xff\\-+.eE019']
longer = b'\r\n \xef\xbb\xbf 1e999 null true \\u \\ud800 {} [] "id":"2", "data": 0\r\n\r\n'.split(
    b" "
)
headers_put_in = [
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
]
pieces = st.sampled_from([*marks, *longer, *headers_put_in, b"9" * 400, b"[" * 300])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Good, odd and damaged bodies of every format."""
    many = draw(st.lists(events, max_size=4))
    joined = draw(st.sampled_from([b"\n", b",", b"\r\n\n"])).join(many)
    return draw(st.sampled_from([joined, b"[" + joined + b"]", joined + b"\n"]))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is well-formed HTTP, whatever its content."""
    body = draw(bodies() | st.binary(max_size=200))
    kinds = [STRUCTURED, BATCHED, NDJSON, "application/json", "text/plain", ""]
    kind = draw(st.sampled_from(kinds))
    names = ["ce-id: 1", "ce-source: /a", "ce-type: t", "ce-specversion: 1.0", "ce-subject: %C3"]
    names += ["Content-Encoding: gzip", "Content-Encoding: zstd", "Connection: close"]
    headers = draw(st.lists(st.sampled_from(names), max_size=5, unique=True))
    if draw(st.booleans()):
        return chunked(body, draw(st.integers(1, 400)), kind, *headers)
    line = draw(st.sampled_from(["POST /events", "GET /readyz", "PUT /events", "POST /x"]))
    return request(body, kind, *headers, line=f"{line} HTTP/1.{draw(st.sampled_from('01'))}")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Requests in a row with something put in, cut out, or repeated."""
    data = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at, to = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        put = draw(st.sampled_from([b"", data[at:to]]) | pieces | st.binary(max_size=4))
        data = data[:at] + put + data[at if draw(st.booleans()) else to :]
    return data


@FEW
@given(data=st.binary(max_size=400))
@example(data=b"\r\n\r\n")
@example(data=b"POST /events HTTP/1.1\r\n\r\n")
def test_noise(thrower: Thrower, data: bytes) -> None:
    _sound(*thrower.throw(data))


@FEW
@given(data=requests())
def test_every_whole_request_gets_one_answer(thrower: Thrower, data: bytes) -> None:
    statuses, stored = thrower.throw(data)
    assert len(statuses) == 1
    _sound(statuses, stored)


@MANY
@given(data=damaged())
def test_damaged_requests(thrower: Thrower, data: bytes) -> None:
    statuses, stored = thrower.throw(data)
    _sound(statuses, stored)


@MANY
@given(many=st.lists(st.integers(0, 10**6).map(event) | events, max_size=6))
def test_all_or_nothing(thrower: Thrower, many: list[bytes]) -> None:
    statuses, stored = thrower.throw(request(b"\n".join(many), NDJSON))
    good = [raw for raw in many if not isinstance(validate_fully(raw), str)]
    if len(b"\n".join(many)) > SMALL.max_body_bytes or max(map(len, many), default=0) > 1024:
        assert statuses == [413]
    else:
        assert statuses == [202 if len(good) == len(many) else 400]
    assert not stored or set(stored) <= set(many)


@MANY
@given(
    raw=events, put=pieces | st.binary(max_size=3), at=st.integers(0, 200), cut=st.integers(0, 3)
)
def test_the_quick_way_agrees_with_the_thorough_one(
    raw: bytes, put: bytes, at: int, cut: int
) -> None:
    raw = raw[:at] + put + raw[at + cut :]
    thorough = validate_fully(raw)
    if not is_safe_json(raw):
        return
    try:
        quick: Any = decode_strict(raw)
    except DECODE_ERRORS:
        quick = validate_extended(raw)
    if raw.count(b"[") <= 256:
        assert isinstance(quick, str) == isinstance(thorough, str), (quick, thorough)
    if not isinstance(quick, str) and not isinstance(thorough, str):
        assert (quick.id, quick.source) == (thorough.id, thorough.source)
        assert (quick.partitionkey, quick.subject) == (thorough.partitionkey, thorough.subject)


@MANY
@given(number=st.from_regex(NUMBER, fullmatch=True))
def test_no_number_out_of_range_is_trusted(number: str) -> None:
    raw = event(1).replace(b'{"n": 1}', b'{"n": %s}' % number.encode())
    if is_safe_json(raw):
        assert Event.from_json(raw).data is not None


@MANY
@given(
    body=st.binary(max_size=300),
    size=st.integers(1, 50),
    cuts=st.lists(st.integers(0, 600), max_size=8),
    after=st.binary(max_size=20),
)
def test_chunks_are_put_together_however_they_come(
    body: bytes, size: int, cuts: list[int], after: bytes
) -> None:
    data = chunked(body, size).partition(b"\r\n\r\n")[2] + after
    edges = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    received, left = ChunkedBody(1000), None
    for start, end in pairwise(edges):
        if left is not None:
            left += data[start:end]
            continue
        found = received.feed(data[start:end])
        assert not isinstance(found, RequestRefusal)
        left = found
    assert (received.content(), left) == (body, after)
