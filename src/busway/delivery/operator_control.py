"""Operator controls of a flow: pauses, maintenance windows, drains. Pure; time is passed in.

::

    running ──pause──► paused ──resume, or expired──► running
       │                 ▲
     drain ──► draining ─┘ when the backlog at that time is done
    running ◄──its window closes── in a window ◄──its window opens── running

Two records control a flow: its own and its destination's.
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
    """A pause: since when, by whom and why; ``until`` a time, ``None`` until it is resumed."""

    since: datetime
    actor: str
    reason: str = ""
    until: datetime | None = None


class Drain(msgspec.Struct, frozen=True):
    """A drain: the flow finishes its backlog at that time, and then pauses.

    ``targets`` are the ends of the log at that time, by partition.
    """

    since: datetime
    actor: str
    targets: tuple[int, ...]
    reason: str = ""


class ThrottleOverride(msgspec.Struct, frozen=True):
    """A rate (``"5/s"``), a concurrency (``"4"``, ``"adaptive"``) or both that override the
    declared ones."""

    since: datetime
    actor: str
    rate: str | None = None
    concurrency: str | None = None
    reason: str = ""


class ControlRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The operator controls of one flow or one destination.

    ``resumed_at`` is the time of the last resume: a destination that was gone is called again after
    it. ``windows_skipped_until`` is the time before which windows have no effect, because an
    operator skipped one.
    """

    pause: Pause | None = None
    drain: Drain | None = None
    windows: tuple[Window, ...] = ()
    windows_skipped_until: datetime | None = None
    throttle: ThrottleOverride | None = None
    resumed_at: datetime | None = None


class Suspension(msgspec.Struct, frozen=True):
    """Why deliveries are suspended now, and until when, if known."""

    kind: Literal["paused", "window"]
    scope: ControlScope
    until: datetime | None
    actor: str = ""
    since: datetime | None = None
    reason: str = ""
    window: str = ""


class EffectiveControls(msgspec.Struct, frozen=True):
    """The controls in effect for a flow now, at least until ``changes_at``.

    ``drain_targets`` are the offsets at which its lanes stop, by partition, during a drain.
    """

    suspension: Suspension | None = None
    drain_targets: tuple[int, ...] | None = None
    changes_at: datetime | None = None


ControlRecords = Mapping[ControlScope, ControlRecord]
NOT_AHEAD = timedelta(0)


def effective_controls(
    records: ControlRecords, at: datetime, clock_ahead: timedelta = NOT_AHEAD
) -> EffectiveControls:
    """Return the controls in effect at a time; of several suspensions the longest one counts.

    ``clock_ahead`` is how far that time is ahead of the wall clock, which windows follow.
    """
    suspensions = [
        suspension
        for scope, record in records.items()
        for suspension in _suspensions(scope, record, at, clock_ahead)
    ]
    longest = max(suspensions, key=lambda held: held.until or END_OF_TIME, default=None)
    drains = [record.drain.targets for record in records.values() if record.drain is not None]
    edges = [edge for record in records.values() for edge in _change_times(record, at, clock_ahead)]
    return EffectiveControls(longest, _nearest_targets(drains), min(edges, default=None))


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
    """Yield the times after ``at`` at which the controls in effect may change."""
    times = [record.windows_skipped_until, record.pause.until if record.pause else None]
    for window in record.windows:
        edges = (window.open_until(at - clock_ahead), window.next_start(at - clock_ahead))
        times += [time + clock_ahead for time in edges if time is not None]
    yield from (time for time in times if time is not None and time > at)


def _nearest_targets(targets: Sequence[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the smallest target of each partition."""
    return tuple(map(min, zip(*targets, strict=True))) if targets else None


def windows_close_at(
    records: ControlRecords, at: datetime, clock_ahead: timedelta = NOT_AHEAD
) -> datetime | None:
    """Return when the last open window closes, ``None`` if none is open."""
    ends = [
        suspension.until
        for scope, one in records.items()
        for suspension in _suspensions(scope, one, at, clock_ahead)
        if suspension.kind == "window"
    ]
    return max((until for until in ends if until is not None), default=None)


class OperatorThrottle(msgspec.Struct, frozen=True):
    """A throttle override in effect; ``scope`` is whether the flow's or the destination's."""

    scope: ControlScope
    rate: str | None
    concurrency: str | None
    actor: str
    since: datetime
    reason: str = ""

    def __str__(self) -> str:
        parts = ("rate", self.rate), ("concurrency", self.concurrency)
        limits = " and ".join(f"{what} {value}" for what, value in parts if value is not None)
        prefix = "destination " if self.scope == "destination" else ""
        by = f" by {self.actor}" if self.actor else ""
        suffix = f": {self.reason}" if self.reason else ""
        return f"{prefix}throttled to {limits}{by} since {self.since:%F %T} UTC{suffix}"


def operator_throttles(records: ControlRecords) -> tuple[OperatorThrottle, ...]:
    """Return the throttle overrides in effect for a flow or a destination."""
    return tuple(
        OperatorThrottle(scope, of.rate, of.concurrency, of.actor, of.since, of.reason)
        for scope, record in records.items()
        if (of := record.throttle) is not None
    )


def describe(suspension: Suspension) -> str:
    """Return a suspension in a sentence, without its end."""
    prefix = "destination " if suspension.scope == "destination" else ""
    if suspension.kind == "window":
        text = f"{prefix}in the window {suspension.window}"
    else:
        since = "" if suspension.since is None else f" since {suspension.since:%F %T} UTC"
        text = f"{prefix}paused{f' by {suspension.actor}' if suspension.actor else ''}{since}"
    return f"{text}: {suspension.reason}" if suspension.reason else text
