"""The data member of the CloudEvents JSON format, made of a request body."""

from __future__ import annotations

import base64
import re

import msgspec

from busway.attribute import is_json_type
from busway.ports import EventFault, RequestRefusal
from busway.source.refusal import invalid_events
from busway.source.validate import is_safe_json, is_too_deep

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode
_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


def data_member(media_type: str | None, body: bytes) -> bytes | RequestRefusal:
    """Return the JSON member that holds a body, with the comma before it; empty for an empty body.

    JSON is kept as written, UTF-8 text becomes a string, anything else ``data_base64``.
    """
    if not body:
        return b""
    if media_type and is_json_type(media_type):
        error = _json_error(body)
        return invalid_events([EventFault(0, error)], 1) if error else b',"data":' + body
    if media_type and is_text_type(media_type):
        try:
            return b',"data":' + _encode(str(body, "utf-8"))
        except UnicodeDecodeError:
            pass
    return b',"data_base64":"' + base64.b64encode(body) + b'"'


def _json_error(body: bytes) -> str:
    if is_too_deep(body):
        return "the objects and arrays of the body are nested too deeply"
    try:
        _check_json(body)
        if not is_safe_json(body):
            _decode_any(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return f"the Content-Type is JSON, but the body is not valid JSON: {error}"
    return ""


def is_text_type(media_type: str) -> bool:
    """Say whether a media type is UTF-8 text: ``text/*`` or XML without another charset."""
    kind = media_type.partition(";")[0].strip().lower()
    if not (kind.startswith("text/") or kind.endswith(("/xml", "+xml"))):
        return False
    charset = _CHARSET.search(media_type)
    return charset is None or charset[1].lower() in ("utf-8", "utf8", "us-ascii")
