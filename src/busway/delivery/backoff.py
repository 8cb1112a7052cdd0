"""When an event that failed is tried again, and whether at all."""

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
"""What is believed of a wait that a destination asks for."""
DEFAULT_ATTEMPTS = 10
BackoffKind = Literal["exponential", "linear", "fixed"]
ErrorClass = Literal["dead", "down", "retried"]


class Backoff(Declarable, frozen=True, kw_only=True):
    """How long an event waits after each failed attempt, and when it is given up.

    Waits are ``exponential`` (``first``, then ``factor`` times longer each), ``linear`` (``first``,
    twice, three times that) or ``fixed`` (always ``first``), never longer than ``cap``; or they are
    those of a ``schedule``, the last one again where there are more attempts. Durations are like
    ``"5s"``, or numbers of seconds. They are spread by ``jitter`` (0.2: up to 20 % shorter or
    longer), so that events which failed together do not come back together.

    The event is a dead letter after ``attempts``, the first included (by itself 10, with a schedule
    one more than it has waits, ``None``: any number), or when ``max_age`` has passed since the
    first of them failed; the last attempt is made then.

    ``dead``, ``retried`` and ``down`` name errors (``"ValueError"``, ``"http 409"``, ``"http 4*"``)
    that are given up at once, tried again in any case, or taken for a destination that is down:
    its breaker opens and no attempt is used up. Of several names that fit the most exact counts.
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

        ``random_fraction`` is a random number from 0 up to 1. What the destination
        ``retry_after_s`` for (``Retry-After``) is the least that is waited, up to a day.
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
        """How many attempts there are; ``None`` for any number."""
        if self.attempts is not msgspec.UNSET:
            return self.attempts
        return len(self.schedule) + 1 if self.schedule else DEFAULT_ATTEMPTS

    def is_exhausted(self, failures: int, age: timedelta = timedelta()) -> bool:
        """Say whether no attempt is left after ``failures`` failures, the first ``age`` ago."""
        oldest = self._max_age
        too_old = oldest is not None and age >= oldest
        return too_old or (self.max_attempts is not None and failures >= self.max_attempts)

    def next_attempt_at(
        self,
        now: datetime,
        failures: int,
        random_fraction: float,
        retry_after_s: float | None,
        age: timedelta,
    ) -> datetime:
        """Return when the next attempt is due: at the latest when the event gets too old."""
        wait_s = self.delay_s(failures, random_fraction, retry_after_s)
        if self._max_age is not None:
            left_s = max((self._max_age - age).total_seconds(), 0.0)
            wait_s = max(min(wait_s, left_s), min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        return now + timedelta(seconds=wait_s)

    def error_class(self, error: str) -> ErrorClass | None:
        """Return how an error is to be treated where that is said, ``None`` where it is not."""
        found: tuple[tuple[bool, int], ErrorClass] | None = None
        for treatment in get_args(ErrorClass):
            for name in getattr(self, treatment):
                exactness = (name == error, sum(c not in "*?" for c in name))
                if fnmatchcase(error, name) and (found is None or exactness > found[0]):
                    found = exactness, treatment
        return None if found is None else found[1]

    def is_final(self, error: str, by_default: bool) -> bool:
        """Say whether an error ends in a dead letter at once; ``by_default`` is what it says
        itself."""
        treatment = self.error_class(error)
        return by_default if treatment is None else treatment == "dead"


def validated(policy: Backoff) -> Backoff:
    """Return the policy, its lists as tuples.

    Raises :class:`SettingsError` for values that make no sense, with the name of the field.
    """
    mistake = next(_invalid_values(policy), None)
    if mistake is not None:
        raise SettingsError(mistake)
    lists = ("schedule", "dead", "retried", "down")
    fixed = {name: tuple(getattr(policy, name)) for name in lists}
    return msgspec.structs.replace(policy, **fixed)


def _invalid_values(policy: Backoff) -> Iterator[str]:
    yield from _invalid_durations(policy)
    if policy.kind not in get_args(BackoffKind):
        yield f"kind is {policy.kind!r}; give 'exponential', 'linear' or 'fixed'"
    if not _is_number(policy.factor) or policy.factor < 1:
        yield f"factor is {policy.factor!r}; give a number from 1"
    if not _is_number(policy.jitter) or not 0 <= policy.jitter <= 1:
        yield f"jitter is {policy.jitter!r}; give a number from 0 to 1"
    if policy.max_attempts is not None and (
        not isinstance(policy.max_attempts, int) or policy.max_attempts < 1
    ):
        yield (f"attempts is {policy.max_attempts!r}; use an integer >= 1, or None with a max_age")
    if policy.max_attempts is None and policy.max_age is None:
        yield "attempts is None, which never ends; give a max_age too"
    for name in ("dead", "retried", "down"):
        given = getattr(policy, name)
        if isinstance(given, str) or not all(isinstance(one, str) for one in given):
            yield f"{name} is {given!r}; give a list of names, like ['ValueError', 'http 4*']"


def _invalid_durations(policy: Backoff) -> Iterator[str]:
    """Yield what is wrong with durations; a first wait that the cap would cut is a slip."""
    given = {"first": policy.first, "cap": policy.cap, "max_age": policy.max_age}
    if isinstance(policy.schedule, str) or not isinstance(policy.schedule, Sequence):
        yield f"schedule is {policy.schedule!r}; give a list of durations"
        return
    given |= {f"schedule[{index}]": one for index, one in enumerate(policy.schedule)}
    for name, value in given.items():
        try:
            parse_seconds(0 if value is None else value)
        except SettingsError as error:
            yield f"{name}: {error}"
            return
    if not policy.schedule and parse_seconds(policy.first) > parse_seconds(policy.cap):
        yield f"first is {policy.first!r}, longer than the cap of {policy.cap!r}; give a longer cap"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
