"""An opened ``smtp`` sink: sends messages, and judges each event by what the server replied."""

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
    """Opens a connection for a load and closes it after it, ``connections`` at a time at most."""

    def __init__(self, server: MailServer, mail_template: MailTemplate) -> None:
        self.server = server
        self.mail_template = mail_template
        self._connections = asyncio.Semaphore(server.connections)
        self._accepted: dict[str, set[str]] = {}
        """Of messages that some recipients were refused of: those who have it already."""

    async def write(self, load: Load) -> Sequence[Outcome]:
        async with self._connections:
            sending = SmtpLoadWriter(self, load)
            try:
                return await sending.run()
            finally:
                await sending.close()

    async def ping(self) -> Down | None:
        empty = Load(SinkLane("", "", 0), ())
        async with self._connections:
            sending = SmtpLoadWriter(self, empty)
            try:
                return await sending.ping()
            finally:
                await sending.close()

    async def close(self) -> None:
        """Every load closes its own connection."""

    def accepted(self, key: str) -> set[str]:
        """Return who has a message already."""
        return self._accepted.get(key, set())

    def remember(self, key: str, accepted: set[str], complete: bool) -> None:
        """Note who has a message, until all have it."""
        self._accepted.pop(key, None)
        if not complete and accepted:
            self._accepted[key] = accepted
            if len(self._accepted) > _MAX_REMEMBERED:
                del self._accepted[next(iter(self._accepted))]


class SmtpLoadWriter:
    """One load on its way, over one connection at a time."""

    def __init__(self, destination: SmtpDestination, load: Load) -> None:
        self._destination = destination
        self._load = load
        self._client: aiosmtplib.SMTP | None = None
        self._sent = 0

    async def run(self) -> Sequence[Outcome]:
        """Return what became of each item; once it is down, the rest is not tried."""
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
        """Connect and do nothing (RFC 5321, section 4.1.1.9); say why not, where that fails."""
        failure = await self._connect()
        if failure is not None:
            return failure
        try:
            reply = await _reply_to(self._require_client.noop())
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            return self._connection_lost(f"the connection broke: {_error_cause(error)}")
        return None if reply.is_positive else self._connection_lost(f"{reply.code} {reply.line}")

    async def close(self) -> None:
        """Say goodbye, where the connection still is."""
        client, self._client = self._client, None
        if client is not None and client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await client.quit(timeout=1.0)
            client.close()

    async def _send_item(self, item: LoadItem) -> Outcome:
        letters = self._destination.mail_template.render(item, datetime.now(UTC))
        if isinstance(letters, Rejected):
            return letters
        for letter in letters:
            verdict = await self._send_message(letter)
            if not isinstance(verdict, Delivered):
                return verdict
        return DELIVERED

    async def _send_message(self, message: MailMessage) -> ReplyOutcome:
        """Send a letter; once more over a new connection where the server had enough of ours."""
        if self._destination.accepted(message.key).issuperset(message.to):
            return DELIVERED
        used = self._sent > 0
        verdict = await self._send_over_connection(message)
        if isinstance(verdict, Down) and verdict.reachable and used:
            verdict = await self._send_over_connection(message)
        return verdict

    async def _send_over_connection(self, message: MailMessage) -> ReplyOutcome:
        if self._client is None or not self._client.is_connected:
            self._sent = 0
            failure = await self._connect()
            if failure is not None:
                return failure
        verdict: ReplyOutcome | None = None
        try:
            verdict = await self._run_transaction(message)
            self._sent += 1
        except TimeoutError:
            verdict = self._connection_lost(
                f"no reply within {self._destination.server.timeout_s} s"
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            verdict = self._connection_lost(f"the connection broke: {_error_cause(error)}")
        if isinstance(verdict, Down):
            self._disconnect()
        return verdict

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
            reason = f"it refuses the username or the password: {error.code} {error.message}"
        except aiosmtplib.SMTPNotSupported as error:
            reason = f"it cannot do what is declared: {error.message}"
        except ssl.SSLError as error:
            reason = f"no TLS with it: {_error_cause(error)}"
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            reason = f"it cannot be reached: {_error_cause(error)}"
        else:
            self._client = client
            return None
        client.close()
        return Down(f"{server.name}: {reason}")

    async def _run_transaction(self, message: MailMessage) -> ReplyOutcome:
        """Send one message (RFC 5321, section 3.3) to those who do not have it."""
        client, before = self._require_client, self._destination.accepted(message.key)
        reply = await _reply_to(client.mail(message.sender))
        if not reply.is_positive:
            return await self._reset(outcome_of(reply))
        taken, refusals = [], {}
        for to in (one for one in message.to if one not in before):
            reply = await _reply_to(client.rcpt(to))
            if isinstance(verdict := outcome_of(reply), Down):
                return verdict
            if reply.is_positive:
                taken.append(to)
            else:
                refusals[to] = reply
        if not taken:
            return await self._reset(recipients_outcome(refusals, sorted(before)))
        verdict = outcome_of(await _reply_to(client.data(message.content)))
        if not isinstance(verdict, Delivered):
            return await self._reset(verdict)
        accepted = before | set(taken)
        self._destination.remember(message.key, accepted, complete=not refusals)
        return recipients_outcome(refusals, sorted(accepted))

    @property
    def _require_client(self) -> aiosmtplib.SMTP:
        if self._client is None:
            raise aiosmtplib.SMTPServerDisconnected("there is no connection")
        return self._client

    async def _reset(self, outcome: ReplyOutcome) -> ReplyOutcome:
        """Take the message back, so that the connection is good for the next one."""
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
