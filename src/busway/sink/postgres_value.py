"""Python values as the columns of a PostgreSQL table take them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import cast
from uuid import UUID

import msgspec

from busway.json_text import encode_json
from busway.sink.row import shown

Convert = Callable[[object], object]


class Column(msgspec.Struct, frozen=True):
    """A column: its name, its type (a domain's is that below it), and the type as people read it.

    ``element`` is the type of the elements where it is an array.
    """

    name: str
    kind: str
    schema: str
    shown: str
    element: str | None = None


class BadValue(Exception):
    """A value that its column cannot hold; the text says which and why."""


INT64 = range(-(2**63), 2**63)
_INTS = {"int2": range(-(2**15), 2**15), "int4": range(-(2**31), 2**31), "int8": INT64}
_TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name"})
_NONE = type(None)
_AS_THEY_ARE: dict[str, frozenset[type]] = {
    "float4": frozenset({float, _NONE}),
    "float8": frozenset({float, _NONE}),
    "numeric": frozenset({Decimal, int, _NONE}),
    "text": frozenset({str, _NONE}),
    "varchar": frozenset({str, _NONE}),
    "bpchar": frozenset({str, _NONE}),
    "bool": frozenset({bool, _NONE}),
    "date": frozenset({_NONE}),
    "uuid": frozenset({UUID, _NONE}),
    "bytea": frozenset({bytes, _NONE}),
}
_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def converted(column: Column, values: Sequence[object]) -> Sequence[object]:
    """Return the values of a column as the driver sends them; :class:`BadValue` says which not."""
    kinds = set(map(type, values))
    if kinds <= _AS_THEY_ARE.get(column.kind, frozenset()):
        return values
    if column.kind in _INTS and kinds == {int}:
        numbers, room = cast("Sequence[int]", values), _INTS[column.kind]
        if min(numbers) in room and max(numbers) in room:
            return values
    return [None if value is None else _checked(column, value) for value in values]


def column_type(values: Iterable[object]) -> str:
    """Return the type of a new column that holds all of these values."""
    kinds = {_type_of(value) for value in values}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"bigint", "double precision", "numeric"}:
        return "double precision" if "numeric" not in kinds else "numeric"
    if kinds <= {"date", "timestamptz"}:
        return "timestamptz"
    return "jsonb" if "jsonb" in kinds else "text"


def needs_numeric(column: Column, value: object) -> bool:
    """Say whether a column of whole numbers must become ``numeric`` to hold a value."""
    room = _INTS.get(column.kind)
    if room is None or isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    # Of anything but an int, a range would compare each of its members.
    return value % 1 != 0 or int(value) not in room


def _type_of(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value not in INT64:
        return "numeric"
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "text")


_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric"),
    (str, "text"),
    (datetime, "timestamptz"),
    (date, "date"),
    (time, "time"),
    (timedelta, "interval"),
    ((bytes, bytearray), "bytea"),
    (UUID, "uuid"),
    ((dict, list, tuple), "jsonb"),
)


def _checked(column: Column, value: object) -> object:
    try:
        return _convert(column.kind, column.element, value)
    except BadValue as error:
        reason = f": {error}" if str(error) else ""
    except (ValueError, TypeError, OverflowError, ArithmeticError, RecursionError):
        reason = ""
    raise BadValue(
        f"column {column.name!r} is {column.shown} and cannot hold {shown(value)}"
        f" ({type(value).__name__}){reason}"
    )


def _convert(kind: str, element: str | None, value: object) -> object:
    if element is not None:
        if not isinstance(value, list | tuple):
            raise BadValue("an array takes a list")
        return [None if each is None else _convert(element, None, each) for each in value]
    if kind in _INTS:
        return _whole(value, _INTS[kind])
    if kind in _TEXTS:
        return _text(value)
    convert = _CONVERTERS.get(kind)
    return convert(value) if convert else value


def _whole(value: object, room: range) -> int:
    if not isinstance(value, int | float | Decimal | str):
        raise BadValue
    number = int(value)
    if not isinstance(value, str) and number != value:
        raise BadValue("it is not a whole number")
    if number not in room:
        raise BadValue("it is out of range")
    return number


def _text(value: object) -> str:
    if isinstance(value, bool | dict | list | tuple):
        return encode_json(value).decode()
    if not isinstance(value, str | int | float | Decimal | UUID | date | time):
        raise BadValue
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _float(value: object) -> float:
    if not isinstance(value, int | float | Decimal | str):
        raise BadValue
    return float(value)


def _numeric(value: object) -> Decimal:
    if isinstance(value, float):
        return Decimal(repr(value))
    if not isinstance(value, int | Decimal | str):
        raise BadValue
    try:
        return Decimal(value)
    except InvalidOperation as error:
        raise BadValue("it is not a number") from error


def _bool(value: object) -> bool:
    found = _BOOLS.get(str(value).lower())
    if found is None or not isinstance(value, bool | int | str):
        raise BadValue
    return found


def _instant(value: object) -> datetime:
    moment = _moment(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _local(value: object) -> datetime:
    moment = _moment(value)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the caller adds one)
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    raise BadValue("give a datetime, or text like 2026-01-31T12:00:00Z")


def _date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and len(value) == 10:
        return date.fromisoformat(value)
    return _moment(value).date()


def _time(value: object) -> time:
    if isinstance(value, time):
        return value
    if isinstance(value, str):
        return time.fromisoformat(value)
    raise BadValue


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(_only_text(value))


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    text = _only_text(value)
    if not text.startswith("\\x"):
        raise BadValue("give bytes, or text in hexadecimal like \\x00ff")
    return bytes.fromhex(text[2:])


def _only_text(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue
    return value


def _json(value: object) -> str:
    try:
        return encode_json(value).decode()
    except (TypeError, ValueError) as error:
        raise BadValue(str(error)) from error


_CONVERTERS: dict[str, Convert] = {
    "float4": _float,
    "float8": _float,
    "numeric": _numeric,
    "bool": _bool,
    "timestamptz": _instant,
    "timestamp": _local,
    "date": _date,
    "time": _time,
    "timetz": _time,
    "uuid": _uuid,
    "bytea": _bytes,
    "json": _json,
    "jsonb": _json,
}
