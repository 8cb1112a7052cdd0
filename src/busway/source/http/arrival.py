"""Events as they arrive: checked in C where they are plain, attribute by attribute where not."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from busway.attribute import problems
from busway.errors import EventError
from busway.event import Event
from busway.ports import Addressed

MAX_DEPTH = 256
"""How deep the objects and arrays of an event may be nested."""

Text = Annotated[str, Meta(min_length=1)]
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
    id: Text
    source: Text
    type: Text
    subject: Text | None = None
    time: Moment | None = None
    datacontenttype: PlainType | None = None
    dataschema: Text | None = None
    partitionkey: Text | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    causationid: str | None = None
    correlationid: str | None = None
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
_EXTENSION = re.compile(r"[a-z0-9]+")
_SIMPLE_VALUE = re.compile(rb'"|true$|false$|-?\d{1,9}$')
_read_any = msgspec.json.Decoder().decode
_SHAPE = bytes.maketrans(b"+123456789E", b"0000000000e")
_EXPONENT = b"0e000"
_NUL = rb"\u0000"
_LONG_NUMBER = b"0" * 200
_HUGE = re.compile(rb"\d[eE]\+?\d{3,}[\s,\]}]")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def trusty(text: bytes) -> bool:
    """Say that well-formed JSON is sure to be decodable later, from a look at its bytes alone.

    It is when it is UTF-8, has no NUL, which attributes may not have, and no number in it can be
    out of range: those have an exponent of three digits, or hundreds of digits. False means that it
    has to be decoded to know.
    """
    if _NUL in text or not (text.isascii() or _is_utf8(text)):
        return False
    shape = text.translate(_SHAPE)
    at = shape.find(_EXPONENT)
    while at >= 0:
        if _HUGE.match(text, at):
            return False
        at = shape.find(_EXPONENT, at + 1)
    return _LONG_NUMBER not in shape


def too_deep(raw: bytes) -> bool:
    """Say whether objects and arrays are nested deeper than :data:`MAX_DEPTH`."""
    if len(raw) <= 2 * MAX_DEPTH or raw.count(b"{") + raw.count(b"[") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for byte in _STRING.sub(b"", raw):
        depth += (byte in b"{[") - (byte in b"}]")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def read_extended(raw: bytes) -> Addressed | str:
    """Return a trusty event with extensions of its own, or what is wrong with it."""
    try:
        known = _read_known(raw)
        members = _read_members(raw)
    except NOT_PLAIN:
        return examine(raw)
    for name in members.keys() - _KNOWN:
        if not (_EXTENSION.fullmatch(name) and _SIMPLE_VALUE.match(members[name])):
            return examine(raw)
    return known


def examine(raw: bytes) -> Addressed | str:
    """Decode one event wholly and return its envelope, or what is wrong with it."""
    if too_deep(raw):
        return f"its objects and arrays are nested deeper than {MAX_DEPTH}"
    try:
        members = _read_any(raw)
    except NOT_PLAIN as error:
        return f"it is not valid JSON: {error}"
    if not isinstance(members, dict):
        return f"it is {_kind(members)}; a CloudEvent is a JSON object"
    wrong = problems(members)
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
