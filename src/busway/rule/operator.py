"""Parsing of the JSON of one alternative into a ``Clause``, as strict as EventBridge.

Source: EventBridge user guide, "Comparison operators for use in event patterns"; the limits of each
operator are those of aws/event-ruler (``JsonRuleCompiler``), which EventBridge runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from busway.errors import PatternError
from busway.rule import glob, ip_address
from busway.rule.clause import (
    Absent,
    AnythingBut,
    Clause,
    Equal,
    IgnoreCase,
    IpRange,
    Numeric,
    Prefix,
    Present,
    Suffix,
    Wildcard,
    is_exact_double,
)
from busway.spelling import nearest

_MAX_PARTIAL_MATCHES: Final = 9


def parse_clause(value: object, place: str) -> Clause:
    """Return the clause of ``value`` at ``place`` of a pattern."""
    if isinstance(value, dict):
        name, operand = _only_item(value, place)
        reader = _READERS.get(name)
        if reader is None:
            near = nearest(name, _READERS)
            known = ", ".join(sorted(_READERS))
            fix = f"did you mean {near!r}?" if near else f"use one of {known}"
            raise PatternError(place, f"unknown operator {name!r}: {fix}")
        return reader(operand, f"{place}.{name}")
    if isinstance(value, list):
        raise PatternError(place, "a list inside a list; move its values into the outer list")
    return _equal(value, place)


def _only_item(value: dict[object, object], place: str) -> tuple[str, object]:
    if len(value) != 1:
        raise PatternError(
            place, f"an operator needs exactly one key, not {len(value)}; use separate objects"
        )
    [(name, operand)] = value.items()
    return str(name), operand


def _equal(value: object, place: str) -> Clause:
    if value is not None and not isinstance(value, str | int | float):
        raise PatternError(place, f"{type(value).__name__} is not a JSON value; use a JSON value")
    if isinstance(value, float) and not is_exact_double(value):
        raise PatternError(place, f"{value} is not a JSON value; use a finite number")
    found = ip_address.parse_ip_address(value) if isinstance(value, str) else None
    return Equal(value) if found is None else IpRange(found[0], found[1], found[1])


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise PatternError(place, f"expected a string, got {_json_type(value)}")
    return value


def _json_type(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    names = {str: "a string", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _prefix(value: object, place: str) -> Clause:
    if isinstance(value, dict):
        return IgnoreCase(_ignoring_case(value, place), "prefix")
    return Prefix(_text(value, place))


def _suffix(value: object, place: str) -> Clause:
    if isinstance(value, dict):
        return IgnoreCase(_ignoring_case(value, place), "suffix")
    return Suffix(_text(value, place))


def _ignoring_case(value: dict[object, object], place: str) -> str:
    name, operand = _only_item(value, place)
    if name != "equals-ignore-case":
        raise PatternError(
            place, f"{name!r} cannot be inside it; use a string or equals-ignore-case"
        )
    return _text(operand, f"{place}.{name}")


def _equals_ignore_case(value: object, place: str) -> Clause:
    return IgnoreCase(_text(value, place))


def _exactly(value: object, place: str) -> Clause:
    return Equal(_text(value, place))


def _wildcard(value: object, place: str) -> Clause:
    text = _text(value, place)
    try:
        parsed = glob.parse_glob(text)
    except ValueError as error:
        raise PatternError(place, str(error)) from None
    if parsed.partial_matches() > _MAX_PARTIAL_MATCHES:
        raise PatternError(
            place,
            "too complex; use fewer wildcards, or fewer characters that repeat after a wildcard",
        )
    return Wildcard(parsed)


def _exists(value: object, place: str) -> Clause:
    if value is True:
        return Present()
    if value is False:
        return Absent()
    raise PatternError(place, f"expected true or false, got {_json_type(value)}")


def _cidr(value: object, place: str) -> Clause:
    text, slash, bits = _text(value, place).partition("/")
    found = ip_address.parse_ip_address(text)
    if found is None:
        raise PatternError(place, f"invalid IP address {text!r}: use a value like 10.0.0.0/8")
    width = 32 if found[0] == 4 else 128
    if not slash or not (bits.isascii() and bits.isdigit() and int(bits[:4]) < width):
        raise PatternError(
            place,
            f"invalid prefix length {bits!r}: use an integer from 0 to {width - 1}, or, for a"
            " single address, the address itself as a plain value",
        )
    rest = (1 << width - int(bits)) - 1
    return IpRange(found[0], found[1] & ~rest, found[1] | rest)


def _numeric(value: object, place: str) -> Clause:
    if not isinstance(value, list):
        raise PatternError(place, f'expected a list such as [">", 0], got {_json_type(value)}')
    match value:
        case ["=", same]:
            bound = _bound(same, f"{place}[1]")
            return Numeric(bound, True, bound, True)
        case ["<" | "<=" as operator, high]:
            return Numeric(None, False, _bound(high, f"{place}[1]"), operator == "<=")
        case [">" | ">=" as operator, low]:
            return Numeric(_bound(low, f"{place}[1]"), operator == ">=", None, False)
        case [">" | ">=" as lower, low, "<" | "<=" as upper, high]:
            return _range(
                lower, _bound(low, f"{place}[1]"), upper, _bound(high, f"{place}[3]"), place
            )
    raise PatternError(
        place,
        'the forms are ["=", x], one of < <= > >= with a number, '
        'and a range with the lower bound first, as in [">", 0, "<=", 5]',
    )


def _range(lower: str, low: float, upper: str, high: float, place: str) -> Clause:
    if low >= high:
        raise PatternError(
            place, f"nothing is between {low} and {high}; the lower bound must be below the upper"
        )
    return Numeric(low, lower == ">=", high, upper == "<=")


def _bound(value: object, place: str) -> float:
    if not is_exact_double(value):
        raise PatternError(place, f"{_json_type(value)} where a number that a double holds must be")
    return value


def _anything_but(value: object, place: str) -> Clause:
    if isinstance(value, dict):
        name, operand = _only_item(value, place)
        if name not in _EXCLUDABLE:
            raise PatternError(
                place, f"{name!r} cannot be inside it; use a value or {', '.join(_EXCLUDABLE)}"
            )
        return _anything_but_operator(name, operand, f"{place}.{name}")
    values = [
        _string_or_number(item, place) for item in (value if isinstance(value, list) else [value])
    ]
    if len({isinstance(item, str) for item in values}) != 1:
        raise PatternError(place, "a list must be of strings only or of numbers only, not empty")
    return AnythingBut(tuple(Equal(item) for item in values))


def _string_or_number(item: object, place: str) -> str | int | float:
    if isinstance(item, str) or is_exact_double(item):
        return item
    raise PatternError(place, f"{_json_type(item)} where a string or a number must be")


def _anything_but_operator(name: str, operand: object, place: str) -> Clause:
    items = operand if isinstance(operand, list) else [operand]
    if not items:
        raise PatternError(place, "an empty list; name what to refuse")
    texts = [_text(item, place) for item in items]
    if name in ("prefix", "suffix") and "" in texts:
        raise PatternError(place, "an empty string, with which every string begins and ends")
    return AnythingBut(tuple(_READERS[name](text, place) for text in texts))


_EXCLUDABLE: Final = ("prefix", "suffix", "equals-ignore-case", "wildcard")

_READERS: Final[dict[str, Callable[[object, str], Clause]]] = {
    "anything-but": _anything_but,
    "cidr": _cidr,
    "equals-ignore-case": _equals_ignore_case,
    "exactly": _exactly,
    "exists": _exists,
    "numeric": _numeric,
    "prefix": _prefix,
    "suffix": _suffix,
    "wildcard": _wildcard,
}
