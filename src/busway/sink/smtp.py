"""The ``smtp`` sink: each result is an e-mail."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import msgspec

from busway.errors import SinkError
from busway.parameter import DeclarableFunction
from busway.ports import Destination, Landing, Supplies
from busway.settings import Env, resolve
from busway.sink.declared import check_count, label, seconds
from busway.sink.smtp_letter import Letters, addresses, recipients
from busway.sink.smtp_server import Server, Tls, context
from busway.sink.template import Text, filler

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Smtp(DeclarableFunction, frozen=True):
    """A mail server that takes each result as a message of its own.

    >>> Smtp("mail.example", sender="busway@shop.example", to="ops@shop.example").name
    'smtp mail.example to ops@shop.example'

    At least once: a message has a ``Message-ID`` that stays the same however often it is sent.
    ``subject``, ``text``, ``html`` and ``to`` are templates, or functions of the result that return
    the text; without ``text`` the data is sent as JSON. ``port`` is that of ``tls`` unless given
    (587 for ``starttls``, 465 for ``tls``, 25 for ``none``); certificates are verified, against
    those in the file ``ca`` where that is given.
    """

    host: str | Env
    sender: str | Env
    to: Text | Env | Sequence[str | Env]
    subject: Text = "{type} {subject}"
    text: Text | None = None
    html: Text | None = None
    port: int | None = None
    username: str | Env | None = None
    password: str | Env | None = None
    tls: Tls = "starttls"
    ca: str | Env | None = None
    timeout: str | float = "30s"
    connections: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.to, str | Env) and not callable(self.to):
            msgspec.structs.force_setattr(self, "to", tuple(self.to))

    @property
    def name(self) -> str:
        return f"smtp {label(self.host)} to {self._to}"

    @property
    def _to(self) -> str:
        if callable(self.to):
            return "whom a function says"
        several = (self.to,) if isinstance(self.to, str | Env) else self.to
        return ", ".join(label(one) for one in several)

    def landing(self) -> Landing:
        return Landing("mail", f"{self._to} by {label(self.host)}")

    async def open(self, supplies: Supplies) -> Destination:
        # aiosmtplib takes its time to import, which only a flow that uses it should pay.
        from busway.sink.smtp_destination import SmtpDestination  # noqa: PLC0415

        return SmtpDestination(self.server(), self.letters())

    def check(self) -> None:
        self.server()
        self.letters()

    def letters(self) -> Letters:
        """Return how mails are written. Raises :class:`SinkError` for what can never work."""
        return Letters(
            sender=addresses("sender", resolve(self.sender))[0],
            to=recipients(self.to),
            subject=filler("smtp", "subject", self.subject),
            text=None if self.text is None else filler("smtp", "text", self.text),
            html=None if self.html is None else filler("smtp", "html", self.html),
        )

    def server(self) -> Server:
        """Return the server with its variables filled in.

        Raises :class:`SinkError` for what can never work.
        """
        check_count("smtp", "connections", self.connections)
        port = _PORTS[self.tls] if self.port is None else self.port
        check_count("smtp", "port", port)
        host = resolve(self.host)
        if not host or not host.isprintable() or " " in host:
            raise SinkError(f"smtp(host={host!r}): give the name of a mail server")
        if (self.username is None) != (self.password is None):
            raise SinkError("smtp(username=…, password=…): give both, or none of them")
        return Server(
            host=host,
            port=port,
            username=None if self.username is None else resolve(self.username),
            password=None if self.password is None else resolve(self.password),
            tls=self.tls,
            context=None if self.tls == "none" else self._context(),
            timeout_s=seconds("smtp", "timeout", self.timeout),
            connections=self.connections,
        )

    def _context(self) -> ssl.SSLContext:
        return context(None if self.ca is None else resolve(self.ca))
