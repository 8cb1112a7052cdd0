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

from busway.concurrency import concurrency as parse_concurrency
from busway.control.control import Control
from busway.control.steer.record import NOTHING, Target, decoded, own_records
from busway.delivery.hold import IN_TIME, Drain, Override, Pause, Steering, windows_close_at
from busway.delivery.throttle import Rate
from busway.delivery.window import Window, window_of
from busway.duration import seconds
from busway.errors import Conflict, NotFound, SettingsError
from busway.lane import Audit, Change

LONGEST = timedelta(days=3660)


class Order(msgspec.Struct, frozen=True):
    """Who asks, and why; ``seen`` is the record that the asker knows, when it must be that still.

    An operation raises :class:`Conflict` when it is another by now.
    """

    who: str
    reason: str = ""
    seen: Steering | None = None


async def pause(
    control: Control, target: Target, order: Order, until: datetime | None = None
) -> Steering:
    """Stop delivering at once, until a time or until it is resumed; events go on coming in.

    Raises :class:`SettingsError` for a time that has passed.
    """
    now = control.clock.now()
    if until is not None and until <= now:
        raise SettingsError(f"until {until.isoformat()} has passed; it is {now.isoformat()}")
    made = Pause(now, order.who, order.reason, until)
    return await _alter(
        control, target, order, "pause", lambda one: replace(one, pause=made, drain=None)
    )


def pause_end(
    now: datetime, lasts: str | None, until: datetime | None, ahead: timedelta = IN_TIME
) -> datetime | None:
    """Return when a pause ends that was asked for as a duration or as a time, if it was.

    ``ahead`` is how far ``now`` is ahead of the machine's clock, which a time is meant by.

    Raises :class:`SettingsError` for both at once, or a duration that is none.
    """
    if lasts is None:
        if until is not None and until.tzinfo is None:
            raise SettingsError(f"{until} has no time zone; write it like 2026-12-24T08:00+01:00")
        return None if until is None else until + ahead
    if until is not None:
        raise SettingsError("give a duration or a time, not both")
    found = seconds(lasts)
    if not 0 < found <= LONGEST.total_seconds():
        raise SettingsError(f"{lasts!r}: give more than 0s, and at most {LONGEST.days}d")
    return now + timedelta(seconds=found)


async def resume(control: Control, target: Target, order: Order) -> Steering:
    """Deliver again: end a pause or a drain, and call a destination that is gone, or down, at once.

    Maintenance windows go on to hold; :func:`skip_windows` passes over them.
    """
    now = control.clock.now()
    return await _alter(
        control,
        target,
        order,
        "resume",
        lambda one: replace(one, pause=None, drain=None, resumed_at=now),
    )


async def drain(control: Control, target: Target, order: Order) -> Steering:
    """Deliver what is there now, and pause then; a pause that holds now is lifted for it."""
    log = control.log
    ends = [(await log.bounds(partition))[1] for partition in range(log.partitions)]
    made = Drain(control.clock.now(), order.who, tuple(ends), order.reason)
    return await _alter(
        control, target, order, "drain", lambda one: replace(one, pause=None, drain=made)
    )


async def drained(control: Control, target: Target, drain: Drain) -> Steering:
    """Pause what has been drained, unless somebody has asked for something else meanwhile."""
    reason = f"drained: {drain.reason}" if drain.reason else "drained"
    made = Pause(control.clock.now(), drain.who, reason)

    def change(one: Steering) -> Steering:
        return replace(one, pause=made, drain=None) if one.drain == drain else one

    return await _alter(control, target, Order(drain.who, reason), "drained", change)


async def throttle(
    control: Control,
    target: Target,
    order: Order,
    rate: str | None = None,
    concurrency: str | None = None,
) -> Steering:
    """Hold another rate, concurrency or both than is declared; what is not given stays as it is.

    Raises :class:`SettingsError` for a rate or a concurrency that is none.
    """
    if rate is None and concurrency is None:
        raise SettingsError("give a rate like '5/s', a concurrency like '4', or both")
    rate = None if rate is None else str(Rate.parse(rate))
    if concurrency is not None:
        parse_concurrency(concurrency)

    def change(one: Steering) -> Steering:
        before = one.throttle or Override(control.clock.now(), order.who)
        made = Override(
            control.clock.now(),
            order.who,
            rate or before.rate,
            concurrency or before.concurrency,
            order.reason,
        )
        return replace(one, throttle=made)

    return await _alter(control, target, order, "throttle", change)


async def unthrottle(control: Control, target: Target, order: Order) -> Steering:
    """Hold the declared rate and concurrency again."""
    return await _alter(
        control, target, order, "throttle off", lambda one: replace(one, throttle=None)
    )


async def add_window(control: Control, target: Target, order: Order, window: Window) -> Steering:
    """Add a maintenance window; one that is there already stays as it is.

    Raises :class:`SettingsError` for a window that can never work.
    """
    window_of(window)

    def change(one: Steering) -> Steering:
        if window.id in [known.id for known in one.windows]:
            return one
        return replace(one, windows=(*one.windows, window))

    return await _alter(control, target, order, "window add", change)


async def remove_window(control: Control, target: Target, order: Order, id: str) -> Steering:
    """Remove a window that was added; raises :class:`NotFound` when there is none of this id."""

    def change(one: Steering) -> Steering:
        if id not in [known.id for known in one.windows]:
            raise NotFound.named("added window", id, [known.id for known in one.windows])
        return replace(one, windows=tuple(known for known in one.windows if known.id != id))

    return await _alter(control, target, order, "window remove", change)


async def skip_windows(control: Control, target: Target, order: Order) -> Steering:
    """Pass over the windows that are open now, until the last of them closes.

    Raises :class:`Conflict` when none is open.
    """
    now = control.clock.now()
    records = await own_records(control.ledger, target)
    ahead = control.clock.ahead()
    until = windows_close_at({target.kind: records[target.kind]}, now, ahead)
    if until is None:
        raise Conflict(f"{target.kind} {target.name!r} is in no window now")
    return await _alter(
        control, target, order, "window skip", lambda one: replace(one, past_windows_until=until)
    )


async def _alter(
    control: Control,
    target: Target,
    order: Order,
    action: str,
    change: Callable[[Steering], Steering],
) -> Steering:
    """Change a record, whoever else changes it meanwhile; return what became of it."""
    while True:
        found = (await control.ledger.get(target.key)).get(target.key)
        before = NOTHING if found is None else decoded(found)
        if order.seen is not None and before != order.seen:
            raise Conflict(f"{target.kind} {target.name!r} was changed meanwhile; look again")
        after = change(before)
        if after == before:
            return before
        encoded = msgspec.json.encode(after)
        old = None if found is None else Raw(found)
        audit = Audit(
            control.clock.now(), order.who, action, str(target), old, Raw(encoded), order.reason
        )
        if await control.ledger.change([Change(target.key, encoded, expected=found)], [audit]):
            control.wake()
            return after
