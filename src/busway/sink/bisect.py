"""Tell a row that its table refuses from a destination that is down. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto

import msgspec

from busway.outcome import Rejected, Retry
from busway.sink.row import Rows
from busway.sink.shape import Problems

Span = tuple[int, int, int]


class Blame(Enum):
    """Whose fault an error is."""

    DESTINATION = auto()
    """Nothing can be written now."""
    ROW = auto()
    """This row can never be written."""
    PASSING = auto()
    """This row may be written later: it waited too long, or another transaction was in the way."""
    UNCLEAR = auto()
    """The row's if others can be written, or if a probe of the destination succeeds."""
    ELSEWHERE = auto()
    """Something that the table depends on is missing: the row's only if others can be written."""


class Refusal(msgspec.Struct, frozen=True):
    """Why one item could not be written alone."""

    blame: Blame
    cause: Exception
    outcome: Rejected


class Bisection:
    """Finds the items of a batch that cannot be written: by halves, in order, down to single ones.

    Iterate over it, try to write each part, and report the error of one that fails. ``failed`` may
    be handed to another bisection of the same batch, which then does not try the same again.
    """

    def __init__(self, batch: Sequence[Rows], failed: dict[Span, Exception] | None = None) -> None:
        self._parts = deque([batch] if batch else [])
        self.failed = {} if failed is None else failed

    def __iter__(self) -> Iterator[Sequence[Rows]]:
        while self._parts:
            part = self._parts.popleft()
            if span_of(part) not in self.failed:
                yield part
            elif len(part) > 1:
                self._halve(part)

    def refused(self, part: Sequence[Rows], error: Exception) -> None:
        """Note that a part could not be written, and look for the items in it that cannot."""
        self.failed[span_of(part)] = error
        if len(part) > 1:
            self._halve(part)

    def rest(self) -> Sequence[Rows]:
        """Return what was not tried, and try no more of it."""
        found = [rows for part in self._parts for rows in part]
        self._parts.clear()
        return found

    def _halve(self, part: Sequence[Rows]) -> None:
        middle = len(part) // 2
        self._parts.extendleft([part[middle:], part[:middle]])


def span_of(part: Sequence[Rows]) -> Span:
    """Return what tells a part from the others of its batch."""
    return part[0].index, part[-1].index, len(part)


def judged(refusals: Mapping[int, Refusal], *, landed: bool, sound: bool) -> Problems:
    """Return what becomes of the items that could not be written alone.

    ``landed`` says that others of the same load could be written, ``sound`` that a probe of the
    destination succeeded. Raises the error that shows the destination to be down.
    """
    problems: Problems = {}
    for index, refusal in refusals.items():
        match refusal.blame:
            case Blame.ROW:
                problems[index] = refusal.outcome
            case Blame.UNCLEAR | Blame.ELSEWHERE if landed:
                problems[index] = refusal.outcome
            case Blame.PASSING | Blame.UNCLEAR if landed or sound:
                problems[index] = Retry(refusal.outcome.error, refusal.outcome.reason)
            case _:
                raise refusal.cause
    return problems
