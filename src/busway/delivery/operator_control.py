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

from busway.delivery.maintenance_window import Window

END_OF_TIME = datetime.max.replace(tzinfo=UTC)
ControlScope = Literal["flow", "destination"]


class Pause(msgspec.Struct, frozen=True):
    """It rests: since when, by whom and why; ``until`` a time, or until it is resumed."""

    since: datetime
    actor: str
    reason: str = ""
    until: datetime | None = None


class Drain(msgspec.Struct, frozen=True):
    """It finishes what was there when it was asked to, and rests then.

    ``goals`` are the ends of the log at that time, by partition.
    """

    since: datetime
    actor: str
    targets: tuple[int, ...]
    reason: str = ""


class ThrottleOverride(msgspec.Struct, frozen=True):
    """A rate (``"5/s"``), a concurrency (``"4"``, ``"adaptive"``), or both, in the place of what is
    declared."""

    since: datetime
    actor: str
    rate: str | None = None
    concurrency: str | None = None
    reason: str = ""


class ControlRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What people have asked of one flow, or of one destination.

    ``resumed_at`` is when it was resumed last: a destination that is gone is called again from then
    on. ``windows_skipped_until`` is until when windows do not hold it, because one was skipped.
    """

    pause: Pause | None = None
    drain: Drain | None = None
    windows: tuple[Window, ...] = ()
    windows_skipped_until: datetime | None = None
    throttle: ThrottleOverride | None = None
    resumed_at: datetime | None = None


class Suspension(msgspec.Struct, frozen=True):
    """Why nothing is delivered now, and until when where that is known."""

    kind: Literal["paused", "window"]
    scope: ControlScope
    until: datetime | None
    actor: str = ""
    since: datetime | None = None
    reason: str = ""
    window: str = ""


class EffectiveControls(msgspec.Struct, frozen=True):
    """What holds for a flow now: nothing, or a hold; until ``changes_at`` at least.

    ``goals`` are how far its lanes may go, by partition, while it is drained.
    """

    suspension: Suspension | None = None
    drain_targets: tuple[int, ...] | None = None
    changes_at: datetime | None = None


ControlRecords = Mapping[ControlScope, ControlRecord]
NOT_AHEAD = timedelta(0)


def effective_controls(
    records: ControlRecords, at: datetime, clock_ahead: timedelta = NOT_AHEAD
) -> EffectiveControls:
    """Return where a flow stands at a time; of several holds the one that lasts longest counts.

    ``clock_ahead`` is how far that time is ahead of the calendar, which windows go by.
    """
    found = [
        hold for scope, one in records.items() for hold in _suspensions(scope, one, at, clock_ahead)
    ]
    hold = max(found, key=lambda one: one.until or END_OF_TIME, default=None)
    drains = [record.drain.targets for record in records.values() if record.drain is not None]
    edges = [edge for record in records.values() for edge in _change_times(record, at, clock_ahead)]
    return EffectiveControls(hold, _nearest_targets(drains), min(edges, default=None))


def _suspensions(
    scope: ControlScope, record: ControlRecord, at: datetime, clock_ahead: timedelta
) -> Iterator[Suspension]:
    pause = record.pause
    if pause is not None and (pause.until is None or at < pause.until):
        yield Suspension("paused", scope, pause.until, pause.actor, pause.since, pause.reason)
    skipping = record.windows_skipped_until is not None and at < record.windows_skipped_until
    for window in () if skipping else record.windows:
        until = window.open_until(at - clock_ahead)
        if until is not None:
            yield Suspension(
                "window", scope, until + clock_ahead, reason=window.reason, window=str(window)
            )


def _change_times(
    record: ControlRecord, at: datetime, clock_ahead: timedelta
) -> Iterator[datetime]:
    """Yield the times after ``at`` when the answer may become another."""
    times = [record.windows_skipped_until, record.pause.until if record.pause else None]
    for window in record.windows:
        found = (window.open_until(at - clock_ahead), window.next_start(at - clock_ahead))
        times += [time + clock_ahead for time in found if time is not None]
    yield from (time for time in times if time is not None and time > at)


def _nearest_targets(targets: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the goals that are reached first, partition by partition."""
    return tuple(map(min, zip(*targets, strict=True))) if targets else None


def windows_close_at(
    records: ControlRecords, at: datetime, clock_ahead: timedelta = NOT_AHEAD
) -> datetime | None:
    """Return when the last of the windows closes that are open now, ``None`` where none is."""
    found = [
        hold.until
        for scope, one in records.items()
        for hold in _suspensions(scope, one, at, clock_ahead)
        if hold.kind == "window"
    ]
    return max((until for until in found if until is not None), default=None)


class OperatorThrottle(msgspec.Struct, frozen=True):
    """A rate, a concurrency or both that a person has set in the place of what is declared.

    ``scope`` is whose it is: the flow's, or its destination's.
    """

    scope: ControlScope
    rate: str | None
    concurrency: str | None
    actor: str
    since: datetime
    reason: str = ""

    def __str__(self) -> str:
        parts = ("rate", self.rate), ("concurrency", self.concurrency)
        held = " and ".join(f"{what} {value}" for what, value in parts if value is not None)
        whose = "destination " if self.scope == "destination" else ""
        by = f" by {self.actor}" if self.actor else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{whose}throttled to {held}{by} since {self.since:%F %T} UTC{why}"


def operator_throttles(records: ControlRecords) -> tuple[OperatorThrottle, ...]:
    """Return the throttles that a flow or a destination obeys."""
    return tuple(
        OperatorThrottle(scope, of.rate, of.concurrency, of.actor, of.since, of.reason)
        for scope, record in records.items()
        if (of := record.throttle) is not None
    )


def describe(suspension: Suspension) -> str:
    """Return a hold in a sentence for people, without its end."""
    whose = "destination " if suspension.scope == "destination" else ""
    if suspension.kind == "window":
        text = f"{whose}in the window {suspension.window}"
    else:
        since = "" if suspension.since is None else f" since {suspension.since:%F %T} UTC"
        text = f"{whose}paused{f' by {suspension.actor}' if suspension.actor else ''}{since}"
    return f"{text}: {suspension.reason}" if suspension.reason else text
