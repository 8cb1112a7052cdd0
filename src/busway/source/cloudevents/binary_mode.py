"""Binary-mode events: ``ce-`` headers and a body, converted to the JSON format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import msgspec

from busway.ports import DecodedEvents, EventFault, RequestRefusal
from busway.source.data_member import data_member
from busway.source.decode import decode_one
from busway.source.refusal import invalid_events

_encode = msgspec.json.Encoder().encode
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_RESERVED = ("data", "data_base64")


def decode_binary(
    headers: Sequence[tuple[str, bytes]], content_type: str, body: bytes, max_event_bytes: int
) -> DecodedEvents | RequestRefusal:
    """Decode a binary-mode event (HTTP Protocol Binding 1.0.2, section 3.1).

    ``headers`` are the ``ce-`` headers without the prefix, their names in lower case.
    """
    members: dict[str, str] = {}
    for name, value in headers:
        if name in _RESERVED or name in members:
            reason = "occurs twice" if name in members else "is not an attribute; use the body"
            return _invalid(f"the header ce-{name} {reason}")
        try:
            members[name] = decode_attribute(value)
        except UnicodeDecodeError as error:
            return _invalid(f"the header ce-{name} is not UTF-8 after percent-decoding: {error}")
    if content_type:
        members["datacontenttype"] = content_type
    data = data_member(members.get("datacontenttype"), body)
    if isinstance(data, RequestRefusal):
        return data
    return decode_one(_encode(members)[:-1] + data + b"}", max_event_bytes)


def decode_attribute(value: bytes) -> str:
    r"""Decode the header of an attribute (HTTP Protocol Binding 1.0.2, section 3.1.3.2).

    A double-quoted value is unquoted first, then percent-decoded once.

    >>> decode_attribute(b"Euro%20%E2%82%AC"), decode_attribute(b'"say \\"hi\\""')
    ('Euro €', 'say "hi"')
    """
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = _ESCAPED.sub(rb"\1", value[1:-1])
    return str(unquote_to_bytes(value) if b"%" in value else value, "utf-8")


def _invalid(reason: str) -> RequestRefusal:
    return invalid_events([EventFault(0, reason)], 1)
