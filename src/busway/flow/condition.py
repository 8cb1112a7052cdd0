"""What an alert can be about: conditions as users declare them, unchecked."""

from __future__ import annotations

from datetime import timedelta

from busway.declarable import DeclarableFunction

DurationValue = str | float | timedelta
SizeValue = str | int


class DeadLetters(DeclarableFunction, frozen=True):
    """A flow (or any) has more dead letters than ``above``, however old they are."""

    flow: str | None = None
    above: float = 0


class NewDeadLetters(DeclarableFunction, frozen=True):
    """More than ``above`` events of a flow (or of any) became dead letters ``within`` a time, and
    are still there."""

    flow: str | None = None
    above: float = 0
    within: DurationValue = "10m"


class Parked(DeclarableFunction, frozen=True):
    """A flow (or any) has more parked events than ``above``."""

    flow: str | None = None
    above: float = 0


class BacklogAge(DeclarableFunction, frozen=True):
    """The first event that a flow (or any) has not read came longer ago than ``above``."""

    flow: str | None = None
    above: DurationValue = "5m"


class BacklogSize(DeclarableFunction, frozen=True):
    """A flow (or any) has more events not read yet than ``above``."""

    flow: str | None = None
    above: float = 10_000


class BreakerOpen(DeclarableFunction, frozen=True):
    """A destination takes nothing: that of a flow, a named one (a sink, or its name), or any."""

    flow: str | None = None
    destination: object = None


class Silence(DeclarableFunction, frozen=True):
    """No event from ``source`` for longer than ``after``; ``/shop/*`` is every source that begins
    so. Time during which nothing ran does not count."""

    source: str
    after: DurationValue = "10m"


class Failing(DeclarableFunction, frozen=True):
    """More than a share ``above`` of what a flow (or any) worked on lately stands as failed.

    Parked events, and events that died ``over`` a time, compared with events delivered in that
    time: so a step that fails is seen after its first attempts. It is 0 while fewer than
    ``min_events`` stand as failed.
    """

    flow: str | None = None
    above: float = 0.5
    over: DurationValue = "5m"
    min_events: int = 1


class ErrorRatio(DeclarableFunction, frozen=True):
    """More than a share ``above`` of the events of a flow (or of any) failed ``over`` a time.

    It is 0 while fewer than ``min_events`` events were read in that time.
    """

    flow: str | None = None
    above: float = 0.05
    over: DurationValue = "5m"
    min_events: int = 1


class DiskFree(DeclarableFunction, frozen=True):
    """Less of the disk with the data directory is free: ``"10%"``, ``"5GB"`` or bytes."""

    below: SizeValue = "10%"


class LogSize(DeclarableFunction, frozen=True):
    """The log takes up more: ``"50GB"`` or bytes."""

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
