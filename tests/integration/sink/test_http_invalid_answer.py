"""The status of an answer decides, also if its headers or its body are invalid or never end."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from busway.outcome import DELIVERED, Gone, Outcome, Rejected, Retry
from busway.sinks import http
from delivery_node import DEADLINE_S
from service import LOOPBACK
from sink_load import KeptEvents, an_item, fresh

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

TAKEN = {
    "br": OK + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\nok",
    "zstd": OK + b"Content-Encoding: zstd\r\nContent-Length: 2\r\n\r\nok",
    "unknown encoding": OK + b"Content-Encoding: \xff, x\r\nContent-Length: 2\r\n\r\nok",
    "not gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "half a gzip": OK
    + b"Content-Encoding: gzip\r\nContent-Length: 10\r\n\r\n"
    + gzip.compress(b"a long text")[:10],
    "gzip of nothing": OK + b"Content-Encoding: gzip\r\n" + EMPTY,
    "not UTF-8": OK + b"Content-Length: 2\r\n\r\n\xff\xfe",
    "bad charset": OK + b"Content-Type: text/plain; charset=\xff\r\nContent-Length: 2\r\n\r\nok",
    "body shorter than said": OK + b"Content-Length: 10\r\n\r\nok",
    "body longer than said": OK + b"Content-Length: 2\r\n\r\nokok",
    "bad Content-Length": OK + b"Content-Length: two\r\n\r\nok",
    "negative Content-Length": OK + b"Content-Length: -1\r\n\r\n",
    "two Content-Lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length and chunks": OK + b"Content-Length: 2\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    "bad chunk": OK + CHUNKED + b"zz\r\nok\r\n",
    "huge chunk": OK + CHUNKED + b"fffffffffffffffffff\r\nok\r\n",
    "chunks that do not end": OK + CHUNKED + b"2\r\nok\r\n",
    "bad trailer": OK + CHUNKED + b"0\r\nbad\x00trailer\r\n\r\n",
    "unknown transfer": OK + b"Transfer-Encoding: magic\r\n\r\nok",
    "204 with a body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "204 with chunks": b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    "205 without a length": b"HTTP/1.1 205 Reset Content\r\n\r\n",
    "100 before": b"HTTP/1.1 100 Continue\r\n\r\n" + OK + EMPTY,
    "many before": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5 + OK + EMPTY,
    "103 before a bad header": b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"bad header\r\n" + EMPTY,
    "NUL in a header": OK + b"X: a\x00b\r\n" + EMPTY,
    "header without a name": OK + b": x\r\n" + EMPTY,
    "header without a colon": OK + b"what is this\r\n" + EMPTY,
    "space in a header's name": OK + b"X Y: z\r\n" + EMPTY,
    "long header": OK + b"X: " + b"x" * 20_000 + b"\r\n" + EMPTY,
    "too long a header": OK + b"X: " + b"x" * 200_000 + b"\r\n" + EMPTY,
    "2,000 headers": OK + b"".join(b"X%d: y\r\n" % n for n in range(2000)) + EMPTY,
    "no reason": b"HTTP/1.1 200\r\n" + EMPTY,
    "reason not UTF-8": b"HTTP/1.1 201 \xff\xfe\r\n" + EMPTY,
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "299": b"HTTP/1.1 299 Odd\r\n" + EMPTY,
    "bad Retry-After": OK + b"Retry-After: \xff\xff\r\n" + EMPTY,
    "bad cookie": OK + b"Set-Cookie: =;;;\x7f\r\n" + EMPTY,
}


@asynccontextmanager
async def answering(answer: bytes, *, close: bool) -> AsyncIterator[str]:
    """Run a server that answers each request with these bytes, then closes or stays silent."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
        writer.write(answer)
        await writer.drain()
        if not close:
            await reader.read()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(client(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, LOOPBACK, 0)
    try:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def outcome(answer: bytes, *, close: bool) -> Outcome:
    async with answering(answer, close=close) as url:
        destination = await http(url, timeout="30s").open(KeptEvents())
        try:
            async with asyncio.timeout(DEADLINE_S):
                (found,) = await destination.write(fresh([an_item(0, {"id": 0})]))
            return found
        finally:
            await destination.close()


@pytest.mark.parametrize("close", [True, False], ids=["closed", "silent"])
@pytest.mark.parametrize("answer", TAKEN.values(), ids=TAKEN.keys())
async def test_what_is_answered_with_2xx_is_delivered(answer: bytes, close: bool) -> None:
    assert await outcome(answer, close=close) == DELIVERED


REFUSED = {
    "422 in br": (
        b"HTTP/1.1 422 No\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok",
        Rejected("http 422", "(a body that cannot be read, Content-Encoding br)"),
    ),
    "422 in gzip": (
        b"HTTP/1.1 422 No\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"no such shop"),
        Rejected("http 422", "no such shop"),
    ),
    "500 with a broken end": (
        b"HTTP/1.1 500 No\r\n" + CHUNKED + b"4\r\nfull\r\nzz",
        Retry("http 500", "(the response is not valid HTTP)"),
    ),
    "400 with a bad header": (
        b"HTTP/1.1 400 No\r\nbad header\r\n" + EMPTY,
        Rejected("http 400", "(the response is not valid HTTP)"),
    ),
    "410 with a bad header": (
        b"HTTP/1.1 410 Gone\r\nX: a\x00b\r\n" + EMPTY,
        Gone("http 410: (the response is not valid HTTP)", "http 410"),
    ),
    "a redirect to nowhere": (
        b"HTTP/1.1 302 Found\r\nLocation: http://[\xff\x1b]/?token=secret\r\n" + EMPTY,
        Rejected("http 302", "it redirects to (not a URL); declare that URL instead"),
    ),
    "a redirect that cannot be shown": (
        b"HTTP/1.1 302 Found\r\nLocation: /caf\xe9?token=secret\r\n" + EMPTY,
        Rejected("http 302", "it redirects to /caf?; declare that URL instead"),
    ),
    "a protocol is switched": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        Rejected("http 101", ""),
    ),
}


@pytest.mark.parametrize(("answer", "expected"), REFUSED.values(), ids=REFUSED.keys())
async def test_any_other_status_says_what_it_says(answer: bytes, expected: Outcome) -> None:
    assert await outcome(answer, close=True) == expected


async def test_what_is_not_http_is_no_answer() -> None:
    found = await outcome(b"SSH-2.0-OpenSSH_9.6\r\n", close=True)
    assert getattr(found, "error", "") == "no answer"
