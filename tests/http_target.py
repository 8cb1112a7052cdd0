"""A small real HTTP server that does what a test tells it to, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from service import LOOPBACK, kept_port


class Call(msgspec.Struct, frozen=True):
    """A request as it came; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """Its idempotency key."""
        return self.headers.get("idempotency-key", "")


class Answer(msgspec.Struct, frozen=True):
    """What to answer; ``hang`` never answers, ``drop`` closes the connection instead."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    hang: bool = False
    drop: bool = False


Decide = Callable[[Call], Answer]
OK = Answer()


class HttpTarget:
    """The server's controls: ``decide`` what it answers, look at ``calls``, ``stop`` and start it.

    ``calls`` are the requests in order of arrival, ``done`` the (call, answer) pairs in the order
    in which they were answered, ``busiest`` is how many requests were in hand at a time at most.
    """

    def __init__(self) -> None:
        self._keeper = kept_port()
        self.port: int = self._keeper.getsockname()[1]
        self.calls: list[Call] = []
        self.done: list[tuple[Call, Answer]] = []
        self.busiest = 0
        self.decide: Decide = lambda call: OK
        self._gate = asyncio.Event()
        self._gate.set()
        self._opens_at = 0.0
        self._busy = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/orders"

    @property
    def taken(self) -> list[Call]:
        """The calls that got a 2xx answer."""
        return [call for call, answer in self.done if 200 <= answer.status < 300]

    def hold_until_busy(self, requests: float) -> None:
        """Answer nobody until so many requests are in hand."""
        self._opens_at = requests
        self._gate.clear()

    def hold(self) -> None:
        """Answer nobody until ``let_go``."""
        self.hold_until_busy(math.inf)

    def let_go(self) -> None:
        """Answer everybody again."""
        self.hold_until_busy(0)
        self._gate.set()

    async def start(self) -> None:
        """Listen, always on the same port."""
        self._server = await asyncio.start_server(
            self._connected, LOOPBACK, self.port, reuse_port=True
        )

    async def stop(self) -> None:
        """Go away, and drop every connection."""
        server, self._server = self._server, None
        if server is None:
            return
        for _ in range(5):  # a closed server loses what it has just accepted
            await asyncio.sleep(0)
        server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await server.wait_closed()

    def leave(self) -> None:
        """Let others have the port."""
        self._keeper.close()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.close()
            return
        # known at once, so that a stop drops it also before its task has begun
        task = asyncio.get_running_loop().create_task(self._client(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while call := await _read(reader):
                if not await self._answer(call, writer):
                    break

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        self.calls.append(call)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        if self._busy >= self._opens_at:
            self._gate.set()
        try:
            await self._gate.wait()
            answer = self.decide(call)
            if answer.hang:
                await asyncio.Event().wait()
        finally:
            self._busy -= 1
        if answer.drop:
            return False
        self.done.append((call, answer))
        writer.write(_encoded(answer))
        await writer.drain()
        return True


def _encoded(answer: Answer) -> bytes:
    head = f"HTTP/1.1 {answer.status} X\r\ncontent-length: {len(answer.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    return head.encode() + b"\r\n" + answer.body


async def _read(reader: asyncio.StreamReader) -> Call | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(method, path, headers, body)


@asynccontextmanager
async def http_target() -> AsyncIterator[HttpTarget]:
    """Run a target on a free loopback port."""
    target = HttpTarget()
    await target.start()
    try:
        yield target
    finally:
        await target.stop()
        target.leave()


async def _serve_for_ever() -> None:
    async with http_target() as target:
        print(target.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever())
