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
    """The first part of a pattern that an event does not satisfy; ``str()`` says so in a sentence.

    ``place`` is where the part is in the pattern (``$.data.total``) and ``clause`` its JSON.
    ``found`` are the values that the event has there, none where the field is absent.
    ``in_other_elements`` tells that some of them would do, but lie in another element of an array
    than what the other fields want. Where the pattern has an ``$or``, ``branches`` has a mismatch
    for each way through it; then the place is that of the whole pattern, and nothing is found.

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
            return f"None of the ways through $or matches: {'; '.join(reasons)}{end}."
        return f"{self.place} wants {self.clause}, but {self._reason()}."

    def _reason(self) -> str:
        if not self.found:
            return "the event has no value there"
        elsewhere = ", in other array elements than what the other fields want"
        return f"the event has {_listed(self.found)}" + (
            elsewhere if self.in_other_elements else ""
        )


def find_mismatch(branches: Sequence[Sequence[LeafValues]], pattern: str) -> Mismatch | None:
    """Why none of the branches matches; None if one does. ``pattern`` is the JSON of them all."""
    found: dict[Mismatch, None] = {}
    for branch in branches:
        reason = _branch_mismatch(branch)
        if reason is None:
            return None
        found[reason] = None
    if len(found) == 1:
        return next(iter(found))
    return Mismatch("$", pattern, branches=tuple(found))


def _branch_mismatch(branch: Sequence[LeafValues]) -> Mismatch | None:
    conflict = first_conflict(branch)
    if conflict is None:
        return None
    alone = next(filter(_is_unsatisfiable, branch), None)
    failed = alone or conflict
    values = tuple(item.value for item in failed.values)
    return Mismatch(failed.leaf.place, failed.leaf.source, values, in_other_elements=alone is None)


def _is_unsatisfiable(asked: LeafValues) -> bool:
    """Whether no choice of array elements could satisfy it."""
    by_absence = asked.leaf.may_be_absent and any(item.elements for item in asked.values)
    return not is_satisfied(asked) and not by_absence


def _listed(values: Sequence[object]) -> str:
    shown = [_json(value) for value in values[:_MAX_SHOWN]]
    more = len(values) - _MAX_SHOWN
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _json(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"
