"""Exact conversion of Python values to types of PostgreSQL."""

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
from busway.sink.postgres.table_config import MAX_NAME_BYTES
from busway.sink.row import is_exact_float

_T = TypeVar("_T")
Convert = Callable[[object, int], object]
_IPv4 = IPv4Address | IPv4Interface | IPv4Network
_IPv6 = IPv6Address | IPv6Interface | IPv6Network
INT64 = range(-(2**63), 2**63)
INTEGER_RANGES = {"int2": range(-(2**15), 2**15), "int4": range(-(2**31), 2**31), "int8": INT64}
TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_OIDS = frozenset({"oid", "xid", "cid"})
NO_MODIFIER = -1
"""The modifier of a type declared without a modifier."""
_INTEGER = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_UUID = re.compile(r"(\{)?[0-9a-f]{8}(-?)([0-9a-f]{4}\2){3}[0-9a-f]{12}(?(1)\})", re.ASCII | re.I)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME_OF_DAY = (
    r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2}(:[0-9]{2})?)?)?"
)
_TIMESTAMP = re.compile(rf"{_DAY}([T ]{_TIME_OF_DAY})?", re.ASCII)
_TIME = re.compile(_TIME_OF_DAY, re.ASCII)
_BEYOND_MICROSECONDS = re.compile(r"[.,][0-9]{6}0*[1-9]", re.ASCII)
_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_MAX_DIGITS, _MAX_SCALE = 131_072, 16_383
_WHOLE_INTERVAL = 0x7FFF


class PostgresValueError(Exception):
    """A column cannot hold a value; the text says why."""


def convert(kind: str, element: str | None, modifier: int, value: object) -> object:
    """Return a value as the driver sends it. Raises an error if the type would change it."""
    if element is not None:
        if not isinstance(value, list | tuple):
            raise PostgresValueError("an array takes a list")
        return [None if each is None else _element(element, modifier, each) for each in value]
    if kind in INTEGER_RANGES:
        return _convert_integer(value, INTEGER_RANGES[kind])
    if kind in TEXT_TYPES:
        return _text(kind, modifier, value)
    if kind not in _CONVERTERS and isinstance(value, int | float | Decimal) and kind not in _OIDS:
        raise PostgresValueError("it takes no numbers from here; give text")
    return _CONVERTERS.get(kind, _other)(value, modifier)


def _element(kind: str, modifier: int, value: object) -> object:
    if isinstance(value, list | tuple) and kind in TEXT_TYPES:
        raise PostgresValueError("an array in an array would become text")
    element = convert(kind, None, modifier, value)
    if is_infinite(element):
        raise PostgresValueError("in an array the driver would send infinity")
    return element


