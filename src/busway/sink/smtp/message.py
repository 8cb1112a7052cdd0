"""Messages as they are sent: made of results, and safe whatever an event says."""

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
"""How long a name may be that needs quotes: the email package of Python 3.11 leaves them away where
it breaks a line within them, and what they held becomes addresses."""
_QUOTED_CHARACTERS = str.maketrans(dict.fromkeys('()<>[]:;@,."\\', " "))


class MailMessage(msgspec.Struct, frozen=True):
    """One message on its way: ``key`` is the idempotency key that its id is made of."""

    key: str
    sender: str
    to: Sequence[str]
    content: bytes


class MailTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """How letters are written."""

    sender: Address
    to: Sequence[Sequence[Address] | TextRenderer]
    """Whom to: addresses, or what makes one of a result."""
    subject: TextRenderer
    text: TextRenderer | None
    html: TextRenderer | None

    def render(self, item: LoadItem, now: datetime) -> Sequence[MailMessage] | Rejected:
        """Return a letter for each result of an item."""
        try:
            return [
                self._message(item, result, key, now)
                for result, key in zip(item.results, item.idempotency_keys, strict=True)
            ]
        except TemplateError as error:
            return Rejected("template", str(error))
        except (MessageError, TypeError, ValueError) as error:
            return Rejected(type(error).__name__, f"no message can be made of it: {error}")

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
        found: list[Address] = []
        for one in self.to:
            if isinstance(one, TextRenderer):
                text = one.render(item, result)
                address = _parse_address(text)
                if address is None:
                    raise TemplateError(f"to: {text!r} is no address to send a mail to")
                found.append(address)
            else:
                found += one
        return found


def parse_addresses(option: str, text: str) -> Sequence[Address]:
    """Return the addresses of a declared text, one or several with commas between them.

    Raises :class:`SinkError` where one of them is none.
    """
    found = [_parse_address(one) for one in text.split(",")]
    good = [one for one in found if one is not None]
    if len(good) < len(found):
        what = "give an address like ops@shop.example, or Ops <ops@shop.example>"
        raise SinkError(f"smtp({option}={text!r}): {what}")
    return good


def parse_recipients(to: object) -> Sequence[Sequence[Address] | TextRenderer]:
    """Return whom to, as declared. Raises :class:`SinkError` for what is no address."""
    several = (to,) if isinstance(to, str | Env) or callable(to) else to
    if not isinstance(several, tuple) or not several:
        raise SinkError(f"smtp(to={to!r}): give an address, or a list of them")
    return [_parse_recipient(one) for one in several]


def _parse_recipient(one: object) -> Sequence[Address] | TextRenderer:
    if isinstance(one, Env):
        return parse_addresses("to", resolve(one))
    made = make_renderer("smtp", "to", one)
    if isinstance(made.text, TextTemplate) and made.text.is_constant:
        return parse_addresses("to", made.text.fill({}))
    return made


def _parse_address(text: str) -> Address | None:
    """Return the one address that a text is, ``None`` when it is anything else."""
    name, bracket, spec = text.strip().rpartition("<")
    if bracket:
        if not spec.endswith(">"):
            return None
        spec = spec[:-1]
    try:
        found = Address(_display_name(name), addr_spec=spec)
    except (MessageError, ValueError, IndexError):
        return None
    plain = spec.isascii() and spec.isprintable() and not set(spec) & set(' ,;:<>()[]"\\')
    return found if plain and found.username and found.domain and name.isprintable() else None


def _display_name(text: str) -> str:
    """Return a name of an address; a long one, or one beyond ASCII, without what needs quotes."""
    name = _one_line(text).strip('"')
    if len(name) <= _MAX_QUOTED_NAME_CHARS and name.isascii():
        return name
    return " ".join(name.translate(_QUOTED_CHARACTERS).split())


def _one_line(text: str) -> str:
    """Return a text that a header may hold, whatever it held.

    What looks like the beginning of an encoded word (RFC 2047) is broken up: decoded, it could
    hold line breaks again.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = line.replace("=?", "= ?")
    return line if len(line) <= _MAX_SUBJECT_CHARS else line[: _MAX_SUBJECT_CHARS - 1] + "…"


def _as_html(text: str, _: str) -> str:
    return html.escape(text)


def _as_json(result: object) -> str:
    data = result.data if isinstance(result, Event) else result
    return msgspec.json.format(encode_json(data), indent=2).decode() + "\n"
