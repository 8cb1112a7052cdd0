"""From a pattern's JSON to its branches: lists of fields of which all must be satisfied.

A pattern without ``$or`` is one branch; each ``$or`` multiplies them. Names are joined with dots:
``{"a": {"b": [1]}}`` and ``{"a.b": [1]}`` are the same pattern. Where a branch names a field twice,
the last list counts. Both as in aws/event-ruler.
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

# What aws/event-ruler keeps for itself inside of $or: with one of these, $or is a field's name.
_RESERVED: Final = frozenset(
    "exactly equals-ignore-case prefix suffix anything-but exists wildcard numeric cidr html "
    "= < <= > >= regex not-wildcard not-equals-ignore-case date-after date-on-or-after date-before "
    "date-on-or-before in-date-range ip-address-in-range ip-address-not-in-range".split()
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One field of a pattern and its alternatives, any of which is enough.

    ``place`` is where it is in the pattern (``$.data.total``), ``path`` the dotted name of the
    field in an event, ``source`` the JSON text of its list.
    """

    place: str
    path: str
    source: str
    clauses: tuple[Clause, ...]

    def accepts(self, value: object) -> bool:
        """Whether one scalar satisfies it."""
        return any(clause.accepts(value) for clause in self.clauses)

    @property
    def may_be_absent(self) -> bool:
        """Whether it is satisfied by the field's absence."""
        return any(isinstance(clause, Absent) for clause in self.clauses)


Branch = tuple[Leaf, ...]
_PartialBranch = dict[str, Leaf]


def branches(pattern: object) -> tuple[Branch, ...]:
    """The branches of a decoded pattern, or ``PatternError``.

    ``$or`` is an "or" where EventBridge takes it for one: it holds a list of two objects or more,
    none of which uses the name of an operator as the name of a field. Where the pattern is only
    valid with ``$or`` as the name of a field, that is what it is.
    """
    try:
        drafts = _object(pattern, _PatternPath("$", ""), [{}], _OrMode(True))
    except PatternError as error:
        try:
            drafts = _object(pattern, _PatternPath("$", ""), [{}], _OrMode(False))
        except PatternError:
            raise error from None
    return tuple(tuple(draft.values()) for draft in drafts)


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
    value: object, place: _PatternPath, drafts: list[_PartialBranch], reading: _OrMode
) -> list[_PartialBranch]:
    if not isinstance(value, dict):
        raise PatternError(place.text, "a pattern is a JSON object of names and lists of values")
    if not value:
        raise PatternError(
            place.text, "an empty object matches nothing; name a field, or leave it out"
        )
    if place.depth > _MAX_DEPTH:
        raise PatternError(place.text, f"more than {_MAX_DEPTH} levels deep; make it flatter")
    for name, item in value.items():
        drafts = _field(name, item, place, (drafts, reading))
    return drafts


def _field(
    name: object, item: object, place: _PatternPath, state: tuple[list[_PartialBranch], _OrMode]
) -> list[_PartialBranch]:
    drafts, reading = state
    if not isinstance(name, str):
        raise PatternError(place.text, f"{name!r} is not a string; names are strings")
    if name == "$or" and reading.or_is_operator:
        return _or(item, place, drafts)
    if reading.inside_or and name in _RESERVED:
        raise PatternError(
            place.text,
            f"{name!r} is an operator; inside of $or stand fields, as in {{name: [...]}}",
        )
    if isinstance(item, dict):
        return _object(item, place.under(name), drafts, reading)
    leaf = _leaf(item, place.under(name))
    return [{**draft, leaf.path: leaf} for draft in drafts]


def _or(item: object, place: _PatternPath, drafts: list[_PartialBranch]) -> list[_PartialBranch]:
    if not isinstance(item, list) or len(item) < 2:
        raise PatternError(f"{place.text}.$or", "$or needs a list of two objects or more")
    found: list[_PartialBranch] = []
    for number, part in enumerate(item):
        found += _object(part, place.within_or(number), drafts, _OrMode(True, inside_or=True))
        if len(found) > _MAX_BRANCHES:
            raise PatternError(
                f"{place.text}.$or",
                f"more than {_MAX_BRANCHES} combinations; use lists of values, or several rules",
            )
    return found


def _leaf(item: object, place: _PatternPath) -> Leaf:
    if not isinstance(item, list):
        raise PatternError(
            place.text, f"{_json(item)} must be in a list: [{_json(item)}], or an object of fields"
        )
    if not item:
        raise PatternError(
            place.text, 'an empty list matches nothing; for any value: {"exists": true}'
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


def leaves(found: Sequence[Branch]) -> Iterator[Leaf]:
    """All leaves of all branches, in the pattern's order, each once."""
    yield from dict.fromkeys(leaf for branch in found for leaf in branch)
