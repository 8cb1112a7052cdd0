"""Decoding of forms to objects: URL-encoded and multipart (RFC 7578)."""

from __future__ import annotations

import base64
from io import BytesIO
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartParser, MultipartPart, parse_options_header

MAX_FIELDS = 1_000
"""How many fields a form may have."""


class FormError(ValueError):
    """A body is not a valid form of its content type."""


def read_form(body: bytes) -> dict[str, object]:
    """Return the fields of a URL-encoded form; a repeated field is a list.

    >>> read_form(b"name=Ann+Lee&tag=a&tag=b")
    {'name': 'Ann Lee', 'tag': ['a', 'b']}
    """
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
        )
    except UnicodeDecodeError as error:
        raise FormError(f"it is not UTF-8: {error.reason}") from error
    except ValueError as error:
        raise FormError(f"it has more than {MAX_FIELDS:,} fields") from error
    return _grouped(list(pairs))


def read_multipart(body: bytes, content_type: str) -> dict[str, object]:
    """Return the fields of a multipart form; a file is an object.

    The members of a file are ``filename``, ``content_type`` and ``content`` (UTF-8 text) or
    ``content_base64`` (anything else).
    """
    boundary = parse_options_header(content_type)[1].get("boundary")
    if not boundary:
        raise FormError("its Content-Type has no boundary")
    parser = MultipartParser(
        BytesIO(body),
        boundary,
        len(body),
        part_limit=MAX_FIELDS,
        spool_limit=len(body) + 1,
        memory_limit=len(body) + 1,
    )
    try:
        return _grouped([(part.name, _value(part)) for part in parser])
    except (MultipartError, UnicodeError, LookupError) as error:
        raise FormError(str(error) or type(error).__name__) from error


def _value(part: MultipartPart) -> object:
    if part.filename is None:
        return part.value
    file: dict[str, object] = {"filename": part.filename, "content_type": part.content_type}
    if part.content_type.startswith("text/"):
        try:
            return file | {"content": part.raw.decode()}
        except UnicodeDecodeError:
            pass
    return file | {"content_base64": base64.b64encode(part.raw).decode()}


def _grouped(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, list[object]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
