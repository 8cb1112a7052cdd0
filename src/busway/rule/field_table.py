"""The leaves of many patterns on one field, as a table from a value to the matching branches.

A set of branches is an int with a bit for each. A lookup returns the bits of the branches that the
value satisfies, and of those that do not test the field.
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
from busway.rule.text_index import ClauseBits, text_indexes

EXACT_INT: Final = 2**53


class NestedArray(Exception):
    """The tested fields contain arrays of objects or arrays, which tables do not support."""


LeafBit = tuple[Leaf, int]


class FieldTable:
    """The leaves of one field. ``everything`` has the bits of all branches."""

    __slots__ = (
        "_constants",
        "_leaf_bits",
        "_strings",
        "_untested",
        "absent_bits",
        "bits_by_string",
        "bits_of_other_string",
        "number_bits",
        "number_bounds",
        "tested",
    )

    def __init__(self, leaf_bits: Sequence[LeafBit], everything: int) -> None:
        self._leaf_bits = leaf_bits
        self.tested = _union(bit for _, bit in leaf_bits)
        self._untested = free = everything & ~self.tested
        self.absent_bits = free | _union(bit for leaf, bit in leaf_bits if leaf.may_be_absent)
        self._constants = {
            constant: free | self._accepting(constant) for constant in (None, True, False)
        }
        self._strings = StringTable(leaf_bits, free)
        self.bits_by_string = self._strings.bits_by_string
        self.bits_of_other_string = self._strings.bits_of_other_string
        numbers = NumberTable(leaf_bits, free)
        self.number_bounds, self.number_bits = numbers.bounds, numbers.bits

    def bits_of(self, value: Any) -> int:
        """Return the bits for the field's value: a decoded JSON value, or ``UNSET``."""
        kind = type(value)
        if kind is str:
            bits = self.bits_by_string.get(value)
            return self._strings.bits_of_other_string(value) if bits is None else bits
        if value is UNSET:
            return self.absent_bits
        if kind is float or (kind is int and -EXACT_INT <= value <= EXACT_INT):
            points = self.number_bounds
            return self.number_bits[bisect_left(points, value) + bisect_right(points, value)]
        if kind is int:
            return self._untested | self._accepting(value)
        if kind is bool or value is None:
            return self._constants[value]
        return self._bits_of_list(value) if kind is list else self.absent_bits

    def _bits_of_list(self, values: list[Any]) -> int:
        bits = 0
        is_empty = True
        for value in values:
            if type(value) is list:
                raise NestedArray
            if type(value) is not dict:
                bits |= self.bits_of(value)
                is_empty = False
        return self.absent_bits if is_empty else bits

    def _accepting(self, value: object) -> int:
        return _union(bit for leaf, bit in self._leaf_bits if leaf.accepts(value))


class StringTable:
    """The lookup of strings. ``bits_by_string`` has the results for all strings in the leaves."""

    __slots__ = ("_base", "_excluding_parts", "_parts", "bits_by_string")

    def __init__(self, leaf_bits: Sequence[LeafBit], free: int) -> None:
        plain = [(leaf, bit) for leaf, bit in leaf_bits if not _needs_single_check(leaf)]
        single: list[ClauseBits] = [
            (leaf, bit) for leaf, bit in leaf_bits if _needs_single_check(leaf)
        ]
        self._base = free | _union(bit for leaf, bit in plain if _accepts_most(leaf))
        self._parts = text_indexes([*_partial_clauses(plain), *single])
        self._excluding_parts = text_indexes(_excluded_partial_clauses(plain))
        self.bits_by_string: dict[str, int] = {}
        accepted, excluded = (
            _bits_by_value(plain, _named_values),
            _bits_by_value(plain, _excluded_values),
        )
        for value in {*accepted, *excluded}:
            if isinstance(value, str):
                base = self._base & ~excluded.get(value, 0)
                self.bits_by_string[value] = self._add(base, value) | accepted.get(value, 0)

    def bits_of_other_string(self, text: str) -> int:
        """Return the bits of a string that is not in ``bits_by_string``."""
        return self._add(self._base, text)

    def _add(self, bits: int, text: str) -> int:
        for part in self._excluding_parts:
            bits &= ~part.bits(text)
        for part in self._parts:
            bits |= part.bits(text)
        return bits


