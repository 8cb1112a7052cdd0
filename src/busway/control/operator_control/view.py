"""What a flow or destination is asked, and how it stands, as the API shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from busway.control.context import ControlContext
from busway.control.operator_control.flow_state import FlowState, flow_state
from busway.control.operator_control.record import ControlTarget, own_records
from busway.control.record import breaker_records, flow_records
from busway.delivery.maintenance_window import Window
from busway.delivery.operator_control import (
    ControlRecord,
    ControlScope,
    Drain,
    Pause,
    ThrottleOverride,
)


class WindowStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A maintenance window: whose it is, whether the flows file has it (then it cannot be removed
    here), until when it is open and when it begins next.
    """

    id: str
    scope: ControlScope
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

    kind: ControlScope
    name: str
    pause: Pause | None = None
    drain: Drain | None = None
    throttle: ThrottleOverride | None = None
    windows: tuple[AddedWindow, ...] = ()
    windows_skipped_until: datetime | None = None
    resumed_at: datetime | None = None


class ControlStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and how the flow or destination stands now."""

    controls: Controls
    state: FlowState


def controls_view(target: ControlTarget, found: ControlRecord) -> Controls:
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
        windows_skipped_until=found.windows_skipped_until,
        resumed_at=found.resumed_at,
    )


async def control_status(
    control: ControlContext, target: ControlTarget, found: ControlRecord
) -> ControlStatus:
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
    state = flow_state(
        records, breaker, lanes, control.clock.now(), control.clock.wall_clock_offset()
    )
    return ControlStatus(controls=controls_view(target, found), state=state)


async def window_statuses(control: ControlContext, target: ControlTarget) -> Sequence[WindowStatus]:
    """Return the windows that hold a flow, its destination's too, or those of a destination."""
    declared = await _declared_windows(control, target)
    now = control.clock.now() - control.clock.wall_clock_offset()  # windows go by the calendar
    records = await own_records(control.ledger, target)
    return [
        _window_status(scope, one, now, declared=scope == target.kind and one in declared)
        for scope, record in records.items()
        for one in record.windows
    ]


async def _declared_windows(control: ControlContext, target: ControlTarget) -> Sequence[Window]:
    record = (await flow_records(control.ledger)).get(target.name)
    return () if record is None or target.kind == "destination" else record.windows


def _window_status(
    scope: ControlScope, window: Window, now: datetime, *, declared: bool
) -> WindowStatus:
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
