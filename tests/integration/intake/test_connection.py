"""How a connection behaves: order, keep-alive, HTTP/1.0, Expect, time limits, back-pressure."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from busway.source.http import IntakeLimits
from busway.testing import ManualClock
from intake_client import (
    IDLE_S,
    NDJSON,
    PATIENCE_S,
    SMALL,
    STRUCTURED,
    Client,
    Desk,
    chunked,
    event,
    request,
    serving,
)


async def _held(desk: Desk, count: int) -> None:
    """Wait until the bus holds so many appends."""
    async with asyncio.timeout(PATIENCE_S):
        while desk.intake.held < count:
            desk.intake.arrived.clear()
            if desk.intake.held < count:
                await desk.intake.arrived.wait()


async def test_pipelined_requests_are_answered_in_order(desk: Desk) -> None:
    desk.intake.hold = True
    client = await desk.connect()
    lines = b"\n".join([event(2), event(3)])
    await client.send(
        request(event(1))
        + request(line="GET /healthz HTTP/1.1")
        + request(b"{")
        + chunked(lines, 9, NDJSON)
        + request(line="GET /metrics HTTP/1.1")
    )
    await _held(desk, 2)
    desk.intake.release()
    answers = [await client.answer() for _ in range(5)]
    assert [a.status for a in answers] == [202, 200, 400, 202, 200]
    assert answers[3].json["accepted"] == 2
    assert answers[4].body == b"busway_up 1\n"


async def test_many_pipelined_requests_wait_unread(desk: Desk) -> None:
    desk.intake.hold = True
    client = await desk.connect()
    await client.send(b"".join(request(event(n)) for n in range(500)))
    await _held(desk, 64)
    assert desk.intake.held == 64
    desk.intake.hold = False
    desk.intake.release()
    assert [(await client.answer()).status for _ in range(500)] == [202] * 500
    assert len(desk.intake.raws) == 500


async def test_client_that_does_not_read_is_not_read_either(desk: Desk) -> None:
    client = await desk.connect()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    bad = request(b"[" + b",".join([b"{}"] * 100) + b"]", "application/json")
    sending = asyncio.create_task(client.send(bad * 20_000))
    done, _ = await asyncio.wait([sending], timeout=0.5)
    assert not done
    assert (await desk.ask(request(event(1)))).status == 202
    sending.cancel()
    client.writer.transport.abort()


async def test_keep_alive_and_close(desk: Desk) -> None:
    client = await desk.connect()
    for n in range(3):
        answer = await client.ask(request(event(n)))
        assert "connection" not in answer.headers
    answer = await client.ask(request(event(9), STRUCTURED, "Connection: close"))
    assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert await client.ended()


async def test_requests_after_close_are_not_taken(desk: Desk) -> None:
    client = await desk.connect()
    await client.send(request(event(1), STRUCTURED, "Connection: close") + request(event(2)))
    assert (await client.answer()).status == 202
    assert await client.ended()
    assert desk.intake.raws == [event(1)]


async def test_http_1_0(desk: Desk) -> None:
    client = await desk.connect()
    old = "POST /events HTTP/1.0"
    answer = await client.ask(request(event(1), STRUCTURED, "Connection: keep-alive", line=old))
    assert (answer.status, answer.headers["connection"]) == (202, "keep-alive")
    answer = await client.ask(request(event(2), line=old, host=""))
    assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert await client.ended()


async def test_half_closed_connection_gets_its_answer(desk: Desk) -> None:
    desk.intake.hold = True
    client = await desk.connect()
    await client.send(request(event(1)) + request(event(2)))
    client.writer.write_eof()
    await _held(desk, 2)
    desk.intake.release()
    assert [(await client.answer()).status for _ in range(2)] == [202, 202]
    assert await client.ended()


async def test_client_that_hangs_up_leaves_nothing_behind(small: Desk) -> None:
    small.intake.hold = True
    for n in range(8):
        client = await small.connect()
        await client.send(request(event(n)))
    await _held(small, 8)
    await small.hang_up()
    for _ in range(3):
        await (await small.connect()).send(request(event(1))[:-4])
    await small.hang_up()
    small.intake.hold = False
    small.intake.release()
    async with asyncio.timeout(PATIENCE_S):
        while (await small.ask(request(event(9)))).status != 202:
            pass


async def test_expect_continue(desk: Desk) -> None:
    client = await desk.connect()
    body = event(1)
    head = request(body, STRUCTURED, "Expect: 100-continue")[: -len(body)]
    assert (await client.ask(head)).status == 100
    assert (await client.ask(body)).status == 202
    refused = await client.ask(head.replace(b"cloudevents+json", b"nothing"))
    assert (refused.status, refused.headers["connection"]) == (415, "close")
    assert await client.ended()


async def test_large_body_of_a_refused_request_is_read_over(desk: Desk) -> None:
    client = await desk.connect()
    answer = await client.ask(request(bytes(900_000), "text/plain"))
    assert (answer.status, "connection" in answer.headers) == (415, False)
    assert (await client.ask(request(event(1)))).status == 202


async def test_too_large_a_body_gets_its_answer_while_it_is_sent(desk: Desk) -> None:
    client = await desk.connect()
    sending = asyncio.create_task(client.send(request(bytes(17_000_000), NDJSON)[:3_000_000]))
    assert (await client.answer()).status == 413
    assert await client.ended()
    with suppress(ConnectionError):  # it is not read for ever
        await sending


async def test_empty_lines_between_requests(desk: Desk) -> None:
    client = await desk.connect()
    await client.send(b"\r\n\r\n" + request(event(1)) + b"\r\n" + request(event(2)))
    assert [(await client.answer()).status for _ in range(2)] == [202, 202]


async def test_absolute_form_and_query(desk: Desk) -> None:
    line = "POST http://example.com:80/events?source=x HTTP/1.1"
    assert (await desk.ask(request(event(1), line=line))).status == 202


async def test_options_and_head(desk: Desk) -> None:
    client = await desk.connect()
    answer = await client.ask(request(line="OPTIONS /events HTTP/1.1", kind=""))
    assert (answer.status, answer.headers["allow"]) == (204, "POST, OPTIONS")
    answer = await client.ask(request(line="HEAD /healthz HTTP/1.1"), "HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "3")
    assert (await client.ask(request(event(1)))).status == 202


async def test_ready_and_metrics(desk: Desk) -> None:
    client = await desk.connect()
    ready = request(line="GET /readyz HTTP/1.1")
    assert (await client.ask(ready)).status == 200
    desk.reason = "the store is failing"
    answer = await client.ask(ready)
    assert (answer.status, answer.body) == (503, b"the store is failing\n")
    assert (await client.ask(request(line="GET /healthz HTTP/1.1"))).status == 200
    answer = await client.ask(request(line="GET /metrics HTTP/1.1"))
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"POST /events HTTP/1.1\r\nHost: h", "head"),
        (request(event(1))[:-3], "body"),
        (chunked(event(1))[:-3], "body"),
    ],
)
async def test_slow_requests_are_given_up(hasty: Desk, data: bytes, what: str) -> None:
    client = await hasty.connect()
    answer = await client.ask(data)
    assert (answer.status, answer.json["type"]) == (408, "urn:busway:problem:timeout")
    assert what in answer.json["detail"]
    assert await client.ended()
    assert (await hasty.ask(request(event(1)))).status == 202


async def test_trickling_request_is_given_up(hasty: Desk) -> None:
    client = await hasty.connect()

    async def trickle() -> None:
        for byte in request(event(1)) * 40:
            await client.send(bytes([byte]))
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    assert (await client.answer()).status == 408
    trickling.cancel()


@asynccontextmanager
async def idling() -> AsyncIterator[tuple[Desk, ManualClock]]:
    """Run a server that waits ``IDLE_S`` for a request, by a clock of its own."""
    clock = ManualClock()
    async with serving(IntakeLimits(idle_timeout_s=IDLE_S), clock=clock) as desk:
        yield desk, clock


async def test_idle_connections_are_closed() -> None:
    async with idling() as (desk, clock):
        fresh, used = await desk.connect(), await desk.connect()
        await _answered(used)  # which came after the other one
        await clock.advance(IDLE_S + 0.1)
        assert await fresh.ended()
        assert await used.ended()


async def test_waiting_for_the_bus_is_not_idle() -> None:
    async with idling() as (desk, clock):
        desk.intake.hold = True
        client, idle = await desk.connect(), await desk.connect()
        await client.send(request(event(1)))
        await _held(desk, 1)
        await _answered(idle)
        await clock.advance(IDLE_S + 0.1)
        assert await idle.ended()
        desk.intake.release()
        assert (await client.answer()).status == 202


class Ledger:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int, int]] = []

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        assert 0 <= seconds < PATIENCE_S
        self.seen.append((status, events, size_bytes))


async def test_observer_is_told_of_every_request() -> None:
    observer = Ledger()
    async with serving(IntakeLimits(), observer) as desk:
        client = await desk.connect()
        lines = event(1) + b"\n" + event(2)
        await client.ask(request(lines, NDJSON))
        await client.ask(request(b"{", STRUCTURED))
        await client.ask(b"\r\nx\r\n\r\n")
    assert observer.seen == [(202, 2, len(lines)), (400, 0, 1), (400, 0, 0)]


@pytest.mark.parametrize("size", [10, 10_000])
async def test_the_size_of_a_body_is_that_of_what_came(size: int) -> None:
    observer = Ledger()
    packed = gzip.compress(event(1, data="x" * size))
    large = b"x" * (SMALL.max_body_bytes + 1)
    async with serving(SMALL, observer) as desk:
        client = await desk.connect()
        await client.ask(request(packed, STRUCTURED, "Content-Encoding: gzip"))
        await client.ask(request(packed, STRUCTURED, "Content-Encoding: br"))
        await client.send(request(event(2))[:-1])
        await client.ask(event(2)[-1:])
        await client.ask(request(large))
    assert [size_bytes for _, _, size_bytes in observer.seen] == [
        *(len(packed), len(packed), len(event(2))),
        0,
    ]


async def test_drain_finishes_what_is_in_flight(desk: Desk) -> None:
    desk.intake.hold = True
    busy, sending, idle = [await desk.connect() for _ in range(3)]
    await _answered(idle)
    await busy.send(request(event(1)))
    body = event(2)
    await _answered(sending, request(body)[: -len(body)])
    await _held(desk, 1)
    async with asyncio.timeout(PATIENCE_S):
        draining = asyncio.create_task(desk.server.drain())
        assert await idle.ended()
        await busy.send(request(event(3)))
        await sending.send(body)
        await _held(desk, 2)
        assert not draining.done()
        desk.intake.release()
        statuses = [(await busy.answer()).status, (await busy.answer()).status]
        assert statuses == [202, 503]
        answer = await sending.answer()
        assert (answer.status, answer.headers["connection"]) == (202, "close")
        await draining
    assert await busy.ended()
    with pytest.raises(OSError, match=r"."):
        await desk.connect()


async def _answered(client: Client, more: bytes = b"") -> None:
    """Have a request answered, and have come what is sent along with it."""
    assert (await client.ask(request(line="GET /healthz HTTP/1.1") + more)).status == 200


async def test_ready_says_that_it_is_draining(desk: Desk) -> None:
    desk.intake.hold = True
    busy, client = await desk.connect(), await desk.connect()
    await busy.send(request(event(1)))
    await _held(desk, 1)
    ready = request(line="GET /readyz HTTP/1.1")
    await _answered(client, ready[:9])
    draining = asyncio.create_task(desk.server.drain())
    await asyncio.sleep(0)
    answer = await client.ask(ready[9:])
    assert (answer.status, answer.body) == (503, b"stopping\n")
    desk.intake.release()
    assert (await busy.answer()).status == 202
    await asyncio.wait_for(draining, PATIENCE_S)


async def test_close_does_not_wait_for_the_bus() -> None:
    async with serving() as desk:
        desk.intake.hold = True
        client = await desk.connect()
        await client.send(request(event(1)))
        await _held(desk, 1)
        await asyncio.wait_for(desk.server.close(), PATIENCE_S)
        assert await client.ended()
        desk.intake.release()


class Hello(asyncio.Protocol):
    """A tiny server for other paths: it says what it was sent, once."""

    def __init__(self) -> None:
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert hasattr(transport, "write")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.seen.endswith(b"!"):
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(self.seen)
            self.transport.write(head + self.seen)
            self.transport.close()


async def test_other_paths_are_handed_over_after_what_came_before() -> None:
    async with serving(fallback=Hello) as desk:
        desk.intake.hold = True
        client = await desk.connect()
        await client.send(request(event(1)) + request(b"hello!", line="PUT /api/x HTTP/1.1")[:-3])
        await _held(desk, 1)
        await client.send(b"l")
        desk.intake.release()
        assert (await client.answer()).status == 202
        await client.send(b"o!")
        answer = await client.answer()
        assert answer.status == 200
        assert answer.body.startswith(b"PUT /api/x HTTP/1.1\r\nHost: here\r\n")
        assert b"\r\nconnection: close\r\n\r\nhello!" in answer.body
        assert await client.ended()
        desk.intake.hold = False
        assert (await desk.ask(request(event(2), line="POST /events HTTP/1.0"))).status == 202


async def test_upgrades_are_handed_over_as_they_are() -> None:
    async with serving(fallback=Hello) as desk:
        data = request(
            b"!", "", "Connection: Upgrade", "Upgrade: websocket", line="GET /ws HTTP/1.1"
        )
        assert (await desk.ask(data)).body == data
