"""A small real SMTP server that does what a test tells it to, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import email
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

import msgspec
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from service import kept_port

OK = "250 OK"
LOGIN = ("busway", "correct horse")


class Mail(msgspec.Struct, frozen=True):
    """A message as it came; ``encrypted`` and ``login`` say how."""

    sender: str
    to: tuple[str, ...]
    content: bytes
    encrypted: bool
    login: str | None

    @property
    def message(self) -> EmailMessage:
        return cast(EmailMessage, email.message_from_bytes(self.content, policy=cast(Any, default)))

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())


class SmtpTarget:
    """The server's controls: decide its replies, look at ``mails``, ``stop`` and start it.

    ``on_sender``, ``on_recipient`` and ``on_data`` give the replies; a reply of ``drop`` closes the
    connection instead.
    """

    def __init__(self, tls: str, ca: trustme.CA, login: bool) -> None:
        self._keeper = kept_port()
        self.port: int = self._keeper.getsockname()[1]
        self.mails: list[Mail] = []
        self.connections = 0
        self.on_sender: Callable[[str], str] = lambda sender: OK
        self.on_recipient: Callable[[str], str] = lambda to: OK
        self.on_data: Callable[[], str] = lambda: OK
        self._tls = tls
        self._login = login
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ca.issue_cert("localhost").configure_cert(self._context)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.BaseTransport] = set()

    async def start(self) -> None:
        """Listen, always on the same port."""
        loop = asyncio.get_running_loop()
        context = self._context if self._tls == "tls" else None
        self._server = await loop.create_server(
            self._protocol, "localhost", self.port, ssl=context, family=2, reuse_port=True
        )

    async def stop(self) -> None:
        """Go away, and drop every connection."""
        if self._server is None:
            return
        self._server.close()
        for transport in list(self._open):
            cast(asyncio.Transport, transport).abort()
        await self._server.wait_closed()
        self._server = None

    def leave(self) -> None:
        """Let others have the port."""
        self._keeper.close()

    def _protocol(self) -> SMTP:
        options: dict[str, Any] = {}
        if self._tls == "starttls":
            options |= {"tls_context": self._context, "require_starttls": True}
        if self._login:
            options |= {"auth_required": True, "authenticator": self._authenticate}
            options |= {"auth_require_tls": self._tls == "starttls"}
        with warnings.catch_warnings():
            # of logins without STARTTLS, which are encrypted all the same where TLS comes first
            warnings.simplefilter("ignore", UserWarning)
            return _Protocol(self, options)

    def _authenticate(
        self, server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = (data.login.decode(), data.password.decode()) == LOGIN
        return AuthResult(success=good, handled=False, auth_data=data if good else None)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.on_sender(address)
        if reply == OK:
            envelope.mail_from = address
        return _given(server, reply)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.on_recipient(address)
        if reply == OK:
            envelope.rcpt_tos.append(address)
        return _given(server, reply)

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        reply = self.on_data()
        if reply == OK:
            login = session.auth_data.login.decode() if session.auth_data else None
            encrypted = session.ssl is not None or self._tls == "tls"
            content = cast(bytes, envelope.content)
            to = tuple(envelope.rcpt_tos)
            self.mails.append(Mail(str(envelope.mail_from), to, content, encrypted, login))
        return _given(server, reply)


class _Protocol(SMTP):
    def __init__(self, target: SmtpTarget, options: dict[str, Any]) -> None:
        super().__init__(target, hostname="localhost", loop=asyncio.get_running_loop(), **options)
        self._target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._target.connections += 1
        self._target._open.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._target._open.discard(cast(asyncio.BaseTransport, self.transport))
        super().connection_lost(error)


def _given(server: SMTP, reply: str) -> str:
    if reply == "drop":
        cast(asyncio.Transport, server.transport).abort()
    return reply


@asynccontextmanager
async def smtp_target(
    folder: Path, tls: str = "none", *, login: bool = False
) -> AsyncIterator[tuple[SmtpTarget, Path]]:
    """Run a server on a free loopback port; with the file of its certificate authority."""
    ca, file = trustme.CA(), folder / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    target = SmtpTarget(tls, ca, login)
    await target.start()
    try:
        yield target, file
    finally:
        await target.stop()
        target.leave()
