"""Building of events from a request and the data of its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from busway.clock import new_id
from busway.ports import EventFault, RequestRefusal, SourceRequest
from busway.source.refusal import MAX_COUNTED_FAULTS, missing_value
from busway.source.webhook.body import Content
from busway.source.webhook.field_reader import (
    AttributeValue,
    MissingValue,
    ValueContext,
    ValueReader,
    needs_fields,
    parse_query,
)

REPEAT_HEADERS = ("idempotency-key", "webhook-id")
"""Headers by which a sender marks a repeated request."""
_SECONDS, _MILLISECONDS = 11, 14
"""How many digits Unix seconds, or milliseconds, have at most."""
_encode = msgspec.json.Encoder().encode


class EventBuilder:
    """Builds the events of one source.

    ``numbered`` appends an index to ids that do not come from a field, as a request then has
    several events.
    """

    def __init__(
        self,
        name: str,
        source: str,
        attributes: Mapping[str, AttributeValue],
        kept: Mapping[str, AttributeValue],
        *,
        numbered: bool,
    ) -> None:
        self._name = name
        self._members = {"specversion": "1.0", "source": source}
        self._attributes = {key: ValueReader(value) for key, value in attributes.items()}
        self._kept = {key: ValueReader(value) for key, value in kept.items()}
        self._numbered = numbered and not needs_fields(attributes.get("id"))

    def build(
        self, contents: Sequence[Content], request: SourceRequest
    ) -> list[bytes] | RequestRefusal:
        """Return the bytes of the events, not validated yet."""
        headers, query = request.head.headers, parse_query(request.head.query)
        raws: list[bytes] = []
        faults: list[EventFault] = []
        for index, content in enumerate(contents):
            context = ValueContext(headers, query, content.fields, content.content_type or "")
            try:
                members = self._members_of(context, request.received_at, index)
            except MissingValue as missing:
                faults.append(EventFault(index, str(missing), content.line))
                if len(faults) == MAX_COUNTED_FAULTS:
                    break
            else:
                if content.content_type:
                    members["datacontenttype"] = content.content_type
                raws.append(_encode(members)[:-1] + content.member + b"}")
        return self._refusal(faults, len(contents)) if faults else raws

    def _members_of(
        self, context: ValueContext, received_at: datetime, index: int
    ) -> dict[str, str]:
        members = dict(self._members)
        for attribute, reader in self._attributes.items():
            try:
                value = reader.read(context)
            except MissingValue as missing:
                raise MissingValue(f"{attribute} {missing}") from missing
            if value:
                members[attribute] = value
        for name, reader in self._kept.items():
            try:
                members[name] = reader.read(context)
            except MissingValue:
                continue
        declared_time = members.get("time")
        members["time"] = _timestamp(declared_time) if declared_time else _text(received_at)
        if "id" not in members:
            members["id"] = _repeat_id(context.headers) or ""
        if members["id"] and self._numbered:
            members["id"] += f"-{index}"
        members["id"] = members["id"] or new_id()
        return members

    def _refusal(self, faults: Sequence[EventFault], total: int) -> RequestRefusal:
        if total == 1:
            return missing_value(f"source {self._name!r}: {faults[0].reason}", ())
        detail = (
            f"source {self._name!r}: {len(faults)} of {total} events lack a value; none was stored"
        )
        return missing_value(detail, faults)


def _repeat_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in REPEAT_HEADERS if headers.get(name)), None)


def _timestamp(text: str) -> str:
    """Return a time in RFC 3339; digits are Unix time. Anything else is returned for validation."""
    if not text.isascii() or not text.isdigit() or len(text) > _MILLISECONDS:
        return text
    scale = 1 if len(text) <= _SECONDS else 1_000
    return _text(datetime.fromtimestamp(int(text) / scale, UTC))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
