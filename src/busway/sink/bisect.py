"""Bisection of a batch: tells a bad row from a destination that is down. Pure."""

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
    """What an error is about."""

    DESTINATION = auto()
    """The destination: nothing can be written now."""
    ROW = auto()
    """The row: it can never be written."""
    TRANSIENT = auto()
    """The row, for now: it timed out or conflicted with another transaction."""
    UNKNOWN = auto()
    """The row if others can be written or a probe of the destination succeeds."""
    DEPENDENCY = auto()
    """A missing dependency of the table: about the row only if others can be written."""


class RowRefusal(msgspec.Struct, frozen=True):
    """Why a single item could not be written."""

    scope: ErrorScope
    error: Exception
    outcome: Rejected


class Bisection:
    """Finds the items of a batch that cannot be written by halving failed parts, in order.

    Iterate over it, write each part, and report the error of a failed part. Pass ``failed`` to
    another bisection of the same batch to skip the parts that failed before.
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
        """Record that a part failed; its halves follow."""
        self.failed[part_key(part)] = error
        if len(part) > 1:
            self._halve(part)

    def take_untried(self) -> Sequence[ItemRows]:
        """Return the items not tried yet and end the iteration."""
        untried = [rows for part in self._parts for rows in part]
        self._parts.clear()
        return untried

    def _halve(self, part: Sequence[ItemRows]) -> None:
        middle = len(part) // 2
        self._parts.extendleft([part[middle:], part[:middle]])


def part_key(part: Sequence[ItemRows]) -> PartKey:
    """Return the key of a part, unique in its batch."""
    return part[0].index, part[-1].index, len(part)


def classify_refusals(
    refusals: Mapping[int, RowRefusal], *, others_written: bool, probe_succeeded: bool
) -> ItemProblems:
    """Return the outcomes of the items that could not be written on their own.

    ``others_written``: other items of the load were written. ``probe_succeeded``: a probe of the
    destination succeeded. Raises the error if it shows that the destination is down.
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
