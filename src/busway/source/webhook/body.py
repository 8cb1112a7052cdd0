"""Conversion of a body of any kind to the data of one event, or of one per element or line."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from busway.attribute import is_json_type
from busway.json_text import encode_json
from busway.ports import EventFault, RequestRefusal
from busway.source.data_member import data_member
from busway.source.refusal import events_too_large, malformed_body, too_many_events
from busway.source.validate import MAX_DEPTH, is_too_deep
from busway.source.webhook.cut import (
    Piece,
    PieceTooLarge,
    cut_array,
    cut_lines,
    decode_fields,
)
from busway.source.webhook.field_reader import NO_FIELDS
from busway.source.webhook.form import FormError, read_form, read_multipart

MAX_EVENTS = 100_000
"""How many events one request may be split into."""
MAX_LINES = 2 * MAX_EVENTS
"""How many lines NDJSON may have, including blank lines."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n"


class Content(msgspec.Struct, frozen=True):
    """The data of one event: its JSON member with the comma before it.

    ``fields`` is the decoded body if it has fields and they are needed. ``line`` is the line in
    NDJSON, counted from 1.
    """

    member: bytes
    content_type: str | None
    fields: object = NO_FIELDS
    line: int | None = None


class BodyReader(msgspec.Struct, frozen=True):
    """Reads bodies: ``split`` into several events, decoded if ``fields`` are needed."""

    split: bool
    fields: bool
    max_event_bytes: int

    def read(self, content_type: str, body: bytes) -> list[Content] | RequestRefusal:
        """Return the data of each event."""
        kind = content_type.partition(";")[0].strip().lower()
        if kind in ("", FORM) and body.removeprefix(_BOM).lstrip(_BLANK)[:1] in (b"{", b"["):
            content_type = kind = JSON
        body = body.removeprefix(_BOM) if is_json_type(kind) or kind in LINES else body
        if self.split and (kind in LINES or _is_array(kind, body)):
            return self._several(kind, body)
        if len(body) > self.max_event_bytes:
            return self._too_large(len(body))
        if kind == FORM:
            return self._form(content_type, lambda: read_form(body))
        if kind == "multipart/form-data":
            return self._form(kind, lambda: read_multipart(body, content_type))
        return self._single(content_type, body)

    def _too_large(self, size: int, index: int = 0) -> RequestRefusal:
        limit = self.max_event_bytes
        reason = f"it is at least {size} bytes long; the limit is {limit}"
        fault = EventFault(index, reason)
        return events_too_large(limit, [fault])

    def _single(self, content_type: str, body: bytes) -> list[Content] | RequestRefusal:
        kind = content_type.partition(";")[0].strip().lower()
        member = data_member("text/plain" if kind in LINES else content_type or None, body)
        if isinstance(member, RequestRefusal):
            return member
        fields: object = NO_FIELDS
        if self.fields and body and content_type and is_json_type(content_type):
            try:
                fields = decode_fields(body.decode())
            except (ValueError, RecursionError) as error:
                return malformed_body(f"the body is not JSON: {error}")
        return [Content(member, content_type or None, fields)]

    def _form(
        self, content_type: str, read: Callable[[], dict[str, object]]
    ) -> list[Content] | RequestRefusal:
        try:
            form = read()
            member = b',"data":' + encode_json(form)
        except (FormError, UnicodeEncodeError) as error:
            return malformed_body(f"the body is not a form: {error}")
        return [Content(member, content_type, form)]

    def _several(self, kind: str, body: bytes) -> list[Content] | RequestRefusal:
        if is_too_deep(body):
            return malformed_body(f"its objects and arrays are nested deeper than {MAX_DEPTH}")
        if kind in LINES and body.count(b"\n") > MAX_LINES:
            return malformed_body(f"the body has more than {MAX_LINES:,} lines")
        try:
            text = body.decode()
            cut = cut_lines if kind in LINES else cut_array
            return self._contents(cut(text, self.max_event_bytes))
        except PieceTooLarge as error:
            return self._too_large(error.size, error.index)
        except (ValueError, RecursionError) as error:
            return malformed_body(f"the body is not JSON: {error}")

    def _contents(self, pieces: Iterator[Piece]) -> list[Content] | RequestRefusal:
        contents = []
        for piece in pieces:
            member = b',"data":' + piece.text.encode()
            fields = piece.value if self.fields else NO_FIELDS
            contents.append(Content(member, JSON, fields, piece.line))
            if len(contents) > MAX_EVENTS:
                return too_many_events(MAX_EVENTS)
        return contents


def _is_array(kind: str, body: bytes) -> bool:
    return bool(kind) and is_json_type(kind) and body.lstrip(_BLANK).startswith(b"[")
