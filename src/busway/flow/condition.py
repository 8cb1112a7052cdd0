"""The conditions of alerts as declared, unchecked."""

from __future__ import annotations

from datetime import timedelta

from busway.declarable import DeclarableFunction

DurationValue = str | float | timedelta
SizeValue = str | int


class DeadLetters(DeclarableFunction, frozen=True):
    """A flow (or any) has more than ``above`` dead letters, of any age."""

    flow: str | None = None
    above: float = 0


class NewDeadLetters(DeclarableFunction, frozen=True):
    """A flow (or any) got more than ``above`` dead letters ``within`` a time that still exist."""

    flow: str | None = None
    above: float = 0
    within: DurationValue = "10m"


class Parked(DeclarableFunction, frozen=True):
    """A flow (or any) has more than ``above`` parked events."""

    flow: str | None = None
    above: float = 0


class BacklogAge(DeclarableFunction, frozen=True):
    """The oldest unread event of a flow (or any) is older than ``above``."""

    flow: str | None = None
    above: DurationValue = "5m"


class BacklogSize(DeclarableFunction, frozen=True):
    """A flow (or any) has more than ``above`` unread events."""

    flow: str | None = None
    above: float = 10_000


class BreakerOpen(DeclarableFunction, frozen=True):
    """The breaker of a destination is open: a flow's, a named one's (sink or name), or any."""

    flow: str | None = None
    destination: object = None


class Silence(DeclarableFunction, frozen=True):
    """No event from ``source`` for longer than ``after``.

    ``/shop/*`` matches all sources with the prefix ``/shop/``. Time during which Busway was not
    running does not count.
    """

    source: str
    after: DurationValue = "10m"


class Failing(DeclarableFunction, frozen=True):
    """The share of failed events of a flow (or any) is more than ``above``.

    Failed events are the parked events and the events that died ``over`` a time; they are compared
    with the events delivered in that time. So a failing step is detected after its first attempts.
    The share is 0 while fewer than ``min_events`` events are failed.
    """

    flow: str | None = None
    above: float = 0.5
    over: DurationValue = "5m"
    min_events: int = 1


class ErrorRatio(DeclarableFunction, frozen=True):
    """The share of events of a flow (or any) that failed ``over`` a time is more than ``above``.

    The share is 0 while fewer than ``min_events`` events were read in that time.
    """

    flow: str | None = None
    above: float = 0.05
    over: DurationValue = "5m"
    min_events: int = 1


class DiskFree(DeclarableFunction, frozen=True):
    """The disk of the data directory has less than ``below`` free: ``"10%"``, ``"5GB"``, bytes."""

    below: SizeValue = "10%"


class LogSize(DeclarableFunction, frozen=True):
    """The log is larger than ``above``: ``"50GB"`` or bytes."""

    above: SizeValue


Condition = (
    DeadLetters
    | NewDeadLetters
    | Parked
    | BacklogAge
    | BacklogSize
    | BreakerOpen
    | Silence
    | Failing
    | ErrorRatio
    | DiskFree
    | LogSize
)
