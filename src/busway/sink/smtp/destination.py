"""An opened ``smtp`` sink: sends messages and returns the outcomes that the replies mean."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime

import aiosmtplib

from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    Delivered,
    Down,
    Outcome,
    Rejected,
    Retry,
)
from busway.ports import Load, LoadItem, SinkLane
from busway.sink.smtp.message import MailMessage, MailTemplate
from busway.sink.smtp.reply import (
    ReplyOutcome,
    SmtpReply,
    outcome_of,
    recipients_outcome,
)
from busway.sink.smtp.server import MailServer

_MAX_REMEMBERED = 10_000


class SmtpDestination:
    """Opens a connection per load, at most ``connections`` at a time."""

    def __init__(self, server: MailServer, mail_template: MailTemplate) -> None:
        self.server = server
        self.mail_template = mail_template
        self._connections = asyncio.Semaphore(server.connections)
        self._accepted: dict[str, set[str]] = {}
        """Recipients that accepted a message which others refused, by its key."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        async with self._connections:
            writer = SmtpLoadWriter(self, load)
            try:
                return await writer.run()
            finally:
                await writer.close()

    async def ping(self) -> Down | None:
        empty = Load(SinkLane("", "", 0), ())
        async with self._connections:
            writer = SmtpLoadWriter(self, empty)
            try:
                return await writer.ping()
            finally:
                await writer.close()

    async def close(self) -> None:
        """Do nothing: each load closes its own connection."""

    def accepted(self, key: str) -> set[str]:
        """Return the recipients that have already accepted a message."""
        return self._accepted.get(key, set())

    def remember(self, key: str, accepted: set[str], complete: bool) -> None:
        """Record who has accepted a message until all recipients have."""
        self._accepted.pop(key, None)
        if not complete and accepted:
            self._accepted[key] = accepted
            if len(self._accepted) > _MAX_REMEMBERED:
                del self._accepted[next(iter(self._accepted))]


class SmtpLoadWriter:
    """Writes one load over one connection at a time."""

    def __init__(self, destination: SmtpDestination, load: Load) -> None:
        self._destination = destination
        self._load = load
        self._client: aiosmtplib.SMTP | None = None
        self._sent = 0

    async def run(self) -> Sequence[Outcome]:
        """Return the outcome of each item; after the server is down, the rest is not tried."""
        outcomes: list[Outcome] = []
        failed: set[str | None] = set()
        down: Down | None = None
        for item in self._load.items:
            key = item.event.key if self._load.ordered else None
            if down is not None or (key is not None and key in failed):
                outcomes.append(down or BLOCKED_BY_KEY)
                continue
            outcome = await self._send_item(item)
            outcomes.append(outcome)
            if not isinstance(outcome, Delivered):
                failed.add(key)
            if isinstance(outcome, Down):
                down = outcome
        return outcomes

    async def ping(self) -> Down | None:
        """Connect and send NOOP (RFC 5321, section 4.1.1.9); return why that fails, if it does."""
        failure = await self._connect()
        if failure is not None:
            return failure
        try:
            reply = await _reply_to(self._require_client.noop())
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return self._connection_lost(f"the connection broke: {_error_cause(error)}")
        return None if reply.is_positive else self._connection_lost(f"{reply.code} {reply.line}")

    async def close(self) -> None:
        """Quit if still connected."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=1.0)
            client.close()

    async def _send_item(self, item: LoadItem) -> Outcome:
        messages = self._destination.mail_template.render(item, datetime.now(UTC))
        if isinstance(messages, Rejected):
            return messages
        for message in messages:
            outcome = await self._send_message(message)
            if not isinstance(outcome, Delivered):
                return outcome
        return DELIVERED

    async def _send_message(self, message: MailMessage) -> ReplyOutcome:
        """Send a message; retry over a new connection if the server ended a used one."""
        if self._destination.accepted(message.key).issuperset(message.to):
            return DELIVERED
        used = self._sent > 0
        outcome = await self._send_over_connection(message)
        if isinstance(outcome, Down) and outcome.reachable and used:
            outcome = await self._send_over_connection(message)
        return outcome

    async def _send_over_connection(self, message: MailMessage) -> ReplyOutcome:
        if self._client is None or not self._client.is_connected:
            self._sent = 0
            failure = await self._connect()
            if failure is not None:
                return failure
        outcome: ReplyOutcome | None = None
        try:
            outcome = await self._run_transaction(message)
            self._sent += 1
        except TimeoutError:
            outcome = self._connection_lost(
                f"no reply within {self._destination.server.timeout_s} s"
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            outcome = self._connection_lost(f"the connection broke: {_error_cause(error)}")
        if isinstance(outcome, Down):
            self._disconnect()
        return outcome

    async def _connect(self) -> Down | None:
        server = self._destination.server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            local_hostname=socket.gethostname() or "localhost",
            timeout=server.timeout_s,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=server.tls_context,
        )
        try:
            await client.connect()
        except aiosmtplib.SMTPAuthenticationError as error:
            reason = f"it rejects the username or the password: {error.code} {error.message}"
        except aiosmtplib.SMTPNotSupported as error:
            reason = f"it does not support what is declared: {error.message}"
        except ssl.SSLError as error:
            reason = f"the TLS handshake failed: {_error_cause(error)}"
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            reason = f"it cannot be reached: {_error_cause(error)}"
        else:
            self._client = client
            return None
        client.close()
        return Down(f"{server.name}: {reason}")

    async def _run_transaction(self, message: MailMessage) -> ReplyOutcome:
        """Send a message (RFC 5321, section 3.3) to the recipients that have not accepted it."""
        client, before = self._require_client, self._destination.accepted(message.key)
        reply = await _reply_to(client.mail(message.sender))
        if not reply.is_positive:
            return await self._reset(outcome_of(reply))
        accepted_now, refusals = [], {}
        for recipient in (recipient for recipient in message.to if recipient not in before):
            reply = await _reply_to(client.rcpt(recipient))
            if isinstance(outcome := outcome_of(reply), Down):
                return outcome
            if reply.is_positive:
                accepted_now.append(recipient)
            else:
                refusals[recipient] = reply
        if not accepted_now:
            return await self._reset(recipients_outcome(refusals, sorted(before)))
        outcome = outcome_of(await _reply_to(client.data(message.content)))
        if not isinstance(outcome, Delivered):
            return await self._reset(outcome)
        accepted = before | set(accepted_now)
        self._destination.remember(message.key, accepted, complete=not refusals)
        return recipients_outcome(refusals, sorted(accepted))

    @property
    def _require_client(self) -> aiosmtplib.SMTP:
        if self._client is None:
            raise aiosmtplib.SMTPServerDisconnected("there is no connection")
        return self._client

    async def _reset(self, outcome: ReplyOutcome) -> ReplyOutcome:
        """Reset the transaction so that the connection can be reused."""
        if self._client is not None and isinstance(outcome, Retry | Rejected):
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await self._client.rset()
        return outcome

    def _connection_lost(self, reason: str) -> Down:
        return Down(f"{self._destination.server.name}: {reason}", reachable=True)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


async def _reply_to(command: Awaitable[aiosmtplib.SMTPResponse]) -> SmtpReply:
    try:
        response = await command
    except aiosmtplib.SMTPResponseException as error:
        return SmtpReply(error.code, error.message)
    return SmtpReply(response.code, response.message)


def _error_cause(error: BaseException) -> str:
    return getattr(error, "message", None) or str(error) or type(error).__name__
