"""What a destination says leaves its gate without secrets, whoever made the text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from busway import Event, env
from busway.clock import SystemClock
from busway.outcome import Down, Gone, Outcome, Rejected, Retry
from busway.ports import Load, LoadItem, Sink, SinkLane
from busway.runtime.admission.destination_guard import DestinationGuard
from busway.runtime.admission.opened_sink import OpenedSink
from busway.sinks import chat, http
from listed_sink import NoBus

SECRETS = ("S3CRET-TOKEN", "S3CRET-HOOK")
LOAD = Load(
    SinkLane("log", "f", 0),
    [LoadItem(0, Event(type="t", source="/s", id="e", data={"n": 1}), [{"n": 1}], "f")],
)


def plain(status: str, body: bytes, header: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{header}\r\n".encode() + body


ANSWERS = [
    b"garbage\r\n\r\n",
    plain("404 No", b"Cannot POST /hook/S3CRET-HOOK?token=S3CRET-TOKEN, sorry."),
    plain("500 No", 290 * b"x" + b" /hook/S3CRET-HOOK and so on and so on"),
    plain("301 Moved", b"", "Location: /hook/S3CRET-HOOK\r\n"),
    plain("410 Gone", b"/hook/S3CRET-HOOK"),
    plain("200 OK", b"abcd", "Content-Encoding: gzip\r\n"),
    b"",
]


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer[:14].decode())
@pytest.mark.parametrize("kind", ["http", "chat"])
async def test_no_answer_shows_a_secret(
    answer: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(answer) as port:
        url = f"http://127.0.0.1:{port}/hook/S3CRET-HOOK?token=S3CRET-TOKEN"
        monkeypatch.setenv("URL", url)
        sink: Sink = http(env("URL")) if kind == "http" else chat(env("URL"), "{data[n]}")
        opened = OpenedSink(sink, await sink.open(NoBus()))
        gate = DestinationGuard(opened, SystemClock())
        outcomes = await gate.write(LOAD)
        await opened.destination.close()
    texts = f"{outcomes} {gate.breaker}"
    assert not [secret for secret in SECRETS if secret in texts]


class Theirs:
    """A destination of somebody else that answers, or raises, what it is made with."""

    name = "theirs"

    def __init__(self, answer: Outcome | Exception) -> None:
        self.url = "https://h.example/hook/S3CRET-HOOK"
        self._answer = answer

    async def open(self, supplies: object) -> Theirs:
        return self

    async def write(self, load: Load) -> Sequence[Outcome]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer for _ in load.items]

    async def close(self) -> None: ...


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError


TEXT = "POST /hook/s3cret-hook and https://h.example/x?token=S3CRET-TOKEN"


@pytest.mark.parametrize(
    "answer",
    [
        Retry(TEXT, TEXT),
        Rejected("no", TEXT),
        Down(TEXT, error=TEXT),
        Gone(TEXT),
        ValueError(TEXT),
        Unshowable(),
    ],
)
async def test_no_text_of_a_sink_shows_a_secret(answer: Outcome | Exception) -> None:
    sink = Theirs(answer)
    gate = DestinationGuard(OpenedSink(sink, sink), SystemClock())
    texts = f"{await gate.write(LOAD)} {gate.breaker}".upper()
    assert not [secret for secret in SECRETS if secret in texts]


async def test_a_question_is_answered_without_a_secret() -> None:
    async def down() -> Down:
        return Down(TEXT)

    sink = Theirs(Down(TEXT))
    gate = DestinationGuard(OpenedSink(sink, sink), SystemClock())
    ask: Callable[[Awaitable[Any]], Awaitable[Any]] = gate.query
    assert "S3CRET" not in f"{await ask(down())} {gate.breaker}".upper()
