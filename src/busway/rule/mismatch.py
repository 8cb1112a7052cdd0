"""Why an event does not match a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from busway.rule.array_consistency import LeafValues, first_conflict, is_satisfied

_MAX_SHOWN: Final = 3
_MAX_LENGTH: Final = 80


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first part of a pattern that an event does not satisfy; ``str()`` is a sentence.

    ``place`` is the location of the part in the pattern (``$.data.total``), ``clause`` its JSON.
    ``found`` are the event's values there, empty if the field is absent. ``in_other_elements`` is
    true if some of them match, but lie in another array element than the values of other fields. If
    the pattern has an ``$or``, ``branches`` has a mismatch for each branch, ``place`` is the whole
    pattern, and ``found`` is empty.

    >>> print(Mismatch("$.data.total", '[{"numeric":[">",100]}]', (7,)))
    $.data.total wants [{"numeric":[">",100]}], but the event has 7.
    """

    place: str
    clause: str
    found: tuple[object, ...] = ()
    in_other_elements: bool = False
    branches: tuple[Mismatch, ...] = ()

    def __str__(self) -> str:
        if self.branches:
            reasons = (str(branch).removesuffix(".") for branch in self.branches[:_MAX_SHOWN])
            more = len(self.branches) - _MAX_SHOWN
            end = f"; and {more} more" if more > 0 else ""
            return f"No branch of $or matches: {'; '.join(reasons)}{end}."
        return f"{self.place} wants {self.clause}, but {self._reason()}."

    def _reason(self) -> str:
        if not self.found:
            return "the event has no value there"
        elsewhere = ", in other array elements than the values of the other fields"
        return f"the event has {_listed(self.found)}" + (
            elsewhere if self.in_other_elements else ""
        )


def find_mismatch(branches: Sequence[Sequence[LeafValues]], pattern: str) -> Mismatch | None:
    """Return why no branch matches, None if one does; ``pattern`` is the JSON of the pattern."""
    mismatches: dict[Mismatch, None] = {}
    for branch in branches:
        reason = _branch_mismatch(branch)
        if reason is None:
            return None
        mismatches[reason] = None
    if len(mismatches) == 1:
        return next(iter(mismatches))
    return Mismatch("$", pattern, branches=tuple(mismatches))


def _branch_mismatch(branch: Sequence[LeafValues]) -> Mismatch | None:
    conflict = first_conflict(branch)
    if conflict is None:
        return None
    alone = next(filter(_is_unsatisfiable, branch), None)
    failed = alone or conflict
    values = tuple(item.value for item in failed.values)
    return Mismatch(failed.leaf.place, failed.leaf.source, values, in_other_elements=alone is None)


def _is_unsatisfiable(leaf_values: LeafValues) -> bool:
    """Return whether no choice of array elements could satisfy the leaf."""
    by_absence = leaf_values.leaf.may_be_absent and any(
        item.elements for item in leaf_values.values
    )
    return not is_satisfied(leaf_values) and not by_absence


def _listed(values: Sequence[object]) -> str:
    shown = [_json(value) for value in values[:_MAX_SHOWN]]
    more = len(values) - _MAX_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _json(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
