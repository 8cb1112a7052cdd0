"""Whether a destination is down, decided over what it answered lately to all its flows. Pure.

A failure that may be about its event (503, no answer in time) says little alone. So failures in a
row are counted, over all loads of all lanes; the row ends with the first event that is delivered.
The destination is down when the row is too long for chance: the more of what came before was
delivered, the shorter it has to be::

    delivered before     9 of 10 and more   half, or nothing known   1 of 4    fewer
    down after           4 in a row         14                       33        40 at most

After two seconds about half as many are enough. If a single event is all that there is, it is tried
again at short intervals for most of a second, and then too half as many are enough. Until it is
decided, no attempt is used up.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, log

import msgspec

from busway.delivery.trip import Trip
from busway.duration import seconds

_SLICES = 10
_CHANCE = 1e-4
_CHANCE_LATE = 1e-2
_LATE_S = 2.0
_CHANCE_UP = 0.3
_MOST_PROBES = 5
_LEAST = 4
_LEAST_ALONE = 5
_MOST = 40
_BEST, _WORST = 0.9, 0.05
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.15


class Answers(msgspec.Struct, frozen=True):
    """What one load came to.

    ``delivered`` is how many events the destination took, or refused for good. ``unavailable`` are
    those that failed, and after which none of the load was delivered, as far as that is known: the
    destination may be down, or the event the cause. ``failed`` is how many failed by themselves,
    (500, or 503 while others were delivered), ``again`` how many of all that failed were retries.
    """

    delivered: int = 0
    failed: int = 0
    again: int = 0
    unavailable: Collection[object] = ()


class Slice(msgspec.Struct, frozen=True):
    """The answers of a tenth of the window; ``again`` of those that ``failed`` were retries."""

    number: int
    delivered: int = 0
    failed: int = 0
    again: int = 0


class FailureWindow(msgspec.Struct, frozen=True):
    """The latest answers, and the row of failures.

    ``expected`` is the share that was delivered before the row began, ``began`` and ``last`` when
    its first and its last failure came, ``events`` are up to two of those that it is made of.
    ``errors`` counts failures in a row that are an event's own. What is in slices up to the number
    ``tripped`` opens no breaker any more.
    """

    trip: Trip = Trip()
    slices: tuple[Slice, ...] = ()
    tripped: int = -1
    expected: float = 0.5
    in_a_row: int = 0
    errors: int = 0
    began: float = 0.0
    last: float = 0.0
    events: frozenset[object] = frozenset()

    def after(self, now: float, answers: Answers) -> FailureWindow:
        """Return the window with one more load; ``now`` is in seconds of a clock."""
        count, before = len(answers.unavailable), self
        if answers.delivered:
            before = msgspec.structs.replace(self, in_a_row=0, errors=0, events=frozenset())
        errors = 0 if answers.delivered else before.errors + max(answers.failed - answers.again, 0)
        if not before.in_a_row and not before.errors:
            before = msgspec.structs.replace(before, expected=before._share, began=now)
        return msgspec.structs.replace(
            before,
            slices=before._counted(now, answers),
            in_a_row=before.in_a_row + count,
            errors=errors,
            last=now if count else before.last,
            events=frozenset(list(before.events | set(answers.unavailable))[:2]),
        )

    def _counted(self, now: float, answers: Answers) -> tuple[Slice, ...]:
        """Return the slices with more answers in the latest, without those that are too old."""
        number = self._number(now)
        kept = tuple(one for one in self.slices if one.number > number - _SLICES)
        last = kept[-1] if kept and kept[-1].number == number else Slice(number)
        added = Slice(
            number,
            last.delivered + answers.delivered,
            last.failed + answers.failed + len(answers.unavailable),
            last.again + answers.again,
        )
        return (*(kept[:-1] if kept and kept[-1] is last else kept), added)

    def _number(self, now: float) -> int:
        return int(now * _SLICES / seconds(self.trip.within))

    def reset(self, now: float) -> FailureWindow:
        """Return the window for a destination that takes events again after it was down."""
        return FailureWindow(self.trip, self.slices, self._number(now))

    @property
    def counts(self) -> tuple[int, int]:
        """How many first attempts were delivered and failed, for the ratio."""
        own = [one for one in self.slices if one.number > self.tripped]
        failed = sum(one.failed - one.again for one in own)
        return sum(one.delivered for one in own), failed

    @property
    def _share(self) -> float:
        """The share that is delivered; a half if nothing is known."""
        delivered = sum(one.delivered for one in self.slices)
        failed = sum(one.failed for one in self.slices)
        return min(max((delivered + 1) / (delivered + failed + 2), _WORST), _BEST)

    @property
    def needed(self) -> int:
        """How long the row of failures has to be for the destination to be down."""
        alone = len(self.events) == 1
        late = alone or self.last - self.began >= _LATE_S
        chance, least = (_CHANCE_LATE if late else _CHANCE), (_LEAST_ALONE if alone else _LEAST)
        return min(max(ceil(log(chance) / log(1 - self.expected)), least), _MOST)

    @property
    def probes(self) -> int:
        """How many probes have to fail, one after the other, for it to be down still."""
        return min(max(ceil(log(_CHANCE_UP) / log(1 - self.expected)), 1), _MOST_PROBES)

    @property
    def is_down(self) -> bool:
        """Whether the row of failures is too long for chance."""
        return self.in_a_row >= self.needed

    @property
    def is_failing(self) -> bool:
        """Whether so many failed that the policy calls it down, though they may be the events' own.

        By default when nothing is delivered any more; with a ratio under 1 also when that share of
        the latest attempts failed.
        """
        ratio, least = self.trip.ratio, self.trip.least
        if ratio is None:
            return False
        delivered, failed = self.counts
        total = delivered + failed
        if ratio < 1 and total >= least and failed >= ratio * total:
            return True
        return bool(self.errors) and self.in_a_row + self.errors >= max(least, self.needed)

    @property
    def pause_s(self) -> float:
        """How long to wait before the only event that fails is tried again."""
        if len(self.events) != 1 or self.is_down:
            return 0.0
        return min(_FIRST_PAUSE_S * 2.0 ** (self.in_a_row - 1), _LONGEST_PAUSE_S)
