"""The connection to the servers: questions, answers in one message or in many, and errors."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Self

import nats
import nats.errors
from nats.aio.msg import Msg

from busway.engine.jetstream.client import Client, told
from busway.engine.jetstream.patience import Patience
from busway.engine.jetstream.place import Place
from busway.errors import StoreError

ANSWER_S = 5.0
CONNECT_S = 5
_RECONNECT_S = 0.2
_PING_S = 2
_PENDING_BYTES = 64 * 1024 * 1024
_INBOX_BYTES = 512 * 1024 * 1024
_STATUS = "Status"
_NO_RESPONDERS = "503"

Take = Callable[[Msg], None]


class Unanswered(StoreError):
    """Nobody answered, or the answer was lost: what was asked for may have been done."""


class NobodyThere(Unanswered):
    """Nobody listens there now: what was asked for was not done."""


class TooLarge(StoreError):
    """It is larger than what the servers take now, and was not sent."""


class Link:
    """One connection, opened again whenever it was lost; closed only by :meth:`close`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._client = Client()
        self._inbox = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, tuple[asyncio.Future[list[Msg]], Take]] = {}
        self._hearing: list[tuple[str, Callable[[Msg], Awaitable[None]]]] = []
        self._opening = asyncio.Lock()
        self._up = asyncio.Event()
        self._closed = False
        self._starting = Patience("it is only asked once more while it starts")
        self._trouble = ""
        self.on_return: Callable[[], None] = lambda: None
        """Called when the connection is back after it was lost."""

    @classmethod
    async def open(cls, place: Place) -> Self:
        """Connect; raises :class:`StoreError` when no server can be used now."""
        link = cls(place)
        await link._connect()
        return link

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the server that this is connected to."""
        found = self._client.connected_server_version
        return found.major, found.minor, found.patch

    @property
    def clustered(self) -> bool:
        """Whether that server is one of a cluster."""
        return bool(self._client._server_info.get("cluster"))

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, headers included."""
        return self._client.max_payload

    @property
    def jetstream(self) -> bool:
        """Whether that server keeps streams itself; others that it is joined with may do."""
        return bool(self._client._server_info.get("jetstream"))

    async def answers(self, subject: str) -> bool:
        """Say whether anybody answers to a subject."""
        try:
            await self._exchange(subject, b"", None, many=False)
        except NobodyThere:
            return False
        return True

    async def hear(self, subject: str, take: Callable[[Msg], Awaitable[None]]) -> None:
        """Give every message of a subject to ``take``, from now on and after each reconnection."""
        client = await self._ready()
        self._hearing.append((subject, take))
        await client.subscribe(subject, cb=take)

    async def ask(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> Msg:
        """Return the answer to a message.

        Raises :class:`Unanswered` when there is none, another :class:`StoreError` when there never
        is one.
        """
        return (await self._exchange(subject, body, headers, many=False))[0]

    async def inquire(self, subject: str, body: bytes, *, many: bool = False) -> list[Msg]:
        """Return the answer to what may be asked twice, or all up to one that says "no more".

        In the first seconds it is asked again while there is none: a start survives a server.
        """
        while True:
            try:
                return await self._exchange(subject, body, None, many=many)
            except Unanswered as error:
                if self._starting.over:
                    raise
                await self._starting.pause(error)

    async def tell(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a message that has no answer."""
        await self._publish(await self._ready(), subject, body, headers, "")

    async def close(self) -> None:
        self._closed = True
        self._drop("it was closed")
        await self._client.close()

    async def _exchange(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None, *, many: bool
    ) -> list[Msg]:
        client = await self._ready()
        token = str(next(self._numbers))
        future: asyncio.Future[list[Msg]] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (future, _collector(future, many=many))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._publish(client, subject, body, headers, f"{self._inbox}.{token}")
                answers = await future
        except TimeoutError as error:
            raise self._silence(subject) from error
        finally:
            del self._waiting[token]
        if _status(answers[-1]) == _NO_RESPONDERS:
            raise NobodyThere(f"{self.place}: no server answers for the stream now (no leader?)")
        return answers

    async def _publish(
        self,
        client: Client,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        reply: str,
    ) -> None:
        try:
            await client.publish(subject, body, reply, dict(headers) if headers else None)
        except nats.errors.MaxPayloadError as error:
            raise TooLarge(
                f"{self.place}: the servers take messages of {client.max_payload} bytes now, and"
                f" one has {len(body)}; raise max_payload on the servers (several events are"
                " divided when they are sent again)"
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise self._lost(error) from error

    async def _arrived(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None and not waiting[0].done():
            waiting[1](message)

    async def _ready(self) -> Client:
        if self._closed:
            raise StoreError(f"{self.place}: the log is closed")
        if self._client.is_closed:
            await self._connect()
        if not self._client.is_connected:
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._up.wait()
            except TimeoutError as error:
                raise self._lost(error) from error
        return self._client

    async def _connect(self) -> None:
        async with self._opening:
            if self._client.is_connected:
                return
            client = Client(tls=self.place.tls)
            try:
                await self._begin(client)
            except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                with contextlib.suppress(Exception):
                    await client.close()
                raise self._lost(error) from error
            self._client = client
            self._trouble = ""
            self._up.set()

    async def _begin(self, client: Client) -> None:
        async with asyncio.timeout(CONNECT_S * (len(self.place.servers) + 1)):
            await client.connect(
                **self.place.connecting(),
                name="busway",
                error_cb=self._went_wrong,
                disconnected_cb=self._went_away,
                reconnected_cb=self._came_back,
                closed_cb=self._went_away,
                connect_timeout=CONNECT_S,
                # declared as whole seconds, and used as any number of them
                reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]
                max_reconnect_attempts=len(self.place.servers),
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                pending_size=_PENDING_BYTES,
            )
        client.options["max_reconnect_attempts"] = -1
        self._inbox = client.new_inbox()
        await client.subscribe(
            f"{self._inbox}.*", cb=self._arrived, pending_bytes_limit=_INBOX_BYTES
        )
        for subject, take in self._hearing:
            await client.subscribe(subject, cb=take)

    async def _went_wrong(self, error: Exception) -> None:
        self._trouble = told(error)

    async def _went_away(self) -> None:
        self._up.clear()
        self._drop("the connection was lost")

    async def _came_back(self) -> None:
        self._trouble = ""
        self._up.set()
        self.on_return()

    def _drop(self, reason: str) -> None:
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(Unanswered(f"{self.place}: {reason}"))

    def _silence(self, subject: str) -> StoreError:
        """Return what no answer means: for good, where a server has denied to ask or to hear."""
        text = f"{self.place}: no answer within {ANSWER_S:g} s"
        about = (f'"{subject}"'.lower(), f'"{self._inbox}.'.lower())
        if any(one in self._trouble.lower() for one in about):
            return StoreError(f"{text}: {self._trouble}")
        return Unanswered(text)

    def _lost(self, error: BaseException) -> Unanswered:
        return Unanswered(f"{self.place} cannot be used now: {self._trouble or told(error)}")


def _collector(future: asyncio.Future[list[Msg]], *, many: bool) -> Take:
    found: list[Msg] = []

    def take(message: Msg) -> None:
        found.append(message)
        if not many or _status(message):
            future.set_result(found)

    return take


def _status(message: Msg) -> str:
    return (message.headers or {}).get(_STATUS, "")
