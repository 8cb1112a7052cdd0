"""Python values as types of PostgreSQL hold them: exactly, or not at all."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from math import isfinite
from typing import TypeVar
from uuid import UUID

from busway.json_text import encode_json
from busway.sink.postgres_relation import LONGEST_NAME
from busway.sink.row import is_float

_T = TypeVar("_T")
Convert = Callable[[object, int], object]
_IPv4 = IPv4Address | IPv4Interface | IPv4Network
_IPv6 = IPv6Address | IPv6Interface | IPv6Network
INT64 = range(-(2**63), 2**63)
INTS = {"int2": range(-(2**15), 2**15), "int4": range(-(2**31), 2**31), "int8": INT64}
TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_OIDS = frozenset({"oid", "xid", "cid"})
UNLIMITED = -1
"""The modifier of a type that was declared without one."""
_WHOLE = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_EXACT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_UUID = re.compile(r"(\{)?[0-9a-f]{8}(-?)([0-9a-f]{4}\2){3}[0-9a-f]{12}(?(1)\})", re.ASCII | re.I)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)?"
_MOMENT = re.compile(rf"{_DAY}([T ]{_CLOCK})?", re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_FINE = re.compile(r"[.,][0-9]{6}0*[1-9]", re.ASCII)
_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_MOST_DIGITS, _MOST_SCALE = 131_072, 16_383
_WHOLE_INTERVAL = 0x7FFF


class BadValue(Exception):
    """A value that its column cannot hold; the text says which and why."""


def convert(kind: str, element: str | None, modifier: int, value: object) -> object:
    """Return a value as the driver sends it to a type; raises an error when it would be changed."""
    if element is not None:
        if not isinstance(value, list | tuple):
            raise BadValue("an array takes a list")
        return [None if each is None else _element(element, modifier, each) for each in value]
    if kind in INTS:
        return _whole(value, INTS[kind])
    if kind in TEXTS:
        return _text(kind, modifier, value)
    if kind not in _CONVERTERS and isinstance(value, int | float | Decimal) and kind not in _OIDS:
        raise BadValue("it takes no numbers from here; give text")
    return _CONVERTERS.get(kind, _other)(value, modifier)


def _element(kind: str, modifier: int, value: object) -> object:
    if isinstance(value, list | tuple) and kind in TEXTS:
        raise BadValue("an array in an array would become text")
    found = convert(kind, None, modifier, value)
    if is_infinite(found):
        raise BadValue("in an array the driver would send infinity")
    return found


def is_infinite(value: object) -> bool:
    """Say whether the driver sends infinity for a date or a time which is not."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) in _ENDS
    return isinstance(value, date) and value in _END_DAYS


_ENDS = frozenset({datetime.min, datetime.max})  # noqa: DTZ901 (compared without their zone)
_END_DAYS = frozenset({date.min, date.max})


def fits_numeric(value: Decimal) -> bool:
    """Say whether a ``numeric`` without limits holds a number."""
    if not value.is_finite():
        return not value.is_snan()
    exponent = int(value.as_tuple().exponent)
    return value.adjusted() < _MOST_DIGITS and exponent >= -_MOST_SCALE


def _whole(value: object, room: range) -> int:
    if isinstance(value, str):
        if len(value) > 20 or not _WHOLE.fullmatch(value):
            raise BadValue("the text is not how it would show that number")
        number = int(value)
    elif isinstance(value, float | Decimal):
        if not isfinite(value) or value != (found := _integral(value)):
            raise BadValue("it is not a whole number in range")
        number = found
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise BadValue
    if number not in room:
        raise BadValue("it is out of range")
    return number


def _integral(value: float | Decimal) -> int:
    """Return the whole part of a number, or of one that is out of any range."""
    return int(value) if -(10**20) < value < 10**20 else 10**20


def _text(kind: str, modifier: int, value: object) -> str:
    text = _as_text(value)
    if kind in ("varchar", "bpchar") and modifier != UNLIMITED:
        most = modifier - 4
        if len(text.rstrip(" ") if kind == "bpchar" else text) > most:
            raise BadValue(f"it has {len(text)} characters")
    if kind == "name" and len(text.encode()) > LONGEST_NAME:
        raise BadValue("it is too long")
    return text


def _char(value: object, _: int) -> bytes:
    """Return what the type ``"char"`` holds: one byte."""
    found = value.encode() if isinstance(value, str) else b""
    if len(found) != 1:
        raise BadValue("it holds one byte")
    return found


def _address(value: object, _: int) -> object:
    if isinstance(value, str | _IPv4 | _IPv6):
        return value
    raise BadValue("give an address as text")


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list | tuple):
        return encode_json(value).decode()
    if not isinstance(value, int | float | Decimal | UUID | date | time):
        raise BadValue
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _number(value: object) -> Decimal:
    if isinstance(value, str):
        if not _EXACT.fullmatch(value):
            raise BadValue("the text is not how it would show that number")
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadValue
    try:
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation as error:
        raise BadValue("it is not a number") from error


def _double(value: object, _: int) -> float:
    if isinstance(value, float):
        return value
    number = _number(value)
    if number.is_nan() or (not is_float(number) and not number.is_infinite()):
        raise BadValue("it would lose digits")
    found = float(number)
    if isinstance(value, str) and value != repr(found).removesuffix(".0"):
        raise BadValue("the text is not how it would show that number")
    return found


