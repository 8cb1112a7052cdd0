"""What an alert can be about: conditions as users declare them, unchecked."""

from __future__ import annotations

from datetime import timedelta

from busway.parameter import DeclarableFunction

Time = str | float | timedelta
Size = str | int


class DeadLetters(DeclarableFunction, frozen=True):
    """More dead letters than ``above``, of one flow or of all together."""

    flow: str | None = None
    above: float = 0


class Parked(DeclarableFunction, frozen=True):
    """More parked events than ``above``, of one flow or of all together."""

    flow: str | None = None
    above: float = 0


class BacklogAge(DeclarableFunction, frozen=True):
    """The first event that a flow (or any) has not read came longer ago than ``above``."""

    flow: str | None = None
    above: Time = "5m"


class BacklogSize(DeclarableFunction, frozen=True):
    """More events not read yet than ``above``, of one flow or of all together."""

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
    after: Time = "10m"


class ErrorRatio(DeclarableFunction, frozen=True):
    """More than a share ``above`` of the events of a flow (or of all) failed ``over`` a time.

    It is 0 while fewer than ``least`` events were read in that time.
    """

    flow: str | None = None
    above: float = 0.05
    over: Time = "5m"
    least: int = 1


class DiskFree(DeclarableFunction, frozen=True):
    """Less of the disk with the data directory is free: ``"10%"``, ``"5GB"`` or bytes."""

    below: Size = "10%"


class LogSize(DeclarableFunction, frozen=True):
    """The log takes up more: ``"50GB"`` or bytes."""

    above: Size


Condition = (
    DeadLetters
    | Parked
    | BacklogAge
    | BacklogSize
    | BreakerOpen
    | Silence
    | ErrorRatio
    | DiskFree
    | LogSize
)
