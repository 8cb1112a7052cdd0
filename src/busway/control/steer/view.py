"""What a flow or destination is asked, and how it stands, as the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from busway.control.control import Control
from busway.control.record import breaker_records, flow_records
from busway.control.steer.record import Target, own_records
from busway.control.steer.standing import Standing, standing
from busway.delivery.hold import Drain, Override, Pause, Scope, Steering
from busway.delivery.window import Window


class WindowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A maintenance window: whose it is, whether the flows file has it (then it cannot be removed
    here), until when it is open and when it begins next.
    """

    id: str
    scope: Scope
    cron: str
    lasts: str
    tz: str
    reason: str = ""
    declared: bool = False
    open_until: datetime | None = None
    next_start: datetime | None = None


class AddedWindow(msgspec.Struct, frozen=True):
    """A window that was added, with the id to remove it by."""

    id: str
    cron: str
    lasts: str
    tz: str
    reason: str = ""


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """What people have asked of one flow or destination, until they take it back."""

    kind: Scope
    name: str
    pause: Pause | None = None
    drain: Drain | None = None
    throttle: Override | None = None
    windows: tuple[AddedWindow, ...] = ()
    past_windows_until: datetime | None = None
    resumed_at: datetime | None = None


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how the flow or destination stands now."""

    controls: Controls
    state: Standing


def controls(target: Target, found: Steering) -> Controls:
    """Return a record as it is shown: the same until somebody changes it."""
    return Controls(
        kind=target.kind,
        name=target.name,
        pause=found.pause,
        drain=found.drain,
        throttle=found.throttle,
        windows=tuple(
            AddedWindow(one.id, one.cron, one.lasts, one.tz, one.reason) for one in found.windows
        ),
        past_windows_until=found.past_windows_until,
        resumed_at=found.resumed_at,
    )


async def steered(control: Control, target: Target, found: Steering) -> Steered:
    """Return a record with how its flow or destination stands now."""
    ledger, flows = control.ledger, await flow_records(control.ledger)
    if target.kind == "flow":
        names = {target.name}
        destination = flows[target.name].destination if target.name in flows else ""
    else:
        names = {name for name, one in flows.items() if one.destination == target.name}
        destination = target.name
    lanes = [lane for lane in await ledger.lanes() if lane.flow in names]
    breaker = (await breaker_records(ledger)).get(destination)
    records = await own_records(ledger, target)
    state = standing(records, breaker, lanes, control.clock.now(), control.clock.ahead())
    return Steered(controls=controls(target, found), state=state)


async def windows(control: Control, target: Target) -> Sequence[WindowStatus]:
    """Return the windows that hold a flow, its destination's too, or those of a destination."""
    declared = await _declared(control, target)
    now = control.clock.now() - control.clock.ahead()  # windows go by the calendar
    records = await own_records(control.ledger, target)
    return [
        _status(scope, one, now, declared=scope == target.kind and one in declared)
        for scope, record in records.items()
        for one in record.windows
    ]


async def _declared(control: Control, target: Target) -> Sequence[Window]:
    record = (await flow_records(control.ledger)).get(target.name)
    return () if record is None or target.kind == "destination" else record.windows


def _status(scope: Scope, window: Window, now: datetime, *, declared: bool) -> WindowStatus:
    return WindowStatus(
        id=window.id,
        scope=scope,
        cron=window.cron,
        lasts=window.lasts,
        tz=window.tz,
        reason=window.reason,
        declared=declared,
        open_until=window.open_until(now),
        next_start=window.next_start(now),
    )
