"""The webhook source: its declaration and the receiver of its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from busway.declarable import DeclarableFunction
from busway.errors import SourceError
from busway.ports import Received, RequestReceiver, RequestRefusal, SourceRequest
from busway.source.decode import checked
from busway.source.refusal import not_found
from busway.source.webhook.body import BodyReader
from busway.source.webhook.declaration import check_declared, extension_name
from busway.source.webhook.event_builder import EventBuilder
from busway.source.webhook.field_reader import (
    AttributeValue,
    FromHeader,
    FromQuery,
    needs_fields,
)


class Webhook(DeclarableFunction, frozen=True):
    """Turns any HTTP body into an event, or one per element of a JSON array or line of NDJSON.

    >>> Webhook("orders", type="order.created", id="$.order_id").name
    'orders'

    ``type``, ``id``, ``subject``, ``time`` and ``key`` (the partition key) are each a constant, a
    path like ``"$.order.id"``, ``from_field``, ``from_header`` or ``from_query``. ``type`` defaults
    to the name of the source, ``id`` to the request's ``Idempotency-Key`` or ``webhook-id``, else
    to a random id, ``time`` to the time of the request. ``headers`` and ``query`` name headers and
    query parameters to keep as extensions; ``extensions`` declares further extensions by name.
    """

    name: str
    type: AttributeValue | None = None
    id: AttributeValue | None = None
    subject: AttributeValue | None = None
    time: AttributeValue | None = None
    key: AttributeValue | None = None
    source: str | None = None
    split: bool = False
    headers: tuple[str, ...] | list[str] = ()
    query: tuple[str, ...] | list[str] = ()
    extensions: Mapping[str, AttributeValue] = {}

    @property
    def methods(self) -> Sequence[str]:
        return ("POST",)

    @property
    def source_attribute(self) -> str:
        """The ``source`` of its events."""
        return self.source or f"/in/{self.name}"

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """The attributes that every event has, by their CloudEvents names."""
        values = {
            "id": self.id,
            "type": self.type or self.name,
            "subject": self.subject,
            "time": self.time,
            "partitionkey": self.key,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def kept(self) -> Mapping[str, AttributeValue]:
        """The extensions of an event, each omitted if the request lacks its value."""
        headers = {extension_name(name): FromHeader(name) for name in self.headers}
        query = {extension_name(name): FromQuery(name) for name in self.query}
        return {**headers, **query, **self.extensions}

    def validate_config(self) -> None:
        mistakes = list(check_declared(self))
        if mistakes:
            raise SourceError("; ".join(mistakes))

    def open_receiver(self, max_event_bytes: int) -> RequestReceiver:
        self.validate_config()
        return WebhookReceiver(self, max_event_bytes)


class WebhookReceiver:
    """Turns request bodies into events."""

    def __init__(self, webhook: Webhook, max_event_bytes: int) -> None:
        values = [*webhook.attributes.values(), *webhook.kept.values()]
        fields = any(map(needs_fields, values))
        self._body = BodyReader(webhook.split, fields, max_event_bytes)
        self._builder = EventBuilder(
            webhook.name,
            webhook.source_attribute,
            webhook.attributes,
            webhook.kept,
            numbered=webhook.split,
        )

    def receive(self, request: SourceRequest) -> Received:
        if request.head.path:
            return not_found(request.head.path)
        headers = request.head.headers
        contents = self._body.read(headers.get("content-type", ""), request.body)
        if isinstance(contents, RequestRefusal):
            return contents
        raws = self._builder.build(contents, request)
        if isinstance(raws, RequestRefusal):
            return raws
        decoded = checked(raws, request.max_event_bytes)
        if not isinstance(decoded, RequestRefusal):
            return decoded
        faults = tuple(
            msgspec.structs.replace(fault, line=contents[fault.index].line)
            for fault in decoded.faults
        )
        return msgspec.structs.replace(decoded, faults=faults)
