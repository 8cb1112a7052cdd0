"""The event: a CloudEvents 1.0.2 record whose data is decoded on first use.

An event is carried as the bytes of its JSON format (CloudEvents JSON Event Format 1.0.2): the log
stores them, rules match them, and dead letters show them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import force_setattr

from busway.attribute import CORE_ATTRIBUTES, is_form_type, is_json_type, problems
from busway.clock import new_id
from busway.errors import EventError
from busway.json_number import exact_decoder
from busway.json_text import check_keys, encode_json


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The context attributes of one event, with the data not decoded."""

    id: str
    source: str
    type: str
    specversion: str = "1.0"
    subject: str | None = None
    time: datetime | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    partitionkey: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    causationid: str | None = None
    correlationid: str | None = None
    data: Raw | UnsetType = UNSET
    data_base64: str | UnsetType | None = UNSET


class _DataFields(msgspec.Struct):
    """The members that decoding the data needs; the others are skipped."""

    data: Any = UNSET
    data_base64: str | None = None
    datacontenttype: str | None = None


class _DataMember(msgspec.Struct):
    """The data, not decoded."""

    data: Raw | UnsetType = UNSET


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_body = exact_decoder(_DataFields)
_decode_member = msgspec.json.Decoder(_DataMember).decode
_decode_json: Callable[[bytes], Any] = exact_decoder(object)

_NOT_DECODED: Any = object()
_MUTABLE_TYPES = frozenset({dict, list})
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, RecursionError)


class _EventType(msgspec.StructMeta):
    """Makes ``Event(type=…, source=…)`` take attributes, while the record itself holds bytes."""

    def __call__(
        self,
        *,
        type: str,
        source: str,
        id: str | None = None,
        data: Any = None,
        **attributes: Any,
    ) -> Any:
        members = {"specversion": "1.0", "id": new_id() if id is None else id}
        members |= {"source": source, "type": type} | attributes
        if data is not None:
            members |= _data_member(data, attributes.get("datacontenttype"))
        return _new_struct(self, encode_members(members))


_new_struct: Callable[..., Any] = msgspec.StructMeta.__call__


class Event(msgspec.Struct, frozen=True, gc=False, eq=False, metaclass=_EventType):
    """An immutable fact.

    Build an event from its attributes, or from the bytes of its JSON format:

    >>> event = Event(type="order.created", source="/shop", data={"id": 4711})
    >>> event.data["id"], Event.from_json(event.to_json()) == event
    (4711, True)

    Raises :class:`EventError` when an attribute is missing, empty or of the wrong type.
    """

    _raw: bytes
    attempt: int = 1
    """1 at the first delivery attempt, 2 at the first retry, and so on."""
    _envelope: Envelope | None = None
    _data: Any = _NOT_DECODED

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            type: str,
            source: str,
            id: str | None = None,
            data: Any = None,
            **attributes: Any,
        ) -> None: ...

    @classmethod
    def from_json(cls, raw: bytes, *, attempt: int = 1) -> Event:
        """Return the event of a JSON object. Mistakes in it raise on first use."""
        return event_from_json(raw, attempt)

    def to_json(self) -> bytes:
        """Return the event in the CloudEvents JSON format: the original bytes, if unchanged.

        Data that was changed in place (``event.data["total"] = 5``) is included as it is now.
        Raises :class:`EventError` if it cannot be written as JSON.
        """
        data = self._data
        if type(data) not in _MUTABLE_TYPES or not self._is_changed(data):
            return self._raw
        return self._with(data)

    @property
    def envelope(self) -> Envelope:
        """The context attributes, decoded once."""
        envelope = self._envelope
        if envelope is None:
            try:
                envelope = _decode_envelope(self._raw)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise EventError(f"not a CloudEvent: {error}") from error
            force_setattr(self, "_envelope", envelope)
        return envelope

    @property
    def id(self) -> str:
        return self.envelope.id

    @property
    def source(self) -> str:
        return self.envelope.source

    @property
    def type(self) -> str:
        return self.envelope.type

    @property
    def subject(self) -> str | None:
        return self.envelope.subject

    @property
    def time(self) -> datetime | None:
        """When the event happened, according to its producer; aware."""
        return self.envelope.time

    @property
    def datacontenttype(self) -> str | None:
        return self.envelope.datacontenttype

    @property
    def dataschema(self) -> str | None:
        return self.envelope.dataschema

    @property
    def key(self) -> str | None:
        """The ordering key: ``partitionkey``, or else ``subject``."""
        return self.envelope.partitionkey or self.envelope.subject

    @property
    def correlationid(self) -> str | None:
        return self.envelope.correlationid

    @property
    def causationid(self) -> str | None:
        return self.envelope.causationid

    @property
    def traceparent(self) -> str | None:
        return self.envelope.traceparent

    @property
    def extensions(self) -> Mapping[str, Any]:
        """The attributes that CloudEvents does not define."""
        members = _decode_json(self._raw)
        return MappingProxyType({k: v for k, v in members.items() if k not in CORE_ATTRIBUTES})

    @property
    def data(self) -> Any:
        """The data: a JSON value, or ``bytes`` if the event has ``data_base64``.

        Decoded on first use and cached. Raises :class:`EventError` if it cannot be decoded.
        """
        data = self._data
        if data is _NOT_DECODED:
            try:
                body = _decode_body(self._raw)
                data = _decode_binary(body) if body.data is UNSET else body.data
            except _DECODE_ERRORS as error:
                raise EventError(f"cannot decode the data of the event: {error}") from error
            force_setattr(self, "_data", data)
        return data

    def replace(self, **changes: Any) -> Event:
        """Return a copy of the event with changed attributes, extensions or data."""
        members = _decode_json(self._raw if "data" in changes else self.to_json())
        if "data" in changes:
            members.pop("data", None)
            members.pop("data_base64", None)
            media_type = changes.get("datacontenttype", members.get("datacontenttype"))
            changes |= _data_member(changes.pop("data"), media_type)
        return Event.from_json(encode_members(members | changes), attempt=self.attempt)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        return bool(_decode_json(self.to_json()) == _decode_json(other.to_json()))

    def __reduce__(self) -> tuple[Callable[..., Event], tuple[bytes, int]]:
        return event_from_json, (self.to_json(), self.attempt)

    def __hash__(self) -> int:
        return hash((self.source, self.id))

    def __repr__(self) -> str:
        return f"Event(id={self.id!r}, source={self.source!r}, type={self.type!r})"

    def _is_changed(self, data: Any) -> bool:
        """Return whether the data differs from the data that the event was created with."""
        encoded = _encode_event({"data": data})
        original = _decode_member(self._raw).data
        if original is not UNSET and encoded == b'{"data":' + bytes(original) + b"}":
            return False
        body = _decode_body(self._raw)
        return encoded != encode_json(
            {"data": _decode_binary(body) if original is UNSET else body.data}
        )

    def _with(self, data: Any) -> bytes:
        return self.replace(data=data)._raw


