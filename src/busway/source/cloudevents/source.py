"""The source of CloudEvents, which selects the decoder of a body by the request head."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from busway.ports import (
    EVENTS,
    DecodedEvents,
    Decoder,
    Received,
    RequestHead,
    RequestReceiver,
    RequestRefusal,
    SourceRequest,
)
from busway.source.cloudevents.binary_mode import decode_binary
from busway.source.decode import (
    decode_array,
    decode_json,
    decode_ndjson,
    decode_one,
)
from busway.source.refusal import not_found, unsupported_media

Read = Callable[[bytes, int], DecodedEvents | RequestRefusal]

DECODERS: dict[str, Read] = {
    "application/cloudevents+json": decode_one,
    "application/cloudevents-batch+json": decode_array,
    "application/x-ndjson": decode_ndjson,
    "application/ndjson": decode_ndjson,
    "application/jsonl": decode_ndjson,
    "application/json": decode_json,
}
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


class CloudEvents(msgspec.Struct, frozen=True):
    """CloudEvents 1.0.2 in structured, binary and batched mode, and NDJSON."""

    name: str = EVENTS

    @property
    def methods(self) -> Sequence[str]:
        return ("POST",)

    def open_receiver(self, max_event_bytes: int) -> RequestReceiver:
        return CloudEventsReceiver(max_event_bytes)


class CloudEventsReceiver:
    """Selects decoders by content type, once per distinct head."""

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes

    def receive(self, request: SourceRequest) -> Received:
        decode = self.prepare(request.head)
        return decode if isinstance(decode, RequestRefusal) else decode(request.body)

    def prepare(self, head: RequestHead) -> Decoder | RequestRefusal:
        if head.path:
            return not_found(head.path)
        limit = self._max_event_bytes
        content_type = head.headers.get("content-type", "")
        attributes = [(name[3:], value) for name, value in head.fields if name[:3] == "ce-"]
        if attributes and not _media_type(content_type).startswith("application/cloudevents"):
            return lambda body: decode_binary(attributes, content_type, body, limit)
        read = _reader(content_type)
        return read if isinstance(read, RequestRefusal) else lambda body: read(body, limit)


def _reader(content_type: str) -> Read | RequestRefusal:
    read = DECODERS.get(_media_type(content_type))
    if read is None:
        shown = f"Content-Type {content_type!r}" if content_type else "no Content-Type"
        detail = f"{shown}: send {', '.join(DECODERS)}, or ce- headers with any other type"
        return unsupported_media(detail, ("accept-post", ", ".join(DECODERS)))
    charset = _CHARSET.search(content_type.partition(";")[2])
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        return unsupported_media(f"charset {charset[1]!r}: JSON events must be UTF-8")
    return read


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
