"""Parsing of a pattern's JSON into branches: lists of fields that must all be satisfied.

A pattern without ``$or`` has one branch; each ``$or`` multiplies the branches. Names are joined
with dots: ``{"a": {"b": [1]}}`` and ``{"a.b": [1]}`` are the same pattern. If a branch names a
field twice, the last list counts. Both are as in aws/event-ruler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from busway.errors import PatternError
from busway.rule.clause import Absent, Clause
from busway.rule.operator import parse_clause

_MAX_BRANCHES: Final = 1000
_MAX_DEPTH: Final = 100
_SIMPLE_NAME: Final = re.compile(r"[A-Za-z_$][\w$-]*")

# Reserved names of aws/event-ruler inside $or: with one of these, $or is the name of a field.
_RESERVED: Final = frozenset(
    "exactly equals-ignore-case prefix suffix anything-but exists wildcard numeric cidr html "
    "= < <= > >= regex not-wildcard not-equals-ignore-case date-after date-on-or-after date-before "
    "date-on-or-before in-date-range ip-address-in-range ip-address-not-in-range".split()
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field of a pattern and its alternatives, of which one must match.

    ``place`` is its location in the pattern (``$.data.total``), ``path`` the dotted name of the
    field in an event, ``source`` the JSON text of its list.
    """

    place: str
    path: str
    source: str
    clauses: tuple[Clause, ...]

    def accepts(self, value: object) -> bool:
        """Return whether a scalar satisfies the leaf."""
        return any(clause.accepts(value) for clause in self.clauses)

    @property
    def may_be_absent(self) -> bool:
        """Whether the leaf is satisfied if the field is absent."""
        return any(isinstance(clause, Absent) for clause in self.clauses)


Branch = tuple[Leaf, ...]
_PartialBranch = dict[str, Leaf]


def branches(pattern: object) -> tuple[Branch, ...]:
    """Return the branches of a decoded pattern. Raises ``PatternError``.

    ``$or`` is an operator if EventBridge treats it as one: its value is a list of two or more
    objects, none of which uses the name of an operator as the name of a field. If the pattern is
    valid only with ``$or`` as the name of a field, it is a field.
    """
    try:
        partial_branches = _object(pattern, _PatternPath("$", ""), [{}], _OrMode(True))
    except PatternError as error:
        try:
            partial_branches = _object(pattern, _PatternPath("$", ""), [{}], _OrMode(False))
        except PatternError:
            raise error from None
    return tuple(tuple(draft.values()) for draft in partial_branches)


@dataclass(frozen=True, slots=True)
class _PatternPath:
    text: str
    path: str
    depth: int = 0

    def under(self, name: str) -> _PatternPath:
        step = f".{name}" if _SIMPLE_NAME.fullmatch(name) else f"[{_json(name)}]"
        path = f"{self.path}.{name}" if self.depth else name
        return _PatternPath(self.text + step, path, self.depth + 1)

    def within_or(self, number: int) -> _PatternPath:
        return _PatternPath(f"{self.text}.$or[{number}]", self.path, self.depth)


@dataclass(frozen=True, slots=True)
class _OrMode:
    or_is_operator: bool
    inside_or: bool = False


def _object(
    value: object, place: _PatternPath, partial_branches: list[_PartialBranch], reading: _OrMode
) -> list[_PartialBranch]:
    if not isinstance(value, dict):
        raise PatternError(place.text, "not a JSON object; use an object of names and lists")
    if not value:
        raise PatternError(place.text, "an empty object matches nothing; add a field or remove it")
    if place.depth > _MAX_DEPTH:
        raise PatternError(place.text, f"nested deeper than {_MAX_DEPTH} levels; flatten it")
    for name, item in value.items():
        partial_branches = _field(name, item, place, (partial_branches, reading))
    return partial_branches


def _field(
    name: object, item: object, place: _PatternPath, state: tuple[list[_PartialBranch], _OrMode]
) -> list[_PartialBranch]:
    partial_branches, reading = state
    if not isinstance(name, str):
        raise PatternError(place.text, f"invalid name {name!r}: use a string")
    if name == "$or" and reading.or_is_operator:
        return _or(item, place, partial_branches)
    if reading.inside_or and name in _RESERVED:
        raise PatternError(
            place.text,
            f"{name!r} is an operator; use fields inside $or, as in {{name: [...]}}",
        )
    if isinstance(item, dict):
        return _object(item, place.under(name), partial_branches, reading)
    leaf = _leaf(item, place.under(name))
    return [{**draft, leaf.path: leaf} for draft in partial_branches]


def _or(
    item: object, place: _PatternPath, partial_branches: list[_PartialBranch]
) -> list[_PartialBranch]:
    if not isinstance(item, list) or len(item) < 2:
        raise PatternError(f"{place.text}.$or", "$or needs a list of two or more objects")
    combined: list[_PartialBranch] = []
    for number, part in enumerate(item):
        combined += _object(
            part, place.within_or(number), partial_branches, _OrMode(True, inside_or=True)
        )
        if len(combined) > _MAX_BRANCHES:
            raise PatternError(
                f"{place.text}.$or",
                f"more than {_MAX_BRANCHES} combinations; use lists of values, or several rules",
            )
    return combined


def _leaf(item: object, place: _PatternPath) -> Leaf:
    if not isinstance(item, list):
        raise PatternError(
            place.text, f"{_json(item)} must be a list, [{_json(item)}], or an object of fields"
        )
    if not item:
        raise PatternError(
            place.text, 'an empty list matches nothing; to match any value, use {"exists": true}'
        )
    clauses = tuple(
        parse_clause(part, f"{place.text}[{number}]") for number, part in enumerate(item)
    )
    return Leaf(place.text, place.path, _json(item), clauses)


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return repr(value)


def leaves(given: Sequence[Branch]) -> Iterator[Leaf]:
    """Yield the distinct leaves of all branches, in the order of the pattern."""
    yield from dict.fromkeys(leaf for branch in given for leaf in branch)
