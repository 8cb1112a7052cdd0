"""Pause, resume, drain, override the throttle, add and remove maintenance windows.

Each operation changes one record of the ledger by compare-and-set, adds an audit record, and wakes
the loops of this process.
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
    """The actor of an operation and the reason.

    If ``expected`` is set, the operation raises :class:`Conflict` unless it equals the current
    record.
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
    """Stop delivering at once, until a time or until it is resumed; the intake continues.

    Raises :class:`SettingsError` for a time that has passed.
    """
    now = control.clock.now()
    if until is not None and until <= now:
        raise SettingsError(f"until {until.isoformat()} has passed; it is {now.isoformat()}")
    new_pause = Pause(now, command.actor, command.reason, until)
    return await _update(
        control,
        target,
        command,
        "pause",
        lambda record: replace(record, pause=new_pause, drain=None),
    )


def pause_end(
    now: datetime, duration: str | None, until: datetime | None, ahead: timedelta = NOT_AHEAD
) -> datetime | None:
    """Return the end of a pause given as a duration or a time, ``None`` if neither is given.

    ``ahead`` is how far ``now`` is ahead of the machine's clock, to which ``until`` refers.

    Raises :class:`SettingsError` for both at once, or for an invalid duration.
    """
    if duration is None:
        if until is not None and until.tzinfo is None:
            raise SettingsError(f"{until} has no time zone; write it like 2026-12-24T08:00+01:00")
        return None if until is None else until + ahead
    if until is not None:
        raise SettingsError("give a duration or a time, not both")
    seconds = parse_seconds(duration)
    if not 0 < seconds <= MAX_DURATION.total_seconds():
        raise SettingsError(f"{duration!r}: give more than 0s, and at most {MAX_DURATION.days}d")
    return now + timedelta(seconds=seconds)


async def resume(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Deliver again: end a pause or a drain, and call a destination that is gone or down at once.

    Maintenance windows still apply; :func:`skip_windows` skips them.
    """
    now = control.clock.now()
    return await _update(
        control,
        target,
        command,
        "resume",
        lambda record: replace(record, pause=None, drain=None, resumed_at=now),
    )


async def drain(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Deliver the current backlog, then pause; a current pause is lifted for it."""
    log = control.log
    ends = [(await log.bounds(partition)).end for partition in range(log.partitions)]
    new_drain = Drain(control.clock.now(), command.actor, tuple(ends), command.reason)
    return await _update(
        control,
        target,
        command,
        "drain",
        lambda record: replace(record, pause=None, drain=new_drain),
    )


async def finish_drain(
    control: ControlContext, target: ControlTarget, drain: Drain
) -> ControlRecord:
    """Pause a target that is drained, unless it was changed in the meantime."""
    reason = f"drained: {drain.reason}" if drain.reason else "drained"
    new_pause = Pause(control.clock.now(), drain.actor, reason)

    def change(record: ControlRecord) -> ControlRecord:
        return replace(record, pause=new_pause, drain=None) if record.drain == drain else record

    return await _update(control, target, ControlCommand(drain.actor, reason), "drained", change)


async def throttle(
    control: ControlContext,
    target: ControlTarget,
    command: ControlCommand,
    rate: str | None = None,
    concurrency: str | None = None,
) -> ControlRecord:
    """Override the declared rate, concurrency or both; what is not given stays unchanged.

    Raises :class:`SettingsError` for an invalid rate or concurrency.
    """
    if rate is None and concurrency is None:
        raise SettingsError("give a rate like '5/s', a concurrency like '4', or both")
    rate = None if rate is None else str(Rate.parse(rate))
    if concurrency is not None:
        parse_concurrency(concurrency)

    def change(record: ControlRecord) -> ControlRecord:
        before = record.throttle or ThrottleOverride(control.clock.now(), command.actor)
        override = ThrottleOverride(
            control.clock.now(),
            command.actor,
            rate or before.rate,
            concurrency or before.concurrency,
            command.reason,
        )
        return replace(record, throttle=override)

    return await _update(control, target, command, "throttle", change)


async def unthrottle(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Restore the declared rate and concurrency."""
    return await _update(
        control, target, command, "throttle off", lambda record: replace(record, throttle=None)
    )


async def add_window(
    control: ControlContext, target: ControlTarget, command: ControlCommand, window: Window
) -> ControlRecord:
    """Add a maintenance window, if it is not there already.

    Raises :class:`SettingsError` for an invalid window.
    """
    validated_window(window)

    def change(record: ControlRecord) -> ControlRecord:
        if window.id in [known.id for known in record.windows]:
            return record
        return replace(record, windows=(*record.windows, window))

    return await _update(control, target, command, "window add", change)


async def remove_window(
    control: ControlContext, target: ControlTarget, command: ControlCommand, id: str
) -> ControlRecord:
    """Remove an added window. Raises :class:`NotFound` if there is none with this id."""

    def change(record: ControlRecord) -> ControlRecord:
        if id not in [known.id for known in record.windows]:
            raise NotFound.named("added window", id, [known.id for known in record.windows])
        return replace(record, windows=tuple(known for known in record.windows if known.id != id))

    return await _update(control, target, command, "window remove", change)


async def skip_windows(
    control: ControlContext, target: ControlTarget, command: ControlCommand
) -> ControlRecord:
    """Skip the windows that are open now, until the last of them closes.

    Raises :class:`Conflict` if none is open.
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
        lambda record: replace(record, windows_skipped_until=until),
    )


async def _update(
    control: ControlContext,
    target: ControlTarget,
    command: ControlCommand,
    action: str,
    change: Callable[[ControlRecord], ControlRecord],
) -> ControlRecord:
    """Change a record atomically, retrying on concurrent changes; return the new record."""
    while True:
        value = (await control.ledger.get_values(target.key)).get(target.key)
        before = NO_CONTROLS if value is None else decode_control_record(value)
        if command.expected is not None and before != command.expected:
            raise Conflict(
                f"{target.kind} {target.name!r} was changed in the meantime; read it again"
            )
        after = change(before)
        if after == before:
            return before
        encoded = msgspec.json.encode(after)
        old = None if value is None else Raw(value)
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
            [ValueChange(target.key, encoded, expected=value)], [audit]
        ):
            control.wake()
            return after
