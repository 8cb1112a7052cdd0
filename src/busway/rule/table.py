"""All the leaves that many patterns have on one field, as a table from a value to the patterns.

A set of patterns is an int with a bit for each branch. A table's answer has the bits of the
branches that the value satisfies, and of those that do not ask about the field.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Any, Final

from msgspec import UNSET

from busway.rule.branch import Leaf
from busway.rule.clause import Absent, AnythingBut, Clause, Equal, Numeric, Present
from busway.rule.text import Entry, text_parts

EXACT_INT: Final = 2**53


class NestedArray(Exception):
    """The fields asked for hold arrays of objects or of arrays, which tables cannot answer for."""


Ask = tuple[Leaf, int]


class Table:
    """The leaves of one field. ``everything`` has the bits of all branches there are."""

    __slots__ = (
        "_asks",
        "_constants",
        "_free",
        "_texts",
        "absent",
        "answers",
        "care",
        "known",
        "points",
        "text",
    )

    def __init__(self, asks: Sequence[Ask], everything: int) -> None:
        self._asks = asks
        self.care = _union(bit for _, bit in asks)
        self._free = free = everything & ~self.care
        self.absent = free | _union(bit for leaf, bit in asks if leaf.may_be_absent)
        self._constants = {
            constant: free | self._asked(constant) for constant in (None, True, False)
        }
        self._texts = Texts(asks, free)
        self.known = self._texts.known
        self.text = self._texts.of
        numbers = Numbers(asks, free)
        self.points, self.answers = numbers.points, numbers.answers

    def of(self, value: Any) -> int:
        """The bits for what the field holds: a decoded JSON value, or ``UNSET``."""
        kind = type(value)
        if kind is str:
            bits = self.known.get(value)
            return self._texts.of(value) if bits is None else bits
        if value is UNSET:
            return self.absent
        if kind is float or (kind is int and -EXACT_INT <= value <= EXACT_INT):
            points = self.points
            return self.answers[bisect_left(points, value) + bisect_right(points, value)]
        if kind is int:
            return self._free | self._asked(value)
        if kind is bool or value is None:
            return self._constants[value]
        return self._of_list(value) if kind is list else self.absent

    def _of_list(self, values: list[Any]) -> int:
        found = 0
        empty = True
        for value in values:
            if type(value) is list:
                raise NestedArray
            if type(value) is not dict:
                found |= self.of(value)
                empty = False
        return self.absent if empty else found

    def _asked(self, value: object) -> int:
        return _union(bit for leaf, bit in self._asks if leaf.accepts(value))


class Texts:
    """What the leaves say of strings. ``known`` has the answers for the strings that they name."""

    __slots__ = ("_base", "_parts", "_refusing", "known")

    def __init__(self, asks: Sequence[Ask], free: int) -> None:
        plain = [(leaf, bit) for leaf, bit in asks if not _is_odd(leaf)]
        odd: list[Entry] = [(leaf, bit) for leaf, bit in asks if _is_odd(leaf)]
        self._base = free | _union(bit for leaf, bit in plain if _takes_most(leaf))
        self._parts = text_parts([*_pieces(plain), *odd])
        self._refusing = text_parts(_refused_pieces(plain))
        self.known: dict[str, int] = {}
        accepted, refused = _by_value(plain, _equals), _by_value(plain, _refusals)
        for value in {*accepted, *refused}:
            if isinstance(value, str):
                base = self._base & ~refused.get(value, 0)
                self.known[value] = self._add(base, value) | accepted.get(value, 0)

    def of(self, text: str) -> int:
        """The bits of a string that is not in ``known``."""
        return self._add(self._base, text)

    def _add(self, bits: int, text: str) -> int:
        for part in self._refusing:
            bits &= ~part.bits(text)
        for part in self._parts:
            bits |= part.bits(text)
        return bits


class Numbers:
    """What the leaves say of numbers: the answers between and at all the numbers that they name."""

    __slots__ = ("answers", "points")

    def __init__(self, asks: Sequence[Ask], free: int) -> None:
        self.points = sorted({point for leaf, _ in asks for point in _points(leaf)})
        base = free | _union(bit for leaf, bit in asks if _takes_most(leaf))
        self.answers = [base] * (2 * len(self.points) + 1)
        for leaf, bit in asks:
            self._enter(leaf, bit)

    def _enter(self, leaf: Leaf, bit: int) -> None:
        for value in _refusals(leaf):
            if not isinstance(value, str):
                self.answers[self._place(value)] &= ~bit
        for clause in leaf.clauses:
            for place in self._places(clause):
                self.answers[place] |= bit

    def _places(self, clause: Clause) -> Iterable[int]:
        match clause:
            case Equal(int() | float() as value) if type(value) is not bool:
                return [self._place(value)]
            case Numeric(low, low_included, high, high_included):
                start = 0 if low is None else self._place(low) + (not low_included)
                last = len(self.answers) - 1
                end = last if high is None else self._place(high) - (not high_included)
                return range(start, end + 1)
        return ()

    def _place(self, number: float) -> int:
        return bisect_left(self.points, number) + bisect_right(self.points, number)


def _union(bits: Iterable[int]) -> int:
    return reduce(or_, bits, 0)


def _takes_most(leaf: Leaf) -> bool:
    return any(isinstance(clause, Present | AnythingBut) for clause in leaf.clauses)


def _refusing_clauses(leaf: Leaf) -> list[AnythingBut]:
    if any(isinstance(clause, Present) for clause in leaf.clauses):
        return []
    return [clause for clause in leaf.clauses if isinstance(clause, AnythingBut)]


def _is_odd(leaf: Leaf) -> bool:
    refusing = _refusing_clauses(leaf)
    return len(refusing) > 1 and not all(_names_values(clause) for clause in refusing)


def _names_values(clause: AnythingBut) -> bool:
    return all(isinstance(refused, Equal) for refused in clause.refused)


def _refusals(leaf: Leaf) -> set[Any]:
    """The values that every ``anything-but`` of the leaf names."""
    named = [{_value(item) for item in clause.refused} for clause in _refusing_clauses(leaf)]
    return set.intersection(*named) - {UNSET} if named else set()


def _equals(leaf: Leaf) -> set[Any]:
    return {_value(clause) for clause in leaf.clauses} - {UNSET}


def _value(clause: Clause) -> object:
    named = isinstance(clause, Equal) and type(clause.value) in (str, int, float)
    return clause.value if isinstance(clause, Equal) and named else UNSET


def _by_value(asks: Sequence[Ask], values: Callable[[Leaf], set[Any]]) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for leaf, bit in asks:
        for value in values(leaf):
            found[value] = found.get(value, 0) | bit
    return found


def _pieces(asks: Sequence[Ask]) -> Iterator[Entry]:
    """The clauses that accept some strings, other than by naming them."""
    for leaf, bit in asks:
        for clause in leaf.clauses:
            if not isinstance(clause, Equal | Numeric | Present | Absent | AnythingBut):
                yield clause, bit


def _refused_pieces(asks: Sequence[Ask]) -> Iterator[Entry]:
    for leaf, bit in asks:
        for clause in _refusing_clauses(leaf):
            if not _names_values(clause):
                yield from ((refused, bit) for refused in clause.refused)


def _points(leaf: Leaf) -> Iterator[int | float]:
    for clause in leaf.clauses:
        if isinstance(clause, Numeric):
            yield from (bound for bound in (clause.low, clause.high) if bound is not None)
    yield from (value for value in _equals(leaf) | _refusals(leaf) if not isinstance(value, str))
