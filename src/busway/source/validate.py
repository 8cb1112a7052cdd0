"""Validation of incoming events: in C for common events, attribute by attribute for others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from busway.attribute import (
    MAX_EXTENSION_LENGTH,
    MAX_LENGTHS,
    MAX_NAME_LENGTH,
    RESERVED_NAME_PREFIX,
    intake_problems,
    is_reserved_source,
    is_reserved_type,
)
from busway.errors import EventError
from busway.event import Event
from busway.ports import AppendEnvelope

MAX_DEPTH = 256
"""How deep the objects and arrays of an event may nest."""

NonEmptyText = Annotated[str, Meta(min_length=1)]
EventId = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTHS["id"])]
EventSubject = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTHS["subject"])]
DataSchema = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTHS["dataschema"])]
PartitionKey = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTHS["partitionkey"])]
CausationId = Annotated[str, Meta(max_length=MAX_LENGTHS["causationid"])]
CorrelationId = Annotated[str, Meta(max_length=MAX_LENGTHS["correlationid"])]
TraceText = Annotated[str, Meta(max_length=MAX_EXTENSION_LENGTH)]
ZonedTime = Annotated[datetime, Meta(tz=True)]
CommonContentType = Literal[
    "application/json",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "application/xml",
    "text/plain",
    "text/plain; charset=utf-8",
]


class IncomingEnvelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The attributes of an event that Busway knows; others are ignored."""

    specversion: Literal["1.0"]
    id: EventId
    source: NonEmptyText
    type: NonEmptyText
    subject: EventSubject | None = None
    time: ZonedTime | None = None
    datacontenttype: CommonContentType | None = None
    dataschema: DataSchema | None = None
    partitionkey: PartitionKey | None = None
    traceparent: TraceText | None = None
    tracestate: TraceText | None = None
    causationid: CausationId | None = None
    correlationid: CorrelationId | None = None
    data: Raw | UnsetType = UNSET


class StrictEnvelope(
    IncomingEnvelope, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True
):
    """An event with known attributes only and without ``data_base64``, like most events."""


decode_strict = msgspec.json.Decoder(StrictEnvelope).decode
"""Return the envelope of a common event. Ignores its data: check it with :func:`is_safe_json`."""

DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Errors of :data:`decode_strict` for an event that needs further validation."""

_decode_known = msgspec.json.Decoder(IncomingEnvelope).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_KNOWN_ATTRIBUTES = frozenset(IncomingEnvelope.__struct_fields__)
_EXTENSION = re.compile(rf"(?!{RESERVED_NAME_PREFIX})[a-z0-9]{{1,{MAX_NAME_LENGTH}}}")
_SCALAR_VALUE = re.compile(rb'"|true$|false$|-?\d{1,9}$')
_decode_any = msgspec.json.Decoder().decode
_DIGITS_TO_ZERO = bytes.maketrans(b"+123456789E", b"0000000000e")
_LONG_EXPONENT = b"0e000"
_SHORT_EXPONENT, _FEW_SHORT_EXPONENTS = b"0e00", 1_000
MAX_SHORT_EXPONENTS, _LONG_EXPONENT_COST = 20_000, 20
"""How many numbers with an exponent of two digits an event may have. Parsing one may take two
microseconds, during which no other thread runs; an exponent of three digits takes 20 times that."""
_NUL = rb"\u0000"
_LONG_NUMBER = b"0" * 200
_HUGE_NUMBER = re.compile(rb"\d[eE]\+?\d{3,}[\s,\]}]")
_SHOWN_REASONS = 20
_SLICE_BYTES = 64 * 1024
_OPENING_BRACKETS = frozenset(b"[{")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def is_safe_json(text: bytes) -> bool:
    """Say whether well-formed JSON is certainly decodable, judging by its bytes alone.

    It is if it is UTF-8, contains no NUL, which attributes may not contain, and no number can be
    out of range, that is, has an exponent of three digits or hundreds of digits. If false, only
    decoding can tell.
    """
    if _NUL in text or not (text.isascii() or _is_utf8(text)):
        return False
    shape = text.translate(_DIGITS_TO_ZERO)
    if shape.count(_SHORT_EXPONENT) > _FEW_SHORT_EXPONENTS:
        return False
    at = shape.find(_LONG_EXPONENT)
    while at >= 0:
        if _HUGE_NUMBER.match(text, at):
            return False
        at = shape.find(_LONG_EXPONENT, at + 1)
    return _LONG_NUMBER not in shape


def needs_full_validation(envelopes: Sequence[IncomingEnvelope]) -> bool:
    """Say whether any type or source is too long or reserved for Busway.

    The events of a request often share them, so only distinct values are checked.
    """
    types, sources = (
        {envelope.type for envelope in envelopes},
        {envelope.source for envelope in envelopes},
    )
    return (
        max(map(len, types), default=0) > MAX_LENGTHS["type"]
        or max(map(len, sources), default=0) > MAX_LENGTHS["source"]
        or any(map(is_reserved_type, types))
        or any(map(is_reserved_source, sources))
    )


def is_too_deep(raw: bytes) -> bool:
    """Say whether objects and arrays are nested deeper than :data:`MAX_DEPTH`.

    Takes linear time, whether the text is valid JSON or not, and regularly lets other threads run.
    """
    if len(raw) <= 2 * MAX_DEPTH or raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth, in_string = 0, False
    for at in range(0, len(raw), _SLICE_BYTES):
        parts = raw[at : at + _SLICE_BYTES].split(b'"')
        for byte in b"".join(parts[in_string::2]).translate(None, _ALL_BUT_BRACKETS):
            depth += 1 if byte in _OPENING_BRACKETS else -1
            if depth > MAX_DEPTH:
                return True
        in_string ^= len(parts) % 2 == 0
    return False


def _is_too_slow(raw: bytes) -> bool:
    shape = raw.translate(_DIGITS_TO_ZERO)
    return (
        shape.count(_SHORT_EXPONENT) + _LONG_EXPONENT_COST * shape.count(_LONG_EXPONENT)
        > MAX_SHORT_EXPONENTS
    )


def validate_extended(raw: bytes) -> AppendEnvelope | str:
    """Return the envelope of an event with extensions, or its problems.

    Its JSON must be safe (:func:`is_safe_json`).
    """
    try:
        known = _decode_known(raw)
        members = _decode_members(raw)
    except DECODE_ERRORS:
        return validate_fully(raw)
    if needs_full_validation([known]):
        return validate_fully(raw)
    for name in members.keys() - _KNOWN_ATTRIBUTES:
        value = members[name]
        simple = len(value) <= MAX_EXTENSION_LENGTH and _SCALAR_VALUE.match(value)
        if not (simple and _EXTENSION.fullmatch(name)):
            return validate_fully(raw)
    return known


def validate_fully(raw: bytes) -> AppendEnvelope | str:
    """Decode an event completely and return its envelope, or its problems."""
    if is_too_deep(raw):
        return f"its objects and arrays are nested deeper than {MAX_DEPTH}"
    if _is_too_slow(raw):
        return (
            f"it has more than {MAX_SHORT_EXPONENTS // _LONG_EXPONENT_COST:,} numbers like"
            f" 1e300, or {MAX_SHORT_EXPONENTS:,} like"
            " 1e30, which take too long to parse; write them as text, or send fewer in an event"
        )
    try:
        members = _decode_any(raw)
    except DECODE_ERRORS as error:
        return f"it is not valid JSON: {error}"
    if not isinstance(members, dict):
        return f"it is {_json_type(members)}; a CloudEvent is a JSON object"
    problems = intake_problems(members)
    if len(problems) > _SHOWN_REASONS:
        problems = [*problems[:_SHOWN_REASONS], f"and {len(problems) - _SHOWN_REASONS:,} more"]
    return "; ".join(problems) if problems else _decoded_envelope(Event.from_json(raw))


def _decoded_envelope(event: Event) -> AppendEnvelope | str:
    try:
        envelope, _ = event.envelope, event.data
    except EventError as error:
        return str(error)
    return envelope


def _json_type(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _is_utf8(text: bytes) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
