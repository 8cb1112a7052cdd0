"""The connection to the servers: requests, replies of one message or many, and errors."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Self

import nats
import nats.errors
from nats.aio.msg import Msg

from busway.engine.jetstream.address import JetStreamAddress
from busway.engine.jetstream.client import NatsClient, describe_error
from busway.engine.jetstream.retry_deadline import RetryDeadline
from busway.errors import StoreError

REPLY_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 5
_RECONNECT_INTERVAL_S = 0.2
_PING_INTERVAL_S = 2
_PENDING_BYTES = 64 * 1024 * 1024
_INBOX_BYTES = 512 * 1024 * 1024
_STATUS_HEADER = "Status"
_NO_RESPONDERS_STATUS = "503"

MessageHandler = Callable[[Msg], None]


class NoReply(StoreError):
    """There was no reply, or it was lost: the request may have been executed."""


class NoResponders(NoReply):
    """No server listens: the request was not executed."""


class MessageTooLarge(StoreError):
    """The message is larger than the servers accept now, and was not sent."""


class _PendingRequest(NamedTuple):
    future: asyncio.Future[list[Msg]]
    handler: MessageHandler


class NatsConnection:
    """One connection, reopened whenever it is lost; closed only by :meth:`close`."""

    def __init__(self, address: JetStreamAddress) -> None:
        self.address = address
        self._client = NatsClient()
        self._inbox = ""
        self._request_ids = itertools.count()
        self._pending: dict[str, _PendingRequest] = {}
        self._subscriptions: list[tuple[str, Callable[[Msg], Awaitable[None]]]] = []
        self._connecting = asyncio.Lock()
        self._connected = asyncio.Event()
        self._closed = False
        self._startup_deadline = RetryDeadline("requests are repeated only during the start")
        self._last_error = ""
        self.on_reconnect: Callable[[], None] = lambda: None
        """Called when a lost connection is back."""

    @classmethod
    async def open(cls, address: JetStreamAddress) -> Self:
        """Connect; raises :class:`StoreError` if no server can be used now."""
        connection = cls(address)
        await connection._connect()
        return connection

    @property
    def version(self) -> tuple[int, int, int]:
        """The version of the connected server."""
        version = self._client.connected_server_version
        return version.major, version.minor, version.patch

    @property
    def clustered(self) -> bool:
        """Whether the connected server belongs to a cluster."""
        return bool(self._client._server_info.get("cluster"))

    @property
    def max_payload(self) -> int:
        """The largest message that the server accepts, headers included."""
        return self._client.max_payload

    @property
    def jetstream(self) -> bool:
        """Whether the connected server has JetStream itself; other servers of its cluster may."""
        return bool(self._client._server_info.get("jetstream"))

    async def has_responders(self, subject: str) -> bool:
        """Return whether any server replies on a subject."""
        try:
            await self._request(subject, b"", None, many=False)
        except NoResponders:
            return False
        return True

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> None:
        """Pass every message of a subject to ``handler``, also after reconnections."""
        client = await self._connected_client()
        self._subscriptions.append((subject, handler))
        await client.subscribe(subject, cb=handler)

    async def request(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Msg:
        """Return the reply to a message.

        Raises :class:`NoReply` if there is none, another :class:`StoreError` if there can be none.
        """
        return (await self._request(subject, body, headers, many=False))[0]

    async def request_repeatedly(
        self, subject: str, body: bytes, *, many: bool = False
    ) -> list[Msg]:
        """Return the reply to an idempotent request; with ``many`` all replies, up to a status.

        In the first seconds it is repeated until there is a reply: a start survives a server that
        goes down.
        """
        while True:
            try:
                return await self._request(subject, body, None, many=many)
            except NoReply as error:
                if self._startup_deadline.has_passed:
                    raise
                await self._startup_deadline.pause(error)

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a message without a reply."""
        await self._publish(await self._connected_client(), subject, body, headers, "")

    async def close(self) -> None:
        self._closed = True
        self._fail_pending("the connection was closed")
        await self._client.close()

    async def _request(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None, *, many: bool
    ) -> list[Msg]:
        client = await self._connected_client()
        token = str(next(self._request_ids))
        future: asyncio.Future[list[Msg]] = asyncio.get_running_loop().create_future()
        self._pending[token] = _PendingRequest(future, _collector(future, many=many))
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._publish(client, subject, body, headers, f"{self._inbox}.{token}")
                replies = await future
        except TimeoutError as error:
            raise self._no_reply_error(subject) from error
        finally:
            del self._pending[token]
        if _status(replies[-1]) == _NO_RESPONDERS_STATUS:
            raise NoResponders(
                f"{self.address}: no server responds for the stream now (no leader?)"
            )
        return replies

    async def _publish(
        self,
        client: NatsClient,
        subject: str,
        body: bytes,
        headers: Mapping[str, str] | None,
        reply: str,
    ) -> None:
        try:
            await client.publish(subject, body, reply, dict(headers) if headers else None)
        except nats.errors.MaxPayloadError as error:
            raise MessageTooLarge(
                f"{self.address}: the servers accept messages of {client.max_payload} bytes now,"
                f" and one has {len(body)}; raise max_payload on the servers (a message of several"
                " events is split when it is sent again)"
            ) from error
        except (nats.errors.Error, OSError) as error:
            raise self._connection_error(error) from error

    async def _handle_reply(self, message: Msg) -> None:
        pending = self._pending.get(message.subject.rpartition(".")[2])
        if pending is not None and not pending.future.done():
            pending.handler(message)

    async def _connected_client(self) -> NatsClient:
        if self._closed:
            raise StoreError(f"{self.address}: the log is closed")
        if self._client.is_closed:
            await self._connect()
        if not self._client.is_connected:
            try:
                async with asyncio.timeout(REPLY_TIMEOUT_S):
                    await self._connected.wait()
            except TimeoutError as error:
                raise self._connection_error(error) from error
        return self._client

    async def _connect(self) -> None:
        async with self._connecting:
            if self._client.is_connected:
                return
            client = NatsClient(tls=self.address.tls)
            try:
                await self._start_client(client)
            except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
                with contextlib.suppress(Exception):
                    await client.close()
                raise self._connection_error(error) from error
            self._client = client
            self._last_error = ""
            self._connected.set()

    async def _start_client(self, client: NatsClient) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S * (len(self.address.servers) + 1)):
            await client.connect(
                **self.address.connect_options(),
                name="busway",
                error_cb=self._handle_error,
                disconnected_cb=self._handle_disconnect,
                reconnected_cb=self._handle_reconnect,
                closed_cb=self._handle_disconnect,
                connect_timeout=CONNECT_TIMEOUT_S,
                # declared as an int, and used as a float
                reconnect_time_wait=_RECONNECT_INTERVAL_S,  # type: ignore[arg-type]
                max_reconnect_attempts=len(self.address.servers),
                ping_interval=_PING_INTERVAL_S,
                max_outstanding_pings=2,
                pending_size=_PENDING_BYTES,
            )
        client.options["max_reconnect_attempts"] = -1
        self._inbox = client.new_inbox()
        await client.subscribe(
            f"{self._inbox}.*", cb=self._handle_reply, pending_bytes_limit=_INBOX_BYTES
        )
        for subject, handler in self._subscriptions:
            await client.subscribe(subject, cb=handler)

    async def _handle_error(self, error: Exception) -> None:
        self._last_error = describe_error(error)

    async def _handle_disconnect(self) -> None:
        self._connected.clear()
        self._fail_pending("the connection was lost")

    async def _handle_reconnect(self) -> None:
        self._last_error = ""
        self._connected.set()
        self.on_reconnect()

    def _fail_pending(self, reason: str) -> None:
        for pending in self._pending.values():
            if not pending.future.done():
                pending.future.set_exception(NoReply(f"{self.address}: {reason}"))

    def _no_reply_error(self, subject: str) -> StoreError:
        """Return the error for no reply: permanent if a server has denied the subject or inbox."""
        text = f"{self.address}: no reply within {REPLY_TIMEOUT_S:g} s"
        subjects = (f'"{subject}"'.lower(), f'"{self._inbox}.'.lower())
        if any(quoted in self._last_error.lower() for quoted in subjects):
            return StoreError(f"{text}: {self._last_error}")
        return NoReply(text)

    def _connection_error(self, error: BaseException) -> NoReply:
        return NoReply(
            f"{self.address} cannot be used now: {self._last_error or describe_error(error)}"
        )


def _collector(future: asyncio.Future[list[Msg]], *, many: bool) -> MessageHandler:
    replies: list[Msg] = []

    def collect(message: Msg) -> None:
        replies.append(message)
        if not many or _status(message):
            future.set_result(replies)

    return collect


def _status(message: Msg) -> str:
    return (message.headers or {}).get(_STATUS_HEADER, "")
