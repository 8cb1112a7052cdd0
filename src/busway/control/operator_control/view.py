"""The controls and the state of a flow or destination, as the API shows them."""

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
    """A maintenance window: its scope, whether the flows file declares it (then it cannot be
    removed here), until when it is open and when it opens next.
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
    """An added window, with the id to remove it."""

    id: str
    cron: str
    lasts: str
    tz: str
    reason: str = ""


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """The controls that operators have set on a flow or destination."""

    kind: ControlScope
    name: str
    pause: Pause | None = None
    drain: Drain | None = None
    throttle: ThrottleOverride | None = None
    windows: tuple[AddedWindow, ...] = ()
    windows_skipped_until: datetime | None = None
    resumed_at: datetime | None = None


class ControlStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The controls and the current state of a flow or destination."""

    controls: Controls
    state: FlowState


def controls_view(target: ControlTarget, record: ControlRecord) -> Controls:
    """Return the view of a record, which is the same until the record changes."""
    return Controls(
        kind=target.kind,
        name=target.name,
        pause=record.pause,
        drain=record.drain,
        throttle=record.throttle,
        windows=tuple(
            AddedWindow(window.id, window.cron, window.lasts, window.tz, window.reason)
            for window in record.windows
        ),
        windows_skipped_until=record.windows_skipped_until,
        resumed_at=record.resumed_at,
    )


async def control_status(
    control: ControlContext, target: ControlTarget, record: ControlRecord
) -> ControlStatus:
    """Return a record with the current state of its flow or destination."""
    ledger, flows = control.ledger, await flow_records(control.ledger)
    if target.kind == "flow":
        names = {target.name}
        destination = flows[target.name].destination if target.name in flows else ""
    else:
        names = {
            name for name, flow_record in flows.items() if flow_record.destination == target.name
        }
        destination = target.name
    lanes = [lane for lane in await ledger.lanes() if lane.flow in names]
    breaker = (await breaker_records(ledger)).get(destination)
    records = await own_records(ledger, target)
    state = flow_state(
        records, breaker, lanes, control.clock.now(), control.clock.wall_clock_offset()
    )
    return ControlStatus(controls=controls_view(target, record), state=state)


async def window_statuses(control: ControlContext, target: ControlTarget) -> Sequence[WindowStatus]:
    """Return the windows of a flow and of its destination, or those of a destination."""
    declared = await _declared_windows(control, target)
    now = control.clock.now() - control.clock.wall_clock_offset()  # windows follow the wall clock
    records = await own_records(control.ledger, target)
    return [
        _window_status(scope, window, now, declared=scope == target.kind and window in declared)
        for scope, record in records.items()
        for window in record.windows
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
