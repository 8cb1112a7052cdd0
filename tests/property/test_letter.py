"""A mail holds the headers that were meant, and no others, whatever an event says."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from busway.outcome import Rejected
from busway.sink.smtp.message import MailTemplate, parse_addresses, parse_recipients
from busway.sink.template import make_renderer
from sink_load import an_item

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HEADERS = {
    *("from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version"),
    *("content-type", "content-transfer-encoding"),
}
PIECES = st.sampled_from(
    ["\r\n", "\n", "\r", "Bcc: x@evil.example", "=?utf-8?q?", "=0D=0A", "?=", ":", "<", ">", '"']
)
EVIL = st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join)


def letters(to: str = "ops@shop.example") -> MailTemplate:
    return MailTemplate(
        sender=parse_addresses("sender", "Shop <shop@shop.example>")[0],
        to=parse_recipients(to),
        subject=make_renderer("smtp", "subject", "{data[evil]}"),
        text=make_renderer("smtp", "text", "{data[evil]}"),
        html=make_renderer("smtp", "html", "<p>{data[evil]}</p>"),
    )


def parsed(message: bytes) -> EmailMessage:
    return cast(EmailMessage, email.message_from_bytes(message, policy=cast(Any, default)))


@given(EVIL)
def test_no_header_comes_from_an_event(evil: str) -> None:
    made = letters().render(an_item(0, {"evil": evil}), NOW)
    assert not isinstance(made, Rejected)
    (letter,) = made
    head = letter.content.partition(b"\r\n\r\n")[0]
    assert head.isascii()
    assert b"\n" not in head.replace(b"\r\n", b"")
    names = [name.lower() for name in parsed(letter.content)]
    assert set(names) <= HEADERS
    assert len(names) == len(set(names))
    assert parsed(letter.content)["To"] == "ops@shop.example"


@given(EVIL)
@example("Bcc: x@evil.example" * 4)
@example("Bcc: x@evil.example, ü" * 4)
def test_a_recipient_from_data_is_one_address_or_none(evil: str) -> None:
    for to in ("{data[evil]}", "{data[evil]}@shop.example", "{data[evil]} <ada@shop.example>"):
        made = letters(to).render(an_item(0, {"evil": evil}), NOW)
        if isinstance(made, Rejected):
            continue
        (letter,) = made
        (address,) = letter.to
        assert address.isascii()
        assert not set(address) & set(" <>\r\n,;")
        (shown,) = parsed(letter.content)["To"].addresses
        assert shown.addr_spec == address
        assert "bcc" not in {name.lower() for name in parsed(letter.content)}
