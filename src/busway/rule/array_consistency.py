"""Array consistency: whether a branch matches with values from the same element of each array.

As in aws/event-ruler, two fields of a pattern are never satisfied by different elements of one
array. Fields are evaluated in the order of their names; a field that must be absent is tested in
the elements that the fields before it have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from busway.rule.branch import Leaf
from busway.rule.field import NO_ELEMENTS, Array, Element, Elements, FieldValue


@dataclass(frozen=True, slots=True)
class LeafValues:
    """A leaf of a branch, the path of its field in the event, and the field's values."""

    leaf: Leaf
    path: str
    values: list[FieldValue]


def is_satisfied(leaf_values: LeafValues) -> bool:
    """Return whether the leaf is satisfied on its own."""
    if not leaf_values.values:
        return leaf_values.leaf.may_be_absent
    return any(leaf_values.leaf.accepts(item.value) for item in leaf_values.values)


def first_conflict(branch: Sequence[LeafValues]) -> LeafValues | None:
    """Return the first leaf, by name, that cannot be satisfied together with those before it.

    Choices keep only elements of arrays that later fields lie in, so that fields in unrelated
    arrays do not multiply the choices.
    """
    by_name = sorted(branch, key=attrgetter("path"))
    later = _arrays_of_later(by_name)
    choices = {NO_ELEMENTS}
    for leaf_values, arrays in zip(by_name, later, strict=True):
        extended = _extend_choices(leaf_values, choices)
        if not extended:
            return leaf_values
        choices = {frozenset(item for item in choice if item[0] in arrays) for choice in extended}
    return None


def _arrays_of_later(branch: Sequence[LeafValues]) -> list[set[Array]]:
    later: list[set[Array]] = []
    arrays: set[Array] = set()
    for leaf_values in reversed(branch):
        later.append(set(arrays))
        arrays.update(array for item in leaf_values.values for array, _ in item.elements)
    return later[::-1]


def _extend_choices(leaf_values: LeafValues, choices: set[Elements]) -> set[Elements]:
    known = _Choices(choices)
    accepted = {
        item.elements for item in leaf_values.values if leaf_values.leaf.accepts(item.value)
    }
    extended = {choice | more for more in accepted for choice in known.consistent_with(more)}
    if leaf_values.leaf.may_be_absent:
        everywhere = {item.elements for item in leaf_values.values}
        present = {choice for more in everywhere for choice in known.consistent_with(more)}
        extended |= choices - present
    return extended


class _Choices:
    """Choices of array elements, indexed to find those that are consistent with another."""

    def __init__(self, choices: set[Elements]) -> None:
        self._all = choices
        self._with: dict[Element, set[Elements]] = {}
        self._without: dict[Array, set[Elements]] = {}
        for choice in choices:
            for element in choice:
                self._with.setdefault(element, set()).add(choice)

    def consistent_with(self, more: Elements) -> list[Elements]:
        """Return the choices without a different element of an array in ``more``."""
        nearest = min((self._candidates(element) for element in more), key=len, default=self._all)
        return [choice for choice in nearest if _are_consistent(choice, more)]

    def _candidates(self, element: Element) -> set[Elements]:
        without = self._without_array(element[0])
        having = self._with.get(element, set())
        return having | without if without else having

    def _without_array(self, array: Array) -> set[Elements]:
        if array not in self._without:
            self._without[array] = {
                choice for choice in self._all if all(known != array for known, _ in choice)
            }
        return self._without[array]


def _are_consistent(first: Elements, second: Elements) -> bool:
    if not first or not second:
        return True
    chosen = dict(first)
    return all(chosen.get(array, number) == number for array, number in second)
