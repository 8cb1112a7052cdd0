"""An intake server with a list for a bus, and a client that sends it bytes as they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from busway.clock import Clock, SystemClock
from busway.ports import AppendEnvelope, AppendReceipt
from busway.source.http import (
    IntakeConfig,
    IntakeLimits,
    IntakeServer,
    RequestObserver,
    SourceRoute,
)
from busway.source.http.config import NullRequestObserver
from busway.source.mount import EventsOnly, mounted

PATIENCE_S = 60.0
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"
SMALL = IntakeLimits(
    max_body_bytes=4096,
    max_event_bytes=1024,
    max_in_flight_bytes=6000,
    max_in_flight_requests=8,
    max_head_bytes=2048,
)
HASTY = IntakeLimits(head_timeout_s=0.2, body_timeout_s=0.2, min_bytes_per_s=100_000)
IDLE_S = 0.4


class ListIntake:
    """A bus that is a list: an event is known again by its source and id.

    ``error`` is raised by every append; ``hold`` keeps appends unanswered until ``release``.
    """

    def __init__(self) -> None:
        self.raws: list[bytes] = []
        self.envelopes: list[AppendEnvelope] = []
        self.error: BaseException | None = None
        self.hold = False
        self.arrived = asyncio.Event()
        self._known: set[tuple[str, str]] = set()
        self._held: list[tuple[asyncio.Future[AppendReceipt], AppendReceipt]] = []

    def append(
        self, raws: Sequence[bytes], envelopes: Sequence[AppendEnvelope]
    ) -> asyncio.Future[AppendReceipt]:
        future: asyncio.Future[AppendReceipt] = asyncio.get_running_loop().create_future()
        self.arrived.set()
        if isinstance(self.error, asyncio.CancelledError):
            future.cancel()
            return future
        if self.error is not None:
            future.set_exception(self.error)
            return future
        fresh = 0
        for raw, envelope in zip(raws, envelopes, strict=True):
            identity = (envelope.source, envelope.id)
            if identity not in self._known:
                self._known.add(identity)
                self.raws.append(raw)
                self.envelopes.append(envelope)
                fresh += 1
        self._held.append((future, AppendReceipt(accepted=fresh, duplicates=len(raws) - fresh)))
        if not self.hold:
            self.release()
        return future

    def release(self) -> None:
        """Answer what is held, the last one first: answers must not depend on the order."""
        held, self._held = self._held, []
        for future, appended in reversed(held):
            future.set_result(appended)

    @property
    def held(self) -> int:
        return len(self._held)


class Answer(msgspec.Struct, frozen=True):
    """A response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "POST") -> Answer:
        """Read one response; interim ones as well."""
        head = await self._soon(self._reader.readuntil(b"\r\n\r\n"))
        first, *lines = head.decode().rstrip().split("\r\n")
        headers = {key.lower(): value for key, _, value in (x.partition(": ") for x in lines)}
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        body = await self._soon(self._reader.readexactly(length))
        return Answer(int(first.split()[1]), headers, body)

    async def ask(self, data: bytes, method: str = "POST") -> Answer:
        await self.send(data)
        return await self.answer(method)

    async def ended(self) -> bool:
        """Wait until the server ends the connection; say that nothing came before."""
        try:
            return bool(await self._soon(self._reader.read()) == b"")
        except ConnectionResetError:
            return True

    async def _soon(self, work: Any) -> Any:
        return await asyncio.wait_for(work, PATIENCE_S)


class Desk:
    """A running server with what it was given."""

    def __init__(self, server: IntakeServer, intake: ListIntake, port: int) -> None:
        self.server = server
        self.intake = intake
        self.port = port
        self.reason: str | None = None
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._clients.append(Client(reader, writer))
        return self._clients[-1]

    async def ask(self, data: bytes, method: str = "POST") -> Answer:
        """Send one request over a connection of its own."""
        return await (await self.connect()).ask(data, method)

    async def hang_up(self) -> None:
        for client in self._clients:
            client.writer.close()
            with suppress(OSError):
                await client.writer.wait_closed()


@asynccontextmanager
async def serving(
    limits: IntakeLimits | None = None,
    observer: RequestObserver | None = None,
    fallback: Callable[[], asyncio.Protocol] | None = None,
    clock: Clock | None = None,
    sources: Sequence[SourceRoute] | None = None,
) -> AsyncIterator[Desk]:
    """Run an intake server on a free port, for CloudEvents unless it is given other sources."""
    intake = ListIntake()
    desks: list[Desk] = []
    largest = (limits or IntakeLimits()).max_event_bytes
    config = IntakeConfig(
        intake=intake,
        port=0,
        limits=limits or IntakeLimits(),
        sources=mounted(EventsOnly(), largest) if sources is None else sources,
        metrics=lambda: b"busway_up 1\n",
        unready_reason=lambda: desks[0].reason,
        observer=observer or NullRequestObserver(),
        fallback=fallback,
        clock=clock or SystemClock(),
    )
    server = IntakeServer(config)
    desks.append(Desk(server, intake, await server.start()))
    try:
        yield desks[0]
    finally:
        await desks[0].hang_up()
        await server.close()


def event(number: int = 1, **members: Any) -> bytes:
    """Return the JSON of a valid event, with some members changed."""
    plain = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order.created"}
    return json.dumps(plain | {"data": {"n": number}} | members).encode()


def request(
    body: bytes = b"",
    kind: str = STRUCTURED,
    *headers: str,
    line: str = "POST /events HTTP/1.1",
    host: str = "Host: here",
) -> bytes:
    """Return a request with a Content-Length."""
    content = [f"Content-Type: {kind}"] if kind else []
    lines = [line, host, *content, f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(x for x in lines if x).encode() + b"\r\n\r\n" + body


def chunked(body: bytes, size: int = 7, kind: str = STRUCTURED, *headers: str) -> bytes:
    """Return a request with a chunked body."""
    lines = ["POST /events HTTP/1.1", "Host: here", f"Content-Type: {kind}"]
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked", *headers]).encode() + b"\r\n\r\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return head + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
