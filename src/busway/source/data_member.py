"""A body as the data of one event: the member of the CloudEvents JSON format that holds it."""

from __future__ import annotations

import base64
import re

import msgspec

from busway.attribute import is_json_type
from busway.ports import EventFault, RequestRefusal
from busway.source.problem import invalid_events
from busway.source.validate import is_safe_json, is_too_deep

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


def data_member(media_type: str | None, body: bytes) -> bytes | RequestRefusal:
    """Return the member of an event's JSON format that holds a body, with the comma before it.

    JSON stays as it is written, text in UTF-8 is a string, anything else is ``data_base64``. It is
    empty for an empty body.
    """
    if not body:
        return b""
    if media_type and is_json_type(media_type):
        wrong = _json_error(body)
        return invalid_events([EventFault(0, wrong)], 1) if wrong else b',"data":' + body
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
