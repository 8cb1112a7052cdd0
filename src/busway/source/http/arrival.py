"""Events as they arrive: checked in C where they are plain, attribute by attribute where not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from busway.attribute import (
    LONGEST,
    LONGEST_EXTENSION,
    LONGEST_NAME,
    RESERVED_NAME,
    is_reserved_source,
    is_reserved_type,
    refusals,
)
from busway.errors import EventError
from busway.event import Event
from busway.ports import Addressed

MAX_DEPTH = 256
"""How deep the objects and arrays of an event may be nested."""

Text = Annotated[str, Meta(min_length=1)]
Id = Annotated[str, Meta(min_length=1, max_length=LONGEST["id"])]
Subject = Annotated[str, Meta(min_length=1, max_length=LONGEST["subject"])]
Schema = Annotated[str, Meta(min_length=1, max_length=LONGEST["dataschema"])]
Key = Annotated[str, Meta(min_length=1, max_length=LONGEST["partitionkey"])]
Cause = Annotated[str, Meta(max_length=LONGEST["causationid"])]
Correlation = Annotated[str, Meta(max_length=LONGEST["correlationid"])]
Trace = Annotated[str, Meta(max_length=LONGEST_EXTENSION)]
Moment = Annotated[datetime, Meta(tz=True)]
PlainType = Literal[
    "application/json",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "application/xml",
    "text/plain",
    "text/plain; charset=utf-8",
]


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The attributes of an event that Busway knows; others are not looked at."""

    specversion: Literal["1.0"]
    id: Id
    source: Text
    type: Text
    subject: Subject | None = None
    time: Moment | None = None
    datacontenttype: PlainType | None = None
    dataschema: Schema | None = None
    partitionkey: Key | None = None
    traceparent: Trace | None = None
    tracestate: Trace | None = None
    causationid: Cause | None = None
    correlationid: Correlation | None = None
    data: Raw | UnsetType = UNSET


class PlainArrival(Arrival, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """An event with known attributes only, and without ``data_base64``. Most are like this."""


read_plain = msgspec.json.Decoder(PlainArrival).decode
"""Return a plain event. Does not look into its data: that is for :func:`trusty`."""

NOT_PLAIN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What :data:`read_plain` raises for an event that has to be examined."""

_read_known = msgspec.json.Decoder(Arrival).decode
_read_members = msgspec.json.Decoder(dict[str, Raw]).decode
_KNOWN = frozenset(Arrival.__struct_fields__)
_EXTENSION = re.compile(rf"(?!{RESERVED_NAME})[a-z0-9]{{1,{LONGEST_NAME}}}")
_SIMPLE_VALUE = re.compile(rb'"|true$|false$|-?\d{1,9}$')
_read_any = msgspec.json.Decoder().decode
_SHAPE = bytes.maketrans(b"+123456789E", b"0000000000e")
_EXPONENT = b"0e000"
_SLOW, _FEW_SLOW = b"0e00", 1_000
MAX_SLOW, _SLOWER = 20_000, 20
"""How many numbers with an exponent of two digits an event may have: they may take two microseconds
each to be read, without a chance for other threads, and those of three digits twenty times that."""
_NUL = rb"\u0000"
_LONG_NUMBER = b"0" * 200
_HUGE = re.compile(rb"\d[eE]\+?\d{3,}[\s,\]}]")
_SHOWN_REASONS = 20
_SLICE_BYTES = 64 * 1024
_OPENING = frozenset(b"[{")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def trusty(text: bytes) -> bool:
    """Say that well-formed JSON is sure to be decodable later, from a look at its bytes alone.

    It is when it is UTF-8, has no NUL, which attributes may not have, and no number in it can be
    out of range: those have an exponent of three digits, or hundreds of digits. False means that it
    has to be decoded to know.
    """
    if _NUL in text or not (text.isascii() or _is_utf8(text)):
        return False
    shape = text.translate(_SHAPE)
    if shape.count(_SLOW) > _FEW_SLOW:
        return False
    at = shape.find(_EXPONENT)
    while at >= 0:
        if _HUGE.match(text, at):
            return False
        at = shape.find(_EXPONENT, at + 1)
    return _LONG_NUMBER not in shape


def suspicious(envelopes: Sequence[Arrival]) -> bool:
    """Say whether a type or a source among these is too long, or Busway's own.

    Events of one request share them, so it is each different one that is looked at.
    """
    types, sources = {one.type for one in envelopes}, {one.source for one in envelopes}
    return (
        max(map(len, types), default=0) > LONGEST["type"]
        or max(map(len, sources), default=0) > LONGEST["source"]
        or any(map(is_reserved_type, types))
        or any(map(is_reserved_source, sources))
    )


def too_deep(raw: bytes) -> bool:
    """Say whether objects and arrays are nested deeper than :data:`MAX_DEPTH`.

    In a time that is linear in the length, whether it is valid JSON or not, and never long without
    a chance for other threads.
    """
    if len(raw) <= 2 * MAX_DEPTH or raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    depth, in_string = 0, False
    for at in range(0, len(raw), _SLICE_BYTES):
        parts = raw[at : at + _SLICE_BYTES].split(b'"')
        for byte in b"".join(parts[in_string::2]).translate(None, _NO_BRACKETS):
            depth += 1 if byte in _OPENING else -1
            if depth > MAX_DEPTH:
                return True
        in_string ^= len(parts) % 2 == 0
    return False


def _too_slow(raw: bytes) -> bool:
    shape = raw.translate(_SHAPE)
    return shape.count(_SLOW) + _SLOWER * shape.count(_EXPONENT) > MAX_SLOW


def read_extended(raw: bytes) -> Addressed | str:
    """Return a trusty event with extensions of its own, or what is wrong with it."""
    try:
        known = _read_known(raw)
        members = _read_members(raw)
    except NOT_PLAIN:
        return examine(raw)
    if suspicious([known]):
        return examine(raw)
    for name in members.keys() - _KNOWN:
        value = members[name]
        simple = len(value) <= LONGEST_EXTENSION and _SIMPLE_VALUE.match(value)
        if not (simple and _EXTENSION.fullmatch(name)):
            return examine(raw)
    return known


def examine(raw: bytes) -> Addressed | str:
    """Decode one event wholly and return its envelope, or what is wrong with it."""
    if too_deep(raw):
        return f"its objects and arrays are nested deeper than {MAX_DEPTH}"
    if _too_slow(raw):
        return (
            f"it has more than {MAX_SLOW // _SLOWER:,} numbers like 1e300, or {MAX_SLOW:,} like"
            " 1e30, which take too long to be read; write them as text, or send fewer in an event"
        )
    try:
        members = _read_any(raw)
    except NOT_PLAIN as error:
        return f"it is not valid JSON: {error}"
    if not isinstance(members, dict):
        return f"it is {_kind(members)}; a CloudEvent is a JSON object"
    wrong = refusals(members)
    if len(wrong) > _SHOWN_REASONS:
        wrong = [*wrong[:_SHOWN_REASONS], f"and {len(wrong) - _SHOWN_REASONS:,} more"]
    return "; ".join(wrong) if wrong else _opened(Event.from_json(raw))


def _opened(event: Event) -> Addressed | str:
    try:
        envelope, _ = event.envelope, event.data
    except EventError as error:
        return str(error)
    return envelope


def _kind(value: object) -> str:
    kinds = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _is_utf8(text: bytes) -> bool:
    try:
        str(text, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
