"""The event: a CloudEvents 1.0.2 record whose data is decoded only when somebody asks for it.

An event travels as the bytes of its JSON format (CloudEvents JSON Event Format 1.0.2): that is
what the log keeps, what a rule looks at, and what a dead letter shows.
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

from busway.attribute import CORE_ATTRIBUTES, is_json_type, problems
from busway.clock import new_id
from busway.errors import EventError
from busway.json_number import exact_decoder
from busway.json_text import check_keys, encode_json


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The context attributes of one event, with its data still in bytes."""

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
    """What reading the data needs; the other attributes are passed over."""

    data: Any = UNSET
    data_base64: str | None = None
    datacontenttype: str | None = None


class _DataMember(msgspec.Struct):
    """The data as it is written."""

    data: Raw | UnsetType = UNSET


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_body = exact_decoder(_DataFields)
_decode_member = msgspec.json.Decoder(_DataMember).decode
_decode_json: Callable[[bytes], Any] = exact_decoder(object)

_NOT_DECODED: Any = object()
_MUTABLE_TYPES = frozenset({dict, list})
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, binascii.Error, RecursionError)


class _EventType(msgspec.StructMeta):
    """Lets ``Event(type=…, source=…)`` take an event's parts; the record itself holds bytes."""

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

    Build one from its parts, or from the bytes of its JSON format:

    >>> event = Event(type="order.created", source="/shop", data={"id": 4711})
    >>> event.data["id"], Event.from_json(event.to_json()) == event
    (4711, True)

    Raises :class:`EventError` when an attribute is missing, empty or of the wrong type.
    """

    _raw: bytes
    attempt: int = 1
    """1 when the event is tried for the first time, 2 at its first retry, and so on."""
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
        """Return the event of one JSON object; what is wrong with it shows on first use."""
        return event_from_json(raw, attempt)

    def to_json(self) -> bytes:
        """Return the event in the CloudEvents JSON format, as it came where it came as that.

        Data that was changed where it stands (``event.data["total"] = 5``) is in it as it is now.
        Raises :class:`EventError` where that cannot be written as JSON.
        """
        data = self._data
        if type(data) not in _MUTABLE_TYPES or not self._is_changed(data):
            return self._raw
        return self._with(data)

    @property
    def envelope(self) -> Envelope:
        """The context attributes, decoded once."""
        found = self._envelope
        if found is None:
            try:
                found = _decode_envelope(self._raw)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise EventError(f"not a CloudEvent: {error}") from error
            force_setattr(self, "_envelope", found)
        return found

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
        """When it happened, as its producer says; aware."""
        return self.envelope.time

    @property
    def datacontenttype(self) -> str | None:
        return self.envelope.datacontenttype

    @property
    def dataschema(self) -> str | None:
        return self.envelope.dataschema

    @property
    def key(self) -> str | None:
        """What order is kept by: ``partitionkey``, or else ``subject``."""
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
        """Every attribute that CloudEvents does not define itself."""
        members = _decode_json(self._raw)
        return MappingProxyType({k: v for k, v in members.items() if k not in CORE_ATTRIBUTES})

    @property
    def data(self) -> Any:
        """The data: what the JSON says, or ``bytes`` where it came as ``data_base64``.

        Decoded on first use and kept. Raises :class:`EventError` when it cannot be decoded.
        """
        found = self._data
        if found is _NOT_DECODED:
            try:
                body = _decode_body(self._raw)
                found = _decode_binary(body) if body.data is UNSET else body.data
            except _DECODE_ERRORS as error:
                raise EventError(f"the data of an event cannot be read: {error}") from error
            force_setattr(self, "_data", found)
        return found

    def replace(self, **changes: Any) -> Event:
        """Return an event like this one with some attributes, extensions or its data changed."""
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
        """Say whether the data is not what the event came with any more."""
        encoded = _encode_event({"data": data})
        came = _decode_member(self._raw).data
        if came is not UNSET and encoded == b'{"data":' + bytes(came) + b"}":
            return False
        body = _decode_body(self._raw)
        return encoded != encode_json(
            {"data": _decode_binary(body) if came is UNSET else body.data}
        )

    def _with(self, data: Any) -> bytes:
        return self.replace(data=data)._raw


def event_from_json(raw: bytes, attempt: int = 1) -> Event:
    """Return the event of one JSON object; the fast way in, for batches."""
    event: Event = _new_struct(Event, raw, attempt)
    return event


def original_json(event: Event) -> bytes:
    """Return the JSON format that an event came in, whatever was made of its data since."""
    return event._raw


def snapshot(event: Event) -> Event:
    """Return an event as it is now: no change to the data of the given one reaches it."""
    copy: Event = _new_struct(Event, event.to_json(), event.attempt)
    return copy


def release_data(event: Event) -> None:
    """Give back the decoded data of an event; it is decoded again when somebody asks.

    A batch whose decoded data is all kept does not fit the processor's caches: that costs more
    than decoding does.
    """
    force_setattr(event, "_data", _NOT_DECODED)


def _data_member(data: Any, media_type: str | None) -> dict[str, Any]:
    if isinstance(data, bytes | bytearray | memoryview):
        return {"data_base64": base64.b64encode(data).decode()}
    if not is_json_type(media_type) and not isinstance(data, str):
        raise EventError(f"data of {media_type!r} must be str or bytes, not {type(data).__name__}")
    return {"data": data}


def _decode_binary(body: _DataFields) -> Any:
    if not body.data_base64:
        return None
    binary = base64.b64decode(body.data_base64, validate=True)
    declared = body.datacontenttype
    return _decode_json(binary) if declared and is_json_type(declared) else binary


def encode_members(members: Mapping[str, Any]) -> bytes:
    """Return the JSON format of an event's members, checked; ``None`` means absent.

    Raises :class:`EventError` that lists every attribute that is wrong.
    """
    present = {k: _in_utc(v) for k, v in members.items() if v is not None or k == "data"}
    wrong = problems(present)
    if wrong:
        raise EventError("; ".join(wrong))
    return _encode_event(present, check_keys)


def _encode_event(members: Mapping[str, Any], check: Callable[[Any], None] | None = None) -> bytes:
    try:
        if check is not None and type(members.get("data")) in _MUTABLE_TYPES:
            check(members["data"])
        return encode_json(members)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EventError(f"the event cannot be written as JSON: {error}") from error


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
