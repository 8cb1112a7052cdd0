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

from busway.delivery.breaker_policy import BreakerPolicy
from busway.duration import parse_seconds

_SLICES = 10
_CHANCE_EARLY = 1e-4
_CHANCE_LATE = 1e-2
_LATE_S = 2.0
_CHANCE_UP = 0.3
_MAX_PROBES = 5
_MIN_NEEDED = 4
_MIN_NEEDED_SINGLE_EVENT = 5
_MAX_NEEDED = 40
_MAX_EXPECTED, _MIN_EXPECTED = 0.9, 0.05
_FIRST_PAUSE_S = 0.05
_MAX_PAUSE_S = 0.15


class LoadCounts(msgspec.Struct, frozen=True):
    """What one load came to.

    ``delivered`` is how many events the destination took, or refused for good. ``unavailable`` are
    those that failed, and after which none of the load was delivered, as far as that is known: the
    destination may be down, or the event the cause. ``failed`` is how many failed by themselves,
    (500, or 503 while others were delivered), ``retries`` how many of all that failed were retries.
    """

    delivered: int = 0
    failed: int = 0
    retries: int = 0
    unavailable: Collection[object] = ()


class WindowSlice(msgspec.Struct, frozen=True):
    """The answers of a tenth of the window; ``retries`` of those that ``failed`` were retries."""

    number: int
    delivered: int = 0
    failed: int = 0
    retries: int = 0


class FailureWindow(msgspec.Struct, frozen=True):
    """The latest answers, and the row of failures.

    ``expected_success`` is the share that was delivered before the row began, ``first_failure_at``
    and ``last_failure_at`` when its first and its last failure came, ``events`` are up to two of
    those that it is made of. ``consecutive_errors`` counts failures in a row that are an event's
    own. What is in slices up to the number ``ignored_through`` opens no breaker any more.
    """

    policy: BreakerPolicy = BreakerPolicy()
    slices: tuple[WindowSlice, ...] = ()
    ignored_through: int = -1
    expected_success: float = 0.5
    consecutive_failures: int = 0
    consecutive_errors: int = 0
    first_failure_at: float = 0.0
    last_failure_at: float = 0.0
    events: frozenset[object] = frozenset()

    def after(self, now: float, load_counts: LoadCounts) -> FailureWindow:
        """Return the window with one more load; ``now`` is in seconds of a clock."""
        count, before = len(load_counts.unavailable), self
        if load_counts.delivered:
            before = msgspec.structs.replace(
                self, consecutive_failures=0, consecutive_errors=0, events=frozenset()
            )
        errors = (
            0
            if load_counts.delivered
            else before.consecutive_errors + max(load_counts.failed - load_counts.retries, 0)
        )
        if not before.consecutive_failures and not before.consecutive_errors:
            before = msgspec.structs.replace(
                before, expected_success=before._success_share, first_failure_at=now
            )
        return msgspec.structs.replace(
            before,
            slices=before._with_counts(now, load_counts),
            consecutive_failures=before.consecutive_failures + count,
            consecutive_errors=errors,
            last_failure_at=now if count else before.last_failure_at,
            events=frozenset(list(before.events | set(load_counts.unavailable))[:2]),
        )

    def _with_counts(self, now: float, load_counts: LoadCounts) -> tuple[WindowSlice, ...]:
        """Return the slices with more answers in the latest, without those that are too old."""
        number = self._slice_number(now)
        kept = tuple(one for one in self.slices if one.number > number - _SLICES)
        last = kept[-1] if kept and kept[-1].number == number else WindowSlice(number)
        added = WindowSlice(
            number,
            last.delivered + load_counts.delivered,
            last.failed + load_counts.failed + len(load_counts.unavailable),
            last.retries + load_counts.retries,
        )
        return (*(kept[:-1] if kept and kept[-1] is last else kept), added)

    def _slice_number(self, now: float) -> int:
        return int(now * _SLICES / parse_seconds(self.policy.within))

    def reset(self, now: float) -> FailureWindow:
        """Return the window for a destination that takes events again after it was down."""
        return FailureWindow(self.policy, self.slices, self._slice_number(now))

    @property
    def first_attempts(self) -> tuple[int, int]:
        """How many first attempts were delivered and failed, for the ratio."""
        own = [one for one in self.slices if one.number > self.ignored_through]
        failed = sum(one.failed - one.retries for one in own)
        return sum(one.delivered for one in own), failed

    @property
    def _success_share(self) -> float:
        """The share that is delivered; a half if nothing is known."""
        delivered = sum(one.delivered for one in self.slices)
        failed = sum(one.failed for one in self.slices)
        return min(max((delivered + 1) / (delivered + failed + 2), _MIN_EXPECTED), _MAX_EXPECTED)

    @property
    def needed_failures(self) -> int:
        """How long the row of failures has to be for the destination to be down."""
        alone = len(self.events) == 1
        late = alone or self.last_failure_at - self.first_failure_at >= _LATE_S
        chance, least = (
            (_CHANCE_LATE if late else _CHANCE_EARLY),
            (_MIN_NEEDED_SINGLE_EVENT if alone else _MIN_NEEDED),
        )
        return min(max(ceil(log(chance) / log(1 - self.expected_success)), least), _MAX_NEEDED)

    @property
    def needed_probes(self) -> int:
        """How many probes have to fail, one after the other, for it to be down still."""
        return min(max(ceil(log(_CHANCE_UP) / log(1 - self.expected_success)), 1), _MAX_PROBES)

    @property
    def is_down(self) -> bool:
        """Whether the row of failures is too long for chance."""
        return self.consecutive_failures >= self.needed_failures

    @property
    def is_failing(self) -> bool:
        """Whether so many failed that the policy calls it down, though they may be the events' own.

        By default when nothing is delivered any more; with a ratio under 1 also when that share of
        the latest attempts failed.
        """
        ratio, least = self.policy.ratio, self.policy.min_attempts
        if ratio is None:
            return False
        delivered, failed = self.first_attempts
        total = delivered + failed
        if ratio < 1 and total >= least and failed >= ratio * total:
            return True
        return bool(
            self.consecutive_errors
        ) and self.consecutive_failures + self.consecutive_errors >= max(
            least, self.needed_failures
        )

    @property
    def retry_pause_s(self) -> float:
        """How long to wait before the only event that fails is tried again."""
        if len(self.events) != 1 or self.is_down:
            return 0.0
        return min(_FIRST_PAUSE_S * 2.0 ** (self.consecutive_failures - 1), _MAX_PAUSE_S)