class NumberTable:
    """The lookup of numbers: the results at and between all numbers in the leaves."""

    __slots__ = ("bits", "bounds")

    def __init__(self, leaf_bits: Sequence[LeafBit], free: int) -> None:
        self.bounds = sorted({point for leaf, _ in leaf_bits for point in _named_numbers(leaf)})
        base = free | _union(bit for leaf, bit in leaf_bits if _accepts_most(leaf))
        self.bits = [base] * (2 * len(self.bounds) + 1)
        for leaf, bit in leaf_bits:
            self._add(leaf, bit)

    def _add(self, leaf: Leaf, bit: int) -> None:
        for value in _excluded_values(leaf):
            if not isinstance(value, str):
                self.bits[self._place(value)] &= ~bit
        for clause in leaf.clauses:
            for place in self._places(clause):
                self.bits[place] |= bit

    def _places(self, clause: Clause) -> Iterable[int]:
        match clause:
            case Equal(int() | float() as value) if type(value) is not bool:
                return [self._place(value)]
            case Numeric(low, low_included, high, high_included):
                start = 0 if low is None else self._place(low) + (not low_included)
                last = len(self.bits) - 1
                end = last if high is None else self._place(high) - (not high_included)
                return range(start, end + 1)
        return ()

    def _place(self, number: float) -> int:
        return bisect_left(self.bounds, number) + bisect_right(self.bounds, number)


def _union(bits: Iterable[int]) -> int:
    return reduce(or_, bits, 0)


def _accepts_most(leaf: Leaf) -> bool:
    return any(isinstance(clause, Present | AnythingBut) for clause in leaf.clauses)


def _excluding_clauses(leaf: Leaf) -> list[AnythingBut]:
    if any(isinstance(clause, Present) for clause in leaf.clauses):
        return []
    return [clause for clause in leaf.clauses if isinstance(clause, AnythingBut)]


def _needs_single_check(leaf: Leaf) -> bool:
    excluding = _excluding_clauses(leaf)
    return len(excluding) > 1 and not all(_excludes_values_only(clause) for clause in excluding)


def _excludes_values_only(clause: AnythingBut) -> bool:
    return all(isinstance(item, Equal) for item in clause.excluded)


def _excluded_values(leaf: Leaf) -> set[Any]:
    """Return the values that every ``anything-but`` of the leaf excludes."""
    named = [
        {_equal_value(item) for item in clause.excluded} for clause in _excluding_clauses(leaf)
    ]
    return set.intersection(*named) - {UNSET} if named else set()


def _named_values(leaf: Leaf) -> set[Any]:
    return {_equal_value(clause) for clause in leaf.clauses} - {UNSET}


def _equal_value(clause: Clause) -> object:
    named = isinstance(clause, Equal) and type(clause.value) in (str, int, float)
    return clause.value if isinstance(clause, Equal) and named else UNSET


def _bits_by_value(
    leaf_bits: Sequence[LeafBit], values: Callable[[Leaf], set[Any]]
) -> dict[Any, int]:
    bits_by_value: dict[Any, int] = {}
    for leaf, bit in leaf_bits:
        for value in values(leaf):
            bits_by_value[value] = bits_by_value.get(value, 0) | bit
    return bits_by_value


def _partial_clauses(leaf_bits: Sequence[LeafBit]) -> Iterator[ClauseBits]:
    """Yield the clauses that accept strings by a pattern, not by equality."""
    for leaf, bit in leaf_bits:
        for clause in leaf.clauses:
            if not isinstance(clause, Equal | Numeric | Present | Absent | AnythingBut):
                yield clause, bit


def _excluded_partial_clauses(leaf_bits: Sequence[LeafBit]) -> Iterator[ClauseBits]:
    for leaf, bit in leaf_bits:
        for clause in _excluding_clauses(leaf):
            if not _excludes_values_only(clause):
                yield from ((item, bit) for item in clause.excluded)


def _named_numbers(leaf: Leaf) -> Iterator[int | float]:
    for clause in leaf.clauses:
        if isinstance(clause, Numeric):
            yield from (bound for bound in (clause.low, clause.high) if bound is not None)
    yield from (
        value
        for value in _named_values(leaf) | _excluded_values(leaf)
        if not isinstance(value, str)
    )
