"""Whether a branch matches, the values it takes lying in the same elements of each array.

The "array consistency" of aws/event-ruler: two fields of a pattern are never satisfied by different
elements of one array. The fields are taken in the order of their names, as there; a field that must
be absent is asked about in the elements that the fields before it have chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from busway.rule.branch import Leaf
from busway.rule.field import NO_ELEMENTS, Array, Element, Elements, FieldValue


@dataclass(frozen=True, slots=True)
class LeafValues:
    """A leaf of a branch, what its field is called in the event, and what it holds there."""

    leaf: Leaf
    path: str
    values: list[FieldValue]


def is_satisfied(asked: LeafValues) -> bool:
    """Whether the leaf is satisfied when it is asked for alone."""
    if not asked.values:
        return asked.leaf.may_be_absent
    return any(asked.leaf.accepts(found.value) for found in asked.values)


def first_conflict(branch: Sequence[LeafValues]) -> LeafValues | None:
    """The first leaf by name that cannot be satisfied together with those before it, if any.

    Only the elements of arrays that later fields lie in are remembered between fields, so that
    fields in unrelated arrays do not multiply.
    """
    by_name = sorted(branch, key=attrgetter("path"))
    later = _arrays_of_later(by_name)
    choices = {NO_ELEMENTS}
    for asked, arrays in zip(by_name, later, strict=True):
        taken = _extend_choices(asked, choices)
        if not taken:
            return asked
        choices = {frozenset(item for item in choice if item[0] in arrays) for choice in taken}
    return None


def _arrays_of_later(branch: Sequence[LeafValues]) -> list[set[Array]]:
    later: list[set[Array]] = []
    arrays: set[Array] = set()
    for asked in reversed(branch):
        later.append(set(arrays))
        arrays.update(array for found in asked.values for array, _ in found.elements)
    return later[::-1]


def _extend_choices(asked: LeafValues, choices: set[Elements]) -> set[Elements]:
    known = _Choices(choices)
    accepted = {found.elements for found in asked.values if asked.leaf.accepts(found.value)}
    taken = {choice | more for more in accepted for choice in known.consistent_with(more)}
    if asked.leaf.may_be_absent:
        everywhere = {found.elements for found in asked.values}
        present = {choice for more in everywhere for choice in known.consistent_with(more)}
        taken |= choices - present
    return taken


class _Choices:
    """Choices of array elements, to be asked which of them agree with another one."""

    def __init__(self, choices: set[Elements]) -> None:
        self._all = choices
        self._with: dict[Element, set[Elements]] = {}
        self._without: dict[Array, set[Elements]] = {}
        for choice in choices:
            for element in choice:
                self._with.setdefault(element, set()).add(choice)

    def consistent_with(self, more: Elements) -> list[Elements]:
        """The choices that have no other element of any array in ``more``."""
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


def _are_consistent(one: Elements, other: Elements) -> bool:
    if not one or not other:
        return True
    chosen = dict(one)
    return all(chosen.get(array, number) == number for array, number in other)
