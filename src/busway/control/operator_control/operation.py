"""Steer: pause, resume, drain, override the throttle, add and remove maintenance windows.

Each operation changes one record of the ledger by compare-and-set, keeps who did it, when, before
and after, and wakes whoever works here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from busway.audit_record import AuditRecord
from busway.concurrency import parse_concurrency
from busway.control.context import ControlContext
from busway.control.operator_control.record import (
    NO_CONTROLS,
    ControlTarget,
    decode_control_record,
    own_records,
)
from busway.delivery.maintenance_window import Window, validated_window
from busway.delivery.operator_control import (
    NOT_AHEAD,
    ControlRecord,
    Drain,
    Pause,
    ThrottleOverride,
    windows_close_at,
)
from busway.delivery.rate import Rate
from busway.duration import parse_seconds
from busway.errors import Conflict, NotFound, SettingsError
from busway.named_value import ValueChange

MAX_DURATION = timedelta(days=3660)


class ControlCommand(msgspec.Struct, frozen=True):
    """Who asks, and why; ``expected`` is the record that the asker knows, when it must be that
    still.

    An operation raises :class:`Conflict` when it is another by now.
    """

    actor: str
    reason: str = ""
    expected: ControlRecord | None = None


async def pause(
    control: ControlContext,
    target: ControlTarget,
    command: ControlCommand,
    until: datetime | None = None,
) -> ControlRecord:
    """Stop delivering at once, until a time or until it is resumed; events go on coming in.

    Raises :class:`SettingsError` for a time that has passed.
    """
    now = control.clock.now()
    if until is not None and until <= now:
        raise SettingsError(f"until {until.isoformat()} has passed; it is {now.isoformat()}")
    made = Pause(now, command.actor, command.reason, until)
    return await _update(
        control, target, command, "pause", lambda one: replace(one, pause=made, drain=None)
    )


def pause_end(
    now: datetime, duration: str | None, until: datetime | None, ahead: timedelta = NOT_AHEAD
) -> datetime | None:
    """Return when a pause ends that was asked for as a duration or as a time, if it was.

    ``ahead`` is how far ``now`` is ahead of the machine's clock, which a time is meant by.

    Raises :class:`SettingsError` for both at once, or a duration that is none.
    """
    if duration is None:
        if until is not None and until.tzinfo is None:
            raise SettingsError(f"{until} has no time zone; write it like 2026-12-24T08:00+01:00")
        return None if until is None else until + ahead
    if until is not None:
        raise SettingsError("give a duration or a time, not both")
    found = parse_seconds(duration)
    if not 0 < found <= MAX_DURATION.total_seconds():
        raise SettingsError(f"{duration!r}: give more than 0s, and at most {MAX_DURATION.days}d")
    return now + timedelta(seconds=found)


async def resume(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Deliver again: end a pause or a drain, and call a destination that is gone, or down, at once.

    Maintenance windows go on to hold; :func:`skip_windows` passes over them.
    """
    now = control.clock.now()
    return await _update(
        control,
        target,
        command,
        "resume",
        lambda one: replace(one, pause=None, drain=None, resumed_at=now),
    )


async def drain(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Deliver what is there now, and pause then; a pause that holds now is lifted for it."""
    log = control.log
    ends = [(await log.bounds(partition)).end for partition in range(log.partitions)]
    made = Drain(control.clock.now(), command.actor, tuple(ends), command.reason)
    return await _update(
        control, target, command, "drain", lambda one: replace(one, pause=None, drain=made)
    )


async def finish_drain(
    control: ControlContext, target: ControlTarget, drain: Drain
) -> ControlRecord:
    """Pause what has been drained, unless somebody has asked for something else meanwhile."""
    reason = f"drained: {drain.reason}" if drain.reason else "drained"
    made = Pause(control.clock.now(), drain.actor, reason)

    def change(one: ControlRecord) -> ControlRecord:
        return replace(one, pause=made, drain=None) if one.drain == drain else one

    return await _update(control, target, ControlCommand(drain.actor, reason), "drained", change)


async def throttle(
    control: ControlContext,
    target: ControlTarget,
    command: ControlCommand,
    rate: str | None = None,
    concurrency: str | None = None,
) -> ControlRecord:
    """Hold another rate, concurrency or both than is declared; what is not given stays as it is.

    Raises :class:`SettingsError` for a rate or a concurrency that is none.
    """
    if rate is None and concurrency is None:
        raise SettingsError("give a rate like '5/s', a concurrency like '4', or both")
    rate = None if rate is None else str(Rate.parse(rate))
    if concurrency is not None:
        parse_concurrency(concurrency)

    def change(one: ControlRecord) -> ControlRecord:
        before = one.throttle or ThrottleOverride(control.clock.now(), command.actor)
        made = ThrottleOverride(
            control.clock.now(),
            command.actor,
            rate or before.rate,
            concurrency or before.concurrency,
            command.reason,
        )
        return replace(one, throttle=made)

    return await _update(control, target, command, "throttle", change)


async def unthrottle(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Hold the declared rate and concurrency again."""
    return await _update(
        control, target, command, "throttle off", lambda one: replace(one, throttle=None)
    )


async def add_window(
    control: ControlContext, target: ControlTarget, command: ControlCommand, window: Window
) -> ControlRecord:
    """Add a maintenance window; one that is there already stays as it is.

    Raises :class:`SettingsError` for a window that can never work.
    """
    validated_window(window)

    def change(one: ControlRecord) -> ControlRecord:
        if window.id in [known.id for known in one.windows]:
            return one
        return replace(one, windows=(*one.windows, window))

    return await _update(control, target, command, "window add", change)


async def remove_window(
    control: ControlContext, target: ControlTarget, command: ControlCommand, id: str
) -> ControlRecord:
    """Remove a window that was added; raises :class:`NotFound` when there is none of this id."""

    def change(one: ControlRecord) -> ControlRecord:
        if id not in [known.id for known in one.windows]:
            raise NotFound.named("added window", id, [known.id for known in one.windows])
        return replace(one, windows=tuple(known for known in one.windows if known.id != id))

    return await _update(control, target, command, "window remove", change)


async def skip_windows(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Pass over the windows that are open now, until the last of them closes.

    Raises :class:`Conflict` when none is open.
    """
    now = control.clock.now()
    records = await own_records(control.ledger, target)
    ahead = control.clock.wall_clock_offset()
    until = windows_close_at({target.kind: records[target.kind]}, now, ahead)
    if until is None:
        raise Conflict(f"{target.kind} {target.name!r} is in no window now")
    return await _update(
        control,
        target,
        command,
        "window skip",
        lambda one: replace(one, windows_skipped_until=until),
    )


async def _update(
    control: ControlContext,
    target: ControlTarget,
    command: ControlCommand,
    action: str,
    change: Callable[[ControlRecord], ControlRecord],
) -> ControlRecord:
    """Change a record, whoever else changes it meanwhile; return what became of it."""
    while True:
        found = (await control.ledger.get_values(target.key)).get(target.key)
        before = NO_CONTROLS if found is None else decode_control_record(found)
        if command.expected is not None and before != command.expected:
            raise Conflict(
                f"{target.kind} {target.name!r} was changed in the meantime; read it again"
            )
        after = change(before)
        if after == before:
            return before
        encoded = msgspec.json.encode(after)
        old = None if found is None else Raw(found)
        audit = AuditRecord(
            control.clock.now(),
            command.actor,
            action,
            str(target),
            old,
            Raw(encoded),
            command.reason,
        )
        if await control.ledger.change_values(
            [ValueChange(target.key, encoded, expected=found)], [audit]
        ):
            control.wake()
            return after
