"""What holds a flow back: pauses, maintenance windows, drains. Pure; time is passed in.

::

    running ──pause──► paused ──resume, or its time is over──► running
       │                 ▲
     drain ──► draining ─┘ when the backlog of then is done
    running ◄──its window closes── in a window ◄──its window opens── running

A flow obeys two records: its own, and its destination's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from busway.delivery.window import Window

FOREVER = datetime.max.replace(tzinfo=UTC)
Scope = Literal["flow", "destination"]


class Pause(msgspec.Struct, frozen=True):
    """It rests: since when, by whom and why; ``until`` a time, or until it is resumed."""

    since: datetime
    who: str
    reason: str = ""
    until: datetime | None = None


class Drain(msgspec.Struct, frozen=True):
    """It finishes what was there when it was asked to, and rests then.

    ``goals`` are the ends of the log at that time, by partition.
    """

    since: datetime
    who: str
    goals: tuple[int, ...]
    reason: str = ""


class Override(msgspec.Struct, frozen=True):
    """A rate (``"5/s"``), a concurrency (``"4"``, ``"adaptive"``), or both, in the place of what is
    declared."""

    since: datetime
    who: str
    rate: str | None = None
    concurrency: str | None = None
    reason: str = ""


class Steering(msgspec.Struct, frozen=True, omit_defaults=True):
    """What people have asked of one flow, or of one destination.

    ``resumed_at`` is when it was resumed last: a destination that is gone is called again from then
    on. ``past_windows_until`` is until when windows do not hold it, because one was skipped.
    """

    pause: Pause | None = None
    drain: Drain | None = None
    windows: tuple[Window, ...] = ()
    past_windows_until: datetime | None = None
    throttle: Override | None = None
    resumed_at: datetime | None = None


class Hold(msgspec.Struct, frozen=True):
    """Why nothing is delivered now, and until when where that is known."""

    kind: Literal["paused", "window"]
    scope: Scope
    until: datetime | None
    who: str = ""
    since: datetime | None = None
    reason: str = ""
    window: str = ""


class Stance(msgspec.Struct, frozen=True):
    """What holds for a flow now: nothing, or a hold; until ``changes_at`` at least.

    ``goals`` are how far its lanes may go, by partition, while it is drained.
    """

    hold: Hold | None = None
    goals: tuple[int, ...] | None = None
    changes_at: datetime | None = None


Records = Mapping[Scope, Steering]
IN_TIME = timedelta(0)


def stance(records: Records, at: datetime, ahead: timedelta = IN_TIME) -> Stance:
    """Return where a flow stands at a time; of several holds the one that lasts longest counts.

    ``ahead`` is how far that time is ahead of the calendar, which windows go by.
    """
    found = [hold for scope, one in records.items() for hold in _holds(scope, one, at, ahead)]
    hold = max(found, key=lambda one: one.until or FOREVER, default=None)
    drains = [one.drain.goals for one in records.values() if one.drain is not None]
    edges = [edge for one in records.values() for edge in _edges(one, at, ahead)]
    return Stance(hold, _least(drains), min(edges, default=None))


def _holds(scope: Scope, record: Steering, at: datetime, ahead: timedelta) -> Iterator[Hold]:
    pause = record.pause
    if pause is not None and (pause.until is None or at < pause.until):
        yield Hold("paused", scope, pause.until, pause.who, pause.since, pause.reason)
    skipping = record.past_windows_until is not None and at < record.past_windows_until
    for window in () if skipping else record.windows:
        until = window.open_until(at - ahead)
        if until is not None:
            yield Hold("window", scope, until + ahead, reason=window.reason, window=str(window))


def _edges(record: Steering, at: datetime, ahead: timedelta) -> Iterator[datetime]:
    """Yield the times after ``at`` when the answer may become another."""
    times = [record.past_windows_until, record.pause.until if record.pause else None]
    for window in record.windows:
        found = (window.open_until(at - ahead), window.next_start(at - ahead))
        times += [time + ahead for time in found if time is not None]
    yield from (time for time in times if time is not None and time > at)


def _least(goals: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the goals that are reached first, partition by partition."""
    return tuple(map(min, zip(*goals, strict=True))) if goals else None


def windows_close_at(records: Records, at: datetime, ahead: timedelta = IN_TIME) -> datetime | None:
    """Return when the last of the windows closes that are open now, ``None`` where none is."""
    found = [
        hold.until
        for scope, one in records.items()
        for hold in _holds(scope, one, at, ahead)
        if hold.kind == "window"
    ]
    return max((until for until in found if until is not None), default=None)


class Throttle(msgspec.Struct, frozen=True):
    """A rate, a concurrency or both that a person has set in the place of what is declared.

    ``scope`` is whose it is: the flow's, or its destination's.
    """

    scope: Scope
    rate: str | None
    concurrency: str | None
    who: str
    since: datetime
    reason: str = ""

    def __str__(self) -> str:
        parts = ("rate", self.rate), ("concurrency", self.concurrency)
        held = " and ".join(f"{what} {value}" for what, value in parts if value is not None)
        whose = "destination " if self.scope == "destination" else ""
        by = f" by {self.who}" if self.who else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{whose}throttled to {held}{by} since {self.since:%F %T} UTC{why}"


def throttles(records: Records) -> tuple[Throttle, ...]:
    """Return the throttles that a flow or a destination obeys."""
    return tuple(
        Throttle(scope, of.rate, of.concurrency, of.who, of.since, of.reason)
        for scope, record in records.items()
        if (of := record.throttle) is not None
    )


def told(hold: Hold) -> str:
    """Return a hold in a sentence for people, without its end."""
    whose = "destination " if hold.scope == "destination" else ""
    if hold.kind == "window":
        text = f"{whose}in the window {hold.window}"
    else:
        since = "" if hold.since is None else f" since {hold.since:%F %T} UTC"
        text = f"{whose}paused{f' by {hold.who}' if hold.who else ''}{since}"
    return f"{text}: {hold.reason}" if hold.reason else text
