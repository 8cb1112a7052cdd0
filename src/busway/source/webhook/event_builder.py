"""From the data of events and a request to the bytes of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from busway.clock import new_id
from busway.ports import EventFault, RequestRefusal, SourceRequest
from busway.source.problem import MAX_COUNTED_FAULTS, missing_value
from busway.source.webhook.attribute_value import (
    AttributeValue,
    MissingValue,
    ValueContext,
    ValueReader,
    needs_fields,
    parse_query,
)
from busway.source.webhook.body import Content

REPEAT_HEADERS = ("idempotency-key", "webhook-id")
"""Headers by which a sender says that a request is a repeat of another one."""
_SECONDS, _MILLISECONDS = 11, 14
"""Up to so many digits are Unix seconds, or milliseconds."""
_encode = msgspec.json.Encoder().encode


class EventBuilder:
    """Builds the events of one source. ``numbered`` adds an index to ids that are not of a field,
    as a request then has several events."""

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
        """Return the bytes of the events, which are still to be checked."""
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
        given = members.get("time")
        members["time"] = _timestamp(given) if given else _text(received_at)
        if "id" not in members:
            members["id"] = _repeat_id(context.headers) or ""
        if members["id"] and self._numbered:
            members["id"] += f"-{index}"
        members["id"] = members["id"] or new_id()
        return members

    def _refusal(self, faults: Sequence[EventFault], of: int) -> RequestRefusal:
        if of == 1:
            return missing_value(f"source {self._name!r}: {faults[0].reason}", ())
        detail = (
            f"source {self._name!r}: {len(faults)} of {of} events lack a value; none was stored"
        )
        return missing_value(detail, faults)


def _repeat_id(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in REPEAT_HEADERS if headers.get(name)), None)


def _timestamp(given: str) -> str:
    """Return a time as RFC 3339; digits are Unix time. What is neither stays, to be refused."""
    if not given.isascii() or not given.isdigit() or len(given) > _MILLISECONDS:
        return given
    scale = 1 if len(given) <= _SECONDS else 1_000
    return _text(datetime.fromtimestamp(int(given) / scale, UTC))


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