def _single(value: object, modifier: int) -> float:
    double = _double(value, modifier)
    if not isfinite(double):
        return double
    (found,) = struct.unpack("f", struct.pack("f", double))
    texts = (f"{found:.{digits}g}" for digits in range(1, 10))
    shortest = next(
        text for text in texts if struct.pack("f", float(text)) == struct.pack("f", found)
    )
    if Decimal(shortest) != Decimal(repr(double)):
        raise BadValue("it would lose digits")
    return double


def _numeric(value: object, modifier: int) -> Decimal:
    number = _number(value)
    if not fits_numeric(number):
        raise BadValue("it is out of range")
    if isinstance(value, str) and not number and number.is_signed():
        raise BadValue("it has no negative zero")
    if modifier != UNLIMITED and number.is_finite():
        precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
        if _places(number) > scale:
            raise BadValue(f"it would be rounded to {scale} decimal places; round it in a step")
        if number and number.adjusted() >= precision - scale:
            raise BadValue("it is out of range")
    return number


def _places(number: Decimal) -> int:
    """Return how many decimal places a number needs; fewer than none for zeros before the point."""
    _, digits, exponent = number.as_tuple()
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    if kept == [0]:
        return -_MOST_DIGITS
    return -int(exponent) - (len(digits) - len(kept))


def _bool(value: object, _: int) -> bool:
    found = _BOOLS.get(str(value).lower())
    if found is None or not isinstance(value, bool | int | str):
        raise BadValue
    return found


def _instant(value: object, modifier: int) -> datetime:
    moment = _moment(value)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _fine(moment, moment.microsecond, modifier)


def _local(value: object, modifier: int) -> datetime:
    moment = _moment(value)
    if moment.utcoffset():
        raise BadValue("the offset would be lost; use timestamptz, or give it in UTC")
    moment = moment.replace(tzinfo=None)
    return _fine(moment, moment.microsecond, modifier)


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the caller adds one)
    if isinstance(value, str):
        return datetime.fromisoformat(_written(value, _MOMENT))
    raise BadValue("give a datetime, or text like 2026-01-31T12:00:00Z")


def _written(text: str, form: re.Pattern[str]) -> str:
    """Return a date or a time that is written in the extended form of ISO 8601, to be read."""
    if not form.fullmatch(text):
        raise BadValue("write it like 2026-01-31, 12:00:00 or 2026-01-31T12:00:00Z")
    if _FINE.search(text):
        raise BadValue("it holds microseconds, and would lose digits")
    return text


def _fine(value: _T, microseconds: int, modifier: int) -> _T:
    """Return a time that its type holds without rounding it."""
    if modifier != UNLIMITED and microseconds % 10 ** (6 - modifier):
        raise BadValue(f"it would be rounded to {modifier} digits of a second")
    return value


def _date(value: object, _: int) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    moment = _moment(value)
    if moment.time() != time() or moment.utcoffset():
        raise BadValue("the time of day would be lost")
    return moment.date()


def _time(value: object, modifier: int) -> time:
    found = _time_of(value)
    if found.tzinfo is not None:
        raise BadValue("the offset would be lost")
    return _fine(found, found.microsecond, modifier)


def _timetz(value: object, modifier: int) -> time:
    found = _time_of(value)
    if found.utcoffset() is None:
        raise BadValue("it has no offset")
    return _fine(found, found.microsecond, modifier)


def _time_of(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str):
        return time.fromisoformat(_written(value, _TIME))
    raise BadValue


def _interval(value: object, modifier: int) -> timedelta:
    if not isinstance(value, timedelta):
        raise BadValue("give a timedelta")
    if modifier == UNLIMITED:
        return value
    fields, digits = modifier >> 16, modifier & 0xFFFF
    if fields != _WHOLE_INTERVAL:
        raise BadValue("parts of it could be lost; use an interval without limits")
    return _fine(value, value.microseconds, min(digits, 6))


def _uuid(value: object, _: int) -> UUID:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise BadValue
    return UUID(value)


def _bytes(value: object, _: int) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str) or not value.startswith("\\x"):
        raise BadValue("give bytes, or text in hexadecimal like \\x00ff")
    return bytes.fromhex(value[2:])


def _json(value: object, _: int) -> str:
    try:
        return encode_json(value).decode()
    except (TypeError, ValueError) as error:
        raise BadValue(str(error)) from error


def _money(value: object, _: int) -> object:
    raise BadValue("what it shows depends on the server's locale; use numeric")


def _other(value: object, _: int) -> object:
    """Return a value for a type that only the driver knows; of numbers in it, floats are made."""
    if isinstance(value, tuple | list):
        return type(value)(_other(each, UNLIMITED) for each in value)
    if isinstance(value, int | Decimal) and not is_float(value):
        raise BadValue("it could lose digits")
    return value


_CONVERTERS: dict[str, Convert] = {
    "float4": _single,
    "float8": _double,
    "numeric": _numeric,
    "bool": _bool,
    "timestamptz": _instant,
    "timestamp": _local,
    "date": _date,
    "time": _time,
    "timetz": _timetz,
    "interval": _interval,
    "uuid": _uuid,
    "bytea": _bytes,
    "json": _json,
    "jsonb": _json,
    "money": _money,
    "char": _char,
    "inet": _address,
    "cidr": _address,
}