def event_from_json(raw: bytes, attempt: int = 1) -> Event:
    """Return the event of a JSON object; faster than :meth:`Event.from_json`, for batches."""
    event: Event = _new_struct(Event, raw, attempt)
    return event


def original_json(event: Event) -> bytes:
    """Return the original JSON of an event, without later changes to its data."""
    return event._raw


def snapshot(event: Event) -> Event:
    """Return a copy of an event that later changes to the original's data do not affect."""
    copy: Event = _new_struct(Event, event.to_json(), event.attempt)
    return copy


def release_data(event: Event) -> None:
    """Drop the decoded data of an event; it is decoded again on the next use.

    Keeping the decoded data of a whole batch exceeds the processor's caches, which costs more than
    decoding again.
    """
    force_setattr(event, "_data", _NOT_DECODED)


def _data_member(data: Any, media_type: str | None) -> dict[str, Any]:
    if isinstance(data, bytes | bytearray | memoryview):
        return {"data_base64": base64.b64encode(data).decode()}
    if not (isinstance(data, str) or is_json_type(media_type) or is_form_type(media_type)):
        kind = type(data).__name__
        raise EventError(f"invalid data for {media_type!r}: use str or bytes, not {kind}")
    return {"data": data}


def _decode_binary(body: _DataFields) -> Any:
    if not body.data_base64:
        return None
    binary = base64.b64decode(body.data_base64, validate=True)
    declared = body.datacontenttype
    return _decode_json(binary) if declared and is_json_type(declared) else binary


def encode_members(members: Mapping[str, Any]) -> bytes:
    """Validate an event's members and return its JSON format; ``None`` means absent.

    Raises :class:`EventError` that lists all invalid attributes.
    """
    present = {k: _in_utc(v) for k, v in members.items() if v is not None or k == "data"}
    reasons = problems(present)
    if reasons:
        raise EventError("; ".join(reasons))
    return _encode_event(present, check_keys)


def _encode_event(members: Mapping[str, Any], check: Callable[[Any], None] | None = None) -> bytes:
    try:
        if check is not None and type(members.get("data")) in _MUTABLE_TYPES:
            check(members["data"])
        return encode_json(members)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EventError(f"cannot write the event as JSON: {error}") from error


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
