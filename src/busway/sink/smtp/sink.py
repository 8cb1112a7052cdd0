"""The ``smtp`` sink: sends each result as an e-mail."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SinkError
from busway.ports import Destination, ResultLocation, SinkContext
from busway.settings import Env, resolve
from busway.sink.option import check_count_option, display_value, seconds_option
from busway.sink.smtp.message import MailTemplate, parse_addresses, parse_recipients
from busway.sink.smtp.server import MailServer, Tls, tls_context
from busway.sink.template import TemplateText, make_renderer

_DEFAULT_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Smtp(DeclarableFunction, frozen=True):
    """A mail server that receives each result as a separate message.

    >>> Smtp("mail.example", sender="busway@shop.example", to="ops@shop.example").name
    'smtp mail.example to ops@shop.example'

    At least once: the ``Message-ID`` of a message is the same for every attempt. ``subject``,
    ``text``, ``html`` and ``to`` are templates, or functions of the result that return the text;
    without ``text`` the data is sent as JSON. ``port`` defaults to 587 for ``starttls``, 465 for
    ``tls`` and 25 for ``none``. Certificates are verified against the file ``ca``, by default
    against those of the system.
    """

    host: str | Env
    sender: str | Env
    to: TemplateText | Env | Sequence[str | Env]
    subject: TemplateText = "{type} {subject}"
    text: TemplateText | None = None
    html: TemplateText | None = None
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
        return f"smtp {display_value(self.host)} to {self._to}"

    @property
    def _to(self) -> str:
        if callable(self.to):
            return "whom a function says"
        recipients = (self.to,) if isinstance(self.to, str | Env) else self.to
        return ", ".join(display_value(recipient) for recipient in recipients)

    def result_location(self) -> ResultLocation:
        return ResultLocation("mail", f"{self._to} by {display_value(self.host)}")

    async def open(self, context: SinkContext) -> Destination:
        # aiosmtplib is slow to import; only flows that use it should pay for that.
        from busway.sink.smtp.destination import SmtpDestination  # noqa: PLC0415

        return SmtpDestination(self.mail_server(), self.mail_template())

    def validate_config(self) -> None:
        self.mail_server()
        self.mail_template()

    def mail_template(self) -> MailTemplate:
        """Return the template of messages. Raises :class:`SinkError` if it is invalid."""
        return MailTemplate(
            sender=parse_addresses("sender", resolve(self.sender))[0],
            to=parse_recipients(self.to),
            subject=make_renderer("smtp", "subject", self.subject),
            text=None if self.text is None else make_renderer("smtp", "text", self.text),
            html=None if self.html is None else make_renderer("smtp", "html", self.html),
        )

    def mail_server(self) -> MailServer:
        """Return the server with its variables resolved.

        Raises :class:`SinkError` if the declaration is invalid.
        """
        check_count_option("smtp", "connections", self.connections)
        port = _DEFAULT_PORTS[self.tls] if self.port is None else self.port
        check_count_option("smtp", "port", port)
        host = resolve(self.host)
        if not host or not host.isprintable() or " " in host:
            raise SinkError(f"smtp(host={host!r}): give the name of a mail server")
        if (self.username is None) != (self.password is None):
            raise SinkError("smtp(username=…, password=…): give both or neither")
        return MailServer(
            host=host,
            port=port,
            username=None if self.username is None else resolve(self.username),
            password=None if self.password is None else resolve(self.password),
            tls=self.tls,
            tls_context=None if self.tls == "none" else self._tls_context(),
            timeout_s=seconds_option("smtp", "timeout", self.timeout),
            connections=self.connections,
        )

    def _tls_context(self) -> ssl.SSLContext:
        return tls_context(None if self.ca is None else resolve(self.ca))