def is_infinite(value: object) -> bool:
    """Say whether the driver sends infinity for a finite date or time."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) in _INFINITE_TIMES
    return isinstance(value, date) and value in _INFINITE_DATES


_INFINITE_TIMES = frozenset({datetime.min, datetime.max})  # noqa: DTZ901 (compared without their zone)
_INFINITE_DATES = frozenset({date.min, date.max})


def fits_numeric(value: Decimal) -> bool:
    """Say whether an unlimited ``numeric`` can hold a number."""
    if not value.is_finite():
        return not value.is_snan()
    exponent = int(value.as_tuple().exponent)
    return value.adjusted() < _MAX_DIGITS and exponent >= -_MAX_SCALE


def _convert_integer(value: object, valid_range: range) -> int:
    if isinstance(value, str):
        if len(value) > 20 or not _INTEGER.fullmatch(value):
            raise PostgresValueError("the text is not how it would show that number")
        number = int(value)
    elif isinstance(value, float | Decimal):
        if not isfinite(value) or value != (integral := _integral(value)):
            raise PostgresValueError("it is not a whole number in range")
        number = integral
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise PostgresValueError
    if number not in valid_range:
        raise PostgresValueError("it is out of range")
    return number


def _integral(value: float | Decimal) -> int:
    """Return the integral part of a number, or a number out of any range."""
    return int(value) if -(10**20) < value < 10**20 else 10**20


def _text(kind: str, modifier: int, value: object) -> str:
    text = _as_text(value)
    if kind in ("varchar", "bpchar") and modifier != NO_MODIFIER:
        max_chars = modifier - 4
        if len(text.rstrip(" ") if kind == "bpchar" else text) > max_chars:
            raise PostgresValueError(f"it has {len(text)} characters")
    if kind == "name" and len(text.encode()) > MAX_NAME_BYTES:
        raise PostgresValueError("it is too long")
    return text


def _char(value: object, _: int) -> bytes:
    """Return the single byte of the type ``"char"``."""
    encoded = value.encode() if isinstance(value, str) else b""
    if len(encoded) != 1:
        raise PostgresValueError("it holds one byte")
    return encoded


def _address(value: object, _: int) -> object:
    if isinstance(value, str | _IPv4 | _IPv6):
        return value
    raise PostgresValueError("give an address as text")


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list | tuple):
        return encode_json(value).decode()
    if not isinstance(value, int | float | Decimal | UUID | date | time):
        raise PostgresValueError
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _number(value: object) -> Decimal:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise PostgresValueError("the text is not how it would show that number")
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PostgresValueError
    try:
        return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation as error:
        raise PostgresValueError("it is not a number") from error


def _convert_float8(value: object, _: int) -> float:
    if isinstance(value, float):
        return value
    number = _number(value)
    if number.is_nan() or (not is_exact_float(number) and not number.is_infinite()):
        raise PostgresValueError("it would lose digits")
    result = float(number)
    if isinstance(value, str) and value != repr(result).removesuffix(".0"):
        raise PostgresValueError("the text is not how it would show that number")
    return result


def _convert_float4(value: object, modifier: int) -> float:
    double = _convert_float8(value, modifier)
    if not isfinite(double):
        return double
    (single,) = struct.unpack("f", struct.pack("f", double))
    texts = (f"{single:.{digits}g}" for digits in range(1, 10))
    shortest = next(
        text for text in texts if struct.pack("f", float(text)) == struct.pack("f", single)
    )
    if Decimal(shortest) != Decimal(repr(double)):
        raise PostgresValueError("it would lose digits")
    return double


def _numeric(value: object, modifier: int) -> Decimal:
    number = _number(value)
    if not fits_numeric(number):
        raise PostgresValueError("it is out of range")
    if isinstance(value, str) and not number and number.is_signed():
        raise PostgresValueError("it has no negative zero")
    if modifier != NO_MODIFIER and number.is_finite():
        precision, scale = (modifier - 4) >> 16, (((modifier - 4) & 0x7FF) ^ 1024) - 1024
        if _decimal_places(number) > scale:
            raise PostgresValueError(
                f"it would be rounded to {scale} decimal places; round it in a step"
            )
        if number and number.adjusted() >= precision - scale:
            raise PostgresValueError("it is out of range")
    return number


def _decimal_places(number: Decimal) -> int:
    """Return how many decimal places a number needs; negative for zeros before the point."""
    _, digits, exponent = number.as_tuple()
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    if kept == [0]:
        return -_MAX_DIGITS
    return -int(exponent) - (len(digits) - len(kept))


def _bool(value: object, _: int) -> bool:
    result = _BOOLS.get(str(value).lower())
    if result is None or not isinstance(value, bool | int | str):
        raise PostgresValueError
    return result


def _convert_timestamptz(value: object, modifier: int) -> datetime:
    moment = _to_datetime(value)
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _keep_precision(moment, moment.microsecond, modifier)


def _convert_timestamp(value: object, modifier: int) -> datetime:
    moment = _to_datetime(value)
    if moment.utcoffset():
        raise PostgresValueError("the offset would be lost; use timestamptz, or give it in UTC")
    moment = moment.replace(tzinfo=None)
    return _keep_precision(moment, moment.microsecond, modifier)


def _to_datetime(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the caller adds one)
    if isinstance(value, str):
        return datetime.fromisoformat(_iso_text(value, _TIMESTAMP))
    raise PostgresValueError("give a datetime, or text like 2026-01-31T12:00:00Z")


def _iso_text(text: str, form: re.Pattern[str]) -> str:
    """Return the text of a date or time after checking that it is extended ISO 8601."""
    if not form.fullmatch(text):
        raise PostgresValueError("write it like 2026-01-31, 12:00:00 or 2026-01-31T12:00:00Z")
    if _BEYOND_MICROSECONDS.search(text):
        raise PostgresValueError("it holds microseconds, and would lose digits")
    return text


def _keep_precision(value: _T, microseconds: int, modifier: int) -> _T:
    """Return a time after checking that its type does not round it."""
    if modifier != NO_MODIFIER and microseconds % 10 ** (6 - modifier):
        raise PostgresValueError(f"it would be rounded to {modifier} digits of a second")
    return value


def _date(value: object, _: int) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    moment = _to_datetime(value)
    if moment.time() != time() or moment.utcoffset():
        raise PostgresValueError("the time of day would be lost")
    return moment.date()


def _time(value: object, modifier: int) -> time:
    result = _time_of(value)
    if result.tzinfo is not None:
        raise PostgresValueError("the offset would be lost")
    return _keep_precision(result, result.microsecond, modifier)


def _timetz(value: object, modifier: int) -> time:
    result = _time_of(value)
    if result.utcoffset() is None:
        raise PostgresValueError("it has no offset")
    return _keep_precision(result, result.microsecond, modifier)


def _time_of(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str):
        return time.fromisoformat(_iso_text(value, _TIME))
    raise PostgresValueError


def _interval(value: object, modifier: int) -> timedelta:
    if not isinstance(value, timedelta):
        raise PostgresValueError("give a timedelta")
    if modifier == NO_MODIFIER:
        return value
    fields, digits = modifier >> 16, modifier & 0xFFFF
    if fields != _WHOLE_INTERVAL:
        raise PostgresValueError("parts of it could be lost; use an interval without limits")
    return _keep_precision(value, value.microseconds, min(digits, 6))


def _uuid(value: object, _: int) -> UUID:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise PostgresValueError
    return UUID(value)


def _bytes(value: object, _: int) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if not isinstance(value, str) or not value.startswith("\\x"):
        raise PostgresValueError("give bytes, or text in hexadecimal like \\x00ff")
    return bytes.fromhex(value[2:])


def _json(value: object, _: int) -> str:
    try:
        return encode_json(value).decode()
    except (TypeError, ValueError) as error:
        raise PostgresValueError(str(error)) from error


def _money(value: object, _: int) -> object:
    raise PostgresValueError("what it shows depends on the server's locale; use numeric")


def _other(value: object, _: int) -> object:
    """Return a value for a type that only the driver knows, which turns numbers into floats."""
    if isinstance(value, tuple | list):
        return type(value)(_other(each, NO_MODIFIER) for each in value)
    if isinstance(value, int | Decimal) and not is_exact_float(value):
        raise PostgresValueError("it could lose digits")
    return value


_CONVERTERS: dict[str, Convert] = {
    "float4": _convert_float4,
    "float8": _convert_float8,
    "numeric": _numeric,
    "bool": _bool,
    "timestamptz": _convert_timestamptz,
    "timestamp": _convert_timestamp,
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
