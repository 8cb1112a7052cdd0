"""The retry policy: whether and when a failed event is retried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal, get_args

import msgspec

from busway.declarable import Declarable
from busway.duration import parse_seconds
from busway.errors import SettingsError

MAX_RETRY_AFTER_S = 86_400.0
"""The maximum accepted ``Retry-After`` of a destination."""
DEFAULT_ATTEMPTS = 10
BackoffKind = Literal["exponential", "linear", "fixed"]
ErrorClass = Literal["dead", "down", "retried"]


class Backoff(Declarable, frozen=True, kw_only=True):
    """How long an event waits after each failed attempt, and when it becomes a dead letter.

    Waits are ``exponential`` (``first``, then ``factor`` times longer each), ``linear`` (``first``,
    twice, three times that) or ``fixed`` (always ``first``), at most ``cap``; or they are those of
    a ``schedule``, whose last wait is repeated. Durations are texts like ``"5s"`` or numbers of
    seconds. ``jitter`` randomises them (0.2: up to 20 % shorter or longer), so that events that
    failed together are not retried together.

    The event becomes a dead letter after ``attempts``, including the first (by default 10, with a
    schedule one more than its waits, ``None``: unlimited), or once ``max_age`` has passed since the
    first failure; the last attempt is made at that time.

    ``dead``, ``retried`` and ``down`` list errors (``"ValueError"``, ``"http 409"``, ``"http 4*"``)
    that make a dead letter at once, are always retried, or mean that the destination is down: its
    breaker opens and no attempt is used up. If several names match, the most specific one counts.
    """

    kind: BackoffKind = "exponential"
    first: str | float = 1.0
    factor: float = 2.0
    cap: str | float = 600.0
    jitter: float = 0.2
    attempts: int | msgspec.UnsetType | None = msgspec.UNSET
    max_age: str | float | None = None
    schedule: Sequence[str | float] = ()
    dead: Sequence[str] = ()
    retried: Sequence[str] = ()
    down: Sequence[str] = ()

    def delay_s(
        self, failures: int, random_fraction: float, retry_after_s: float | None = None
    ) -> float:
        """Return the wait after the ``failures``-th failure, in seconds.

        ``random_fraction`` is a random number from 0 up to 1. ``retry_after_s`` is the minimum wait
        that the destination requested (``Retry-After``); at most a day of it is respected.
        """
        spread = self._base_delay_s(failures) * (1 + self.jitter * (2 * random_fraction - 1))
        return max(spread, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))

    def _base_delay_s(self, failures: int) -> float:
        if self.schedule:
            return parse_seconds(self.schedule[min(failures, len(self.schedule)) - 1])
        first_s, cap_s = parse_seconds(self.first), parse_seconds(self.cap)
        if self.kind == "fixed":
            return min(first_s, cap_s)
        if self.kind == "linear":
            return min(first_s * failures, cap_s)
        try:
            return min(first_s * self.factor ** (failures - 1), cap_s)
        except OverflowError:
            return cap_s

    @property
    def _max_age(self) -> timedelta | None:
        return None if self.max_age is None else timedelta(seconds=parse_seconds(self.max_age))

    @property
    def max_attempts(self) -> int | None:
        """The maximum number of attempts; ``None``: unlimited."""
        if self.attempts is not msgspec.UNSET:
            return self.attempts
        return len(self.schedule) + 1 if self.schedule else DEFAULT_ATTEMPTS

    def is_exhausted(self, failures: int, age: timedelta = timedelta()) -> bool:
        """Return whether no attempt is left after ``failures``, the first of them ``age`` ago."""
        max_age = self._max_age
        is_too_old = max_age is not None and age >= max_age
        return is_too_old or (self.max_attempts is not None and failures >= self.max_attempts)

    def next_attempt_at(
        self,
        now: datetime,
        failures: int,
        random_fraction: float,
        retry_after_s: float | None,
        age: timedelta,
    ) -> datetime:
        """Return when the next attempt is due: at the latest when ``max_age`` is reached."""
        wait_s = self.delay_s(failures, random_fraction, retry_after_s)
        if self._max_age is not None:
            left_s = max((self._max_age - age).total_seconds(), 0.0)
            wait_s = max(min(wait_s, left_s), min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        return now + timedelta(seconds=wait_s)

    def error_class(self, error: str) -> ErrorClass | None:
        """Return the class that the policy gives an error, ``None`` if it does not name it."""
        best: tuple[tuple[bool, int], ErrorClass] | None = None
        for error_class in get_args(ErrorClass):
            for name in getattr(self, error_class):
                exactness = (name == error, sum(c not in "*?" for c in name))
                if fnmatchcase(error, name) and (best is None or exactness > best[0]):
                    best = exactness, error_class
        return None if best is None else best[1]

    def is_final(self, error: str, by_default: bool) -> bool:
        """Return whether an error makes a dead letter at once; ``by_default`` if not named."""
        error_class = self.error_class(error)
        return by_default if error_class is None else error_class == "dead"


def validated(policy: Backoff) -> Backoff:
    """Return the policy with its lists as tuples.

    Raises :class:`SettingsError` that names the field with an invalid value.
    """
    mistake = next(_invalid_values(policy), None)
    if mistake is not None:
        raise SettingsError(mistake)
    lists = ("schedule", "dead", "retried", "down")
    tuples = {name: tuple(getattr(policy, name)) for name in lists}
    return msgspec.structs.replace(policy, **tuples)


def _invalid_values(policy: Backoff) -> Iterator[str]:
    yield from _invalid_durations(policy)
    if policy.kind not in get_args(BackoffKind):
        yield f"invalid kind {policy.kind!r}: use 'exponential', 'linear' or 'fixed'"
    if not _is_number(policy.factor) or policy.factor < 1:
        yield f"invalid factor {policy.factor!r}: use a number >= 1"
    if not _is_number(policy.jitter) or not 0 <= policy.jitter <= 1:
        yield f"invalid jitter {policy.jitter!r}: use a number from 0 to 1"
    if policy.max_attempts is not None and (
        not isinstance(policy.max_attempts, int) or policy.max_attempts < 1
    ):
        yield f"invalid attempts {policy.max_attempts!r}: use an integer >= 1, or None with max_age"
    if policy.max_attempts is None and policy.max_age is None:
        yield "invalid attempts None: retries would never end, so add max_age"
    for name in ("dead", "retried", "down"):
        names = getattr(policy, name)
        if isinstance(names, str) or not all(isinstance(error, str) for error in names):
            yield f"invalid {name} {names!r}: use a list of names, like ['ValueError', 'http 4*']"


def _invalid_durations(policy: Backoff) -> Iterator[str]:
    """Yield the mistakes in durations, among them a first wait that exceeds the cap."""
    durations = {"first": policy.first, "cap": policy.cap, "max_age": policy.max_age}
    if isinstance(policy.schedule, str) or not isinstance(policy.schedule, Sequence):
        yield f"invalid schedule {policy.schedule!r}: use a list of durations"
        return
    durations |= {f"schedule[{index}]": wait for index, wait in enumerate(policy.schedule)}
    for name, value in durations.items():
        try:
            parse_seconds(0 if value is None else value)
        except SettingsError as error:
            yield f"{name}: {error}"
            return
    if not policy.schedule and parse_seconds(policy.first) > parse_seconds(policy.cap):
        yield f"invalid first {policy.first!r}: it exceeds the cap {policy.cap!r}, use a longer cap"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
