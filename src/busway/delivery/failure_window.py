"""Detection of an outage from a destination's recent responses to all its flows. Pure.

A failure that may be caused by its event (503, a time-out) proves little alone. So consecutive
failures are counted over all loads of all lanes; the count restarts with the first delivered event.
The destination is down when the series is too long to be chance: the higher the previous success
rate, the shorter it has to be::

    delivered before     9 of 10 or more    half, or unknown         1 of 4    less
    down after           4 in a row         14                       33        at most 40

After two seconds about half as many are enough. If there is only a single event, it is retried at
short intervals for most of a second; then half as many are enough too. Until the decision, no
attempt is used up.
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
    """The outcomes of one load.

    ``delivered`` is the number of events that the destination accepted or rejected for good.
    ``unavailable`` are the events that failed with no later event of the load known to be
    delivered: either the destination is down, or the event is the cause. ``failed`` is the number
    of events with a failure of their own (500, or 503 while others were delivered), ``retries`` the
    number of retries among all failed events.
    """

    delivered: int = 0
    failed: int = 0
    retries: int = 0
    unavailable: Collection[object] = ()


class WindowSlice(msgspec.Struct, frozen=True):
    """The counts of a tenth of the window; ``retries`` of the ``failed`` events were retries."""

    number: int
    delivered: int = 0
    failed: int = 0
    retries: int = 0


class FailureWindow(msgspec.Struct, frozen=True):
    """The recent outcomes, and the current series of failures.

    ``expected_success`` is the success rate before the series, ``first_failure_at`` and
    ``last_failure_at`` are the times of its first and last failure, ``events`` up to two of its
    events. ``consecutive_errors`` counts consecutive failures that are an event's own. Slices up to
    the number ``ignored_through`` no longer open the breaker.
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
        """Return the window with one more load; ``now`` is in seconds of a monotonic clock."""
        count, previous = len(load_counts.unavailable), self
        if load_counts.delivered:
            previous = msgspec.structs.replace(
                self, consecutive_failures=0, consecutive_errors=0, events=frozenset()
            )
        errors = (
            0
            if load_counts.delivered
            else previous.consecutive_errors + max(load_counts.failed - load_counts.retries, 0)
        )
        if not previous.consecutive_failures and not previous.consecutive_errors:
            previous = msgspec.structs.replace(
                previous, expected_success=previous._success_share, first_failure_at=now
            )
        return msgspec.structs.replace(
            previous,
            slices=previous._with_counts(now, load_counts),
            consecutive_failures=previous.consecutive_failures + count,
            consecutive_errors=errors,
            last_failure_at=now if count else previous.last_failure_at,
            events=frozenset(list(previous.events | set(load_counts.unavailable))[:2]),
        )

    def _with_counts(self, now: float, load_counts: LoadCounts) -> tuple[WindowSlice, ...]:
        """Return the slices with more counts in the latest, without expired slices."""
        number = self._slice_number(now)
        kept = tuple(slice_ for slice_ in self.slices if slice_.number > number - _SLICES)
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
        """Return the window of a destination that recovered from an outage."""
        return FailureWindow(self.policy, self.slices, self._slice_number(now))

    @property
    def first_attempts(self) -> tuple[int, int]:
        """The numbers of delivered and failed first attempts, for the ratio."""
        counted = [slice_ for slice_ in self.slices if slice_.number > self.ignored_through]
        failed = sum(slice_.failed - slice_.retries for slice_ in counted)
        return sum(slice_.delivered for slice_ in counted), failed

    @property
    def _success_share(self) -> float:
        """The success rate; a half if nothing is known."""
        delivered = sum(slice_.delivered for slice_ in self.slices)
        failed = sum(slice_.failed for slice_ in self.slices)
        return min(max((delivered + 1) / (delivered + failed + 2), _MIN_EXPECTED), _MAX_EXPECTED)

    @property
    def needed_failures(self) -> int:
        """The number of consecutive failures that mean an outage."""
        is_single = len(self.events) == 1
        is_late = is_single or self.last_failure_at - self.first_failure_at >= _LATE_S
        chance, least = (
            (_CHANCE_LATE if is_late else _CHANCE_EARLY),
            (_MIN_NEEDED_SINGLE_EVENT if is_single else _MIN_NEEDED),
        )
        return min(max(ceil(log(chance) / log(1 - self.expected_success)), least), _MAX_NEEDED)

    @property
    def needed_probes(self) -> int:
        """The number of consecutive failed probes that mean that the outage continues."""
        return min(max(ceil(log(_CHANCE_UP) / log(1 - self.expected_success)), 1), _MAX_PROBES)

    @property
    def is_down(self) -> bool:
        """Whether the series of failures is too long to be chance."""
        return self.consecutive_failures >= self.needed_failures

    @property
    def is_failing(self) -> bool:
        """Whether so many events failed that the policy opens the breaker, whatever the cause.

        By default if no event is delivered any more; with a ratio below 1 also if that share of the
        recent attempts failed.
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
        """How long to wait before the only failing event is retried."""
        if len(self.events) != 1 or self.is_down:
            return 0.0
        return min(_FIRST_PAUSE_S * 2.0 ** (self.consecutive_failures - 1), _MAX_PAUSE_S)
