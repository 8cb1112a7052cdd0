"""E-mail messages made of results, safe whatever an event contains."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import msgspec

from busway.errors import SinkError
from busway.event import Event
from busway.json_text import encode_json
from busway.outcome import Rejected
from busway.ports import LoadItem
from busway.settings import Env, resolve
from busway.sink.template import (
    TemplateError,
    TextRenderer,
    TextTemplate,
    make_renderer,
)

_POLICY = SMTP.clone(cte_type="7bit")
_MAX_SUBJECT_CHARS = 250
_MAX_QUOTED_NAME_CHARS = 60
"""Longest name that may need quotes: the email package of Python 3.11 drops the quotes if it breaks
a line within them, and the quoted text becomes addresses."""
_QUOTED_CHARACTERS = str.maketrans(dict.fromkeys('()<>[]:;@,."\\', " "))


class MailMessage(msgspec.Struct, frozen=True):
    """An encoded message; ``key`` is the idempotency key, which is part of its id."""

    key: str
    sender: str
    to: Sequence[str]
    content: bytes


class MailTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """Renders results as messages."""

    sender: Address
    to: Sequence[Sequence[Address] | TextRenderer]
    """The recipients: addresses, or renderers of an address."""
    subject: TextRenderer
    text: TextRenderer | None
    html: TextRenderer | None

    def render(self, item: LoadItem, now: datetime) -> Sequence[MailMessage] | Rejected:
        """Return a message for each result of an item."""
        try:
            return [
                self._message(item, result, key, now)
                for result, key in zip(item.results, item.idempotency_keys, strict=True)
            ]
        except TemplateError as error:
            return Rejected("template", str(error))
        except (MessageError, TypeError, ValueError) as error:
            return Rejected(type(error).__name__, f"cannot render the message: {error}")

    def _message(self, item: LoadItem, result: object, key: str, now: datetime) -> MailMessage:
        to = self._recipients(item, result)
        message = EmailMessage(policy=_POLICY)
        message["From"] = self.sender
        message["To"] = to
        message["Subject"] = _one_line(self.subject.render(item, result))
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{key}@{self.sender.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        text = _as_json(result) if self.text is None else self.text.render(item, result)
        message.set_content(text)
        if self.html is not None:
            message.add_alternative(self.html.render(item, result, _as_html), subtype="html")
        names = list(dict.fromkeys(address.addr_spec for address in to))
        return MailMessage(key, self.sender.addr_spec, names, message.as_bytes())

    def _recipients(self, item: LoadItem, result: object) -> Sequence[Address]:
        addresses: list[Address] = []
        for recipient in self.to:
            if isinstance(recipient, TextRenderer):
                text = recipient.render(item, result)
                address = _parse_address(text)
                if address is None:
                    raise TemplateError(f"to: {text!r} is not a valid e-mail address")
                addresses.append(address)
            else:
                addresses += recipient
        return addresses


def parse_addresses(option: str, text: str) -> Sequence[Address]:
    """Return the addresses of a declared text, separated by commas.

    Raises :class:`SinkError` if one of them is invalid.
    """
    parsed = [_parse_address(part) for part in text.split(",")]
    addresses = [address for address in parsed if address is not None]
    if len(addresses) < len(parsed):
        what = "give an address like ops@shop.example, or Ops <ops@shop.example>"
        raise SinkError(f"smtp({option}={text!r}): {what}")
    return addresses


def parse_recipients(to: object) -> Sequence[Sequence[Address] | TextRenderer]:
    """Return the declared recipients. Raises :class:`SinkError` for an invalid address."""
    recipients = (to,) if isinstance(to, str | Env) or callable(to) else to
    if not isinstance(recipients, tuple) or not recipients:
        raise SinkError(f"smtp(to={to!r}): give an address, or a list of them")
    return [_parse_recipient(recipient) for recipient in recipients]


def _parse_recipient(recipient: object) -> Sequence[Address] | TextRenderer:
    if isinstance(recipient, Env):
        return parse_addresses("to", resolve(recipient))
    renderer = make_renderer("smtp", "to", recipient)
    if isinstance(renderer.text, TextTemplate) and renderer.text.is_constant:
        return parse_addresses("to", renderer.text.fill({}))
    return renderer


def _parse_address(text: str) -> Address | None:
    """Return the address of a text, ``None`` if it is not exactly one address."""
    name, bracket, mailbox = text.strip().rpartition("<")
    if bracket:
        if not mailbox.endswith(">"):
            return None
        mailbox = mailbox[:-1]
    try:
        address = Address(_display_name(name), addr_spec=mailbox)
    except (MessageError, ValueError, IndexError):
        return None
    is_plain = (
        mailbox.isascii() and mailbox.isprintable() and not set(mailbox) & set(' ,;:<>()[]"\\')
    )
    return (
        address if is_plain and address.username and address.domain and name.isprintable() else None
    )


def _display_name(text: str) -> str:
    """Return the name of an address, without characters that need quotes if long or not ASCII."""
    name = _one_line(text).strip('"')
    if len(name) <= _MAX_QUOTED_NAME_CHARS and name.isascii():
        return name
    return " ".join(name.translate(_QUOTED_CHARACTERS).split())


def _one_line(text: str) -> str:
    """Return a text that is safe in a header.

    The beginning of an encoded word (RFC 2047) is broken up, as decoding it could yield line
    breaks again.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace("=?", "= ?")
    return line if len(line) <= _MAX_SUBJECT_CHARS else line[: _MAX_SUBJECT_CHARS - 1] + "…"


def _as_html(text: str, _: str) -> str:
    return html.escape(text)


def _as_json(result: object) -> str:
    data = result.data if isinstance(result, Event) else result
    return msgspec.json.format(encode_json(data), indent=2).decode() + "\n"
