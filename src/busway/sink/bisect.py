"""Tell a row that its table refuses from a destination that is down. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto

import msgspec

from busway.outcome import Rejected, Retry
from busway.sink.row import ItemRows
from busway.sink.row_validation import ItemProblems

PartKey = tuple[int, int, int]


class TableSetupError(Exception):
    """The table does not match the declaration of the sink; fixing it loses no event."""


class RowDropped(Exception):
    """The table accepted a row without an error but did not keep it."""


class ErrorScope(Enum):
    """Whose fault an error is."""

    DESTINATION = auto()
    """Nothing can be written now."""
    ROW = auto()
    """This row can never be written."""
    TRANSIENT = auto()
    """This row may be written later: it waited too long, or another transaction was in the way."""
    UNKNOWN = auto()
    """The row's if others can be written, or if a probe of the destination succeeds."""
    DEPENDENCY = auto()
    """Something that the table depends on is missing: the row's only if others can be written."""


class RowRefusal(msgspec.Struct, frozen=True):
    """Why one item could not be written alone."""

    scope: ErrorScope
    error: Exception
    outcome: Rejected


class Bisection:
    """Finds the items of a batch that cannot be written: by halves, in order, down to single ones.

    Iterate over it, try to write each part, and report the error of one that fails. ``failed`` may
    be handed to another bisection of the same batch, which then does not try the same again.
    """

    def __init__(
        self, batch: Sequence[ItemRows], failed: dict[PartKey, Exception] | None = None
    ) -> None:
        self._parts = deque([batch] if batch else [])
        self.failed = {} if failed is None else failed

    def __iter__(self) -> Iterator[Sequence[ItemRows]]:
        while self._parts:
            part = self._parts.popleft()
            if part_key(part) not in self.failed:
                yield part
            elif len(part) > 1:
                self._halve(part)

    def mark_failed(self, part: Sequence[ItemRows], error: Exception) -> None:
        """Note that a part could not be written, and look for the items in it that cannot."""
        self.failed[part_key(part)] = error
        if len(part) > 1:
            self._halve(part)

    def take_untried(self) -> Sequence[ItemRows]:
        """Return what was not tried, and try no more of it."""
        found = [rows for part in self._parts for rows in part]
        self._parts.clear()
        return found

    def _halve(self, part: Sequence[ItemRows]) -> None:
        middle = len(part) // 2
        self._parts.extendleft([part[middle:], part[:middle]])


def part_key(part: Sequence[ItemRows]) -> PartKey:
    """Return what tells a part from the others of its batch."""
    return part[0].index, part[-1].index, len(part)


def classify_refusals(
    refusals: Mapping[int, RowRefusal], *, others_written: bool, probe_succeeded: bool
) -> ItemProblems:
    """Return what becomes of the items that could not be written alone.

    ``others_written`` says that others of the same load could be written, ``probe_succeeded`` that
    a probe of the destination succeeded. Raises the error that shows the destination to be down.
    """
    problems: ItemProblems = {}
    for index, refusal in refusals.items():
        match refusal.scope:
            case ErrorScope.ROW:
                problems[index] = refusal.outcome
            case ErrorScope.UNKNOWN | ErrorScope.DEPENDENCY if others_written:
                problems[index] = refusal.outcome
            case ErrorScope.TRANSIENT | ErrorScope.UNKNOWN if others_written or probe_succeeded:
                problems[index] = Retry(refusal.outcome.error, refusal.outcome.reason)
            case _:
                raise refusal.error
    return problems
