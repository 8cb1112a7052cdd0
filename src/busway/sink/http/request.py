"""Requests made of the results of a load."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from busway.errors import EventError
from busway.event import Event
from busway.json_text import encode_json
from busway.outcome import Rejected
from busway.ports import Load, LoadItem

JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"


class HttpRequest(msgspec.Struct, frozen=True):
    """A request: its body and its idempotency key."""

    key: str
    media_type: str
    body: bytes


class EncodedItem(msgspec.Struct, frozen=True):
    """The encoded results of one item; ``index`` is its index in the load."""

    index: int
    order_key: str | None
    keys: Sequence[str]
    bodies: Sequence[bytes]
    are_events: bool


def encode_item(index: int, item: LoadItem) -> EncodedItem | Rejected:
    """Return the results of an item, encoded."""
    try:
        bodies = [_encoded(result) for result in item.results]
        order_key = item.event.key
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError, EventError) as error:
        return Rejected(type(error).__name__, f"it cannot be written as JSON: {error}")
    are_events = all(isinstance(result, Event) for result in item.results)
    return EncodedItem(index, order_key, item.idempotency_keys, bodies, are_events)


def single_requests(item: LoadItem, part: EncodedItem) -> Iterator[HttpRequest]:
    """Return a request for each result of an item."""
    for result, key, body in zip(item.results, part.keys, part.bodies, strict=True):
        yield HttpRequest(key, CLOUDEVENT if isinstance(result, Event) else JSON, body)


def batch_request(parts: Sequence[EncodedItem], batch_format: str) -> HttpRequest:
    """Return one request for the results of several items; its key is a digest of their keys."""
    keys = [key for part in parts for key in part.keys]
    bodies = [body for part in parts for body in part.bodies]
    digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    if batch_format == "ndjson":
        lines = (msgspec.json.format(b, indent=-1) if b"\n" in b else b for b in bodies)
        return HttpRequest(digest, NDJSON, b"".join(line + b"\n" for line in lines))
    media_type = CLOUDEVENTS if all(part.are_events for part in parts) else JSON
    return HttpRequest(digest, media_type, b"[" + b",".join(bodies) + b"]")


def group_by_size(parts: Sequence[EncodedItem], size: int) -> list[list[EncodedItem]]:
    """Return items in groups of at most ``size`` results; an item with more is alone."""
    groups: list[list[EncodedItem]] = []
    room = 0
    for part in parts:
        if not groups or len(part.bodies) > room:
            groups.append([])
            room = size
        groups[-1].append(part)
        room -= len(part.bodies)
    return groups


def group_by_key(parts: Sequence[EncodedItem], load: Load) -> list[list[EncodedItem]]:
    """Return groups of items to send one after the other: those of a key if order matters."""
    if not load.ordered:
        return [[part] for part in parts]
    groups: dict[object, list[EncodedItem]] = {}
    for part in parts:
        groups.setdefault(part.index if part.order_key is None else part.order_key, []).append(part)
    return list(groups.values())


def _encoded(result: object) -> bytes:
    return result.to_json() if isinstance(result, Event) else encode_json(result)
