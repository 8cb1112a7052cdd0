"""Binary-mode events: attributes from ``ce-`` headers, the body as data, put together as JSON."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

import msgspec

from busway.attribute import is_json_type
from busway.ports import DecodedEvents, EventFault, RequestRefusal
from busway.source.http.decode import decode_one
from busway.source.http.problem import invalid_events
from busway.source.http.validate import is_safe_json, is_too_deep

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_RESERVED = ("data", "data_base64")


def decode_binary(
    headers: Sequence[tuple[str, bytes]], content_type: str, body: bytes, max_event_bytes: int
) -> DecodedEvents | RequestRefusal:
    """Read a binary-mode event (HTTP Protocol Binding 1.0.2, section 3.1).

    ``headers`` are the ``ce-`` headers without that prefix, names in lower case.
    """
    members: dict[str, str] = {}
    for name, value in headers:
        if name in _RESERVED or name in members:
            reason = "is there twice" if name in members else "is not an attribute; use the body"
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
    r"""Return an attribute from its header (HTTP Protocol Binding 1.0.2, section 3.1.3.2).

    A double-quoted value is unquoted first; percent-encoding is undone once.

    >>> decode_attribute(b"Euro%20%E2%82%AC"), decode_attribute(b'"say \\"hi\\""')
    ('Euro €', 'say "hi"')
    """
    if len(value) > 1 and value[:1] == value[-1:] == b'"':
        value = _ESCAPED.sub(rb"\1", value[1:-1])
    return str(unquote_to_bytes(value) if b"%" in value else value, "utf-8")


def data_member(media_type: str | None, body: bytes) -> bytes | RequestRefusal:
    """Return the member of an event's JSON format that holds a body, with the comma before it.

    JSON stays as it is written, text in UTF-8 is a string, anything else is ``data_base64``. It is
    empty for an empty body.
    """
    if not body:
        return b""
    if media_type and is_json_type(media_type):
        wrong = _json_error(body)
        return _invalid(wrong) if wrong else b',"data":' + body
    if media_type and is_text_type(media_type):
        try:
            return b',"data":' + _encode(str(body, "utf-8"))
        except UnicodeDecodeError:
            pass
    return b',"data_base64":"' + base64.b64encode(body) + b'"'


def _json_error(body: bytes) -> str:
    if is_too_deep(body):
        return "the objects and arrays of the body are nested too deep"
    try:
        _check_json(body)
        if not is_safe_json(body):
            _decode_any(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the body is not the JSON that Content-Type says it is: {error}"
    return ""


def is_text_type(media_type: str) -> bool:
    """Say whether a media type is text in UTF-8: ``text/*`` or XML, of no other charset."""
    kind = media_type.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind.endswith(("/xml", "+xml"))):
        return False
    charset = _CHARSET.search(media_type)
    return charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")


def _invalid(reason: str) -> RequestRefusal:
    return invalid_events([EventFault(0, reason)], 1)
