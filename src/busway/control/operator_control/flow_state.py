"""The state of a flow or a destination, with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from busway.control.operator_control.drain import drain_backlog
from busway.control.record import BreakerRecord
from busway.delivery.operator_control import (
    NOT_AHEAD,
    ControlRecords,
    describe,
    effective_controls,
)
from busway.lane import Lane

FlowStateName = Literal[
    "running",
    "starting",
    "paused",
    "window",
    "draining",
    "down",
    "gone",
    "stuck",
    "undeclared",
]


_RATE_LIMITED_TEXT = "the destination asked for a wait (HTTP 429)"


class FlowState(msgspec.Struct, frozen=True):
    """``running``, or what prevents that: the reason, and until when if that is known.

    ``paused`` by an operator; in a maintenance ``window``; ``draining`` its backlog before a pause;
    its destination is ``down``, asked never to be called again (``gone``), or was not reached yet
    (``starting``); ``stuck``: its loop keeps failing; ``undeclared``: no program declares it.
    """

    state: FlowStateName = "running"
    reason: str = ""
    until: datetime | None = None


def flow_state(
    records: ControlRecords,
    breaker: BreakerRecord | None,
    lanes: Sequence[Lane],
    at: datetime,
    ahead: timedelta = NOT_AHEAD,
) -> FlowState:
    """Return the state of a flow with these lanes, or of a destination, at a time."""
    suspension = effective_controls(records, at, ahead).suspension
    if suspension is not None:
        return FlowState(suspension.kind, describe(suspension), suspension.until)
    if breaker is not None and breaker.state == "gone":
        return FlowState("gone", breaker.reason)
    if breaker is not None and breaker.state != "closed":
        return FlowState("down", breaker.reason)
    if breaker is not None and breaker.unreached_reason:
        return _draining(records, lanes) or FlowState("starting", breaker.unreached_reason)
    limited = breaker is not None and breaker.limited_until
    if limited and limited > at:
        return _draining(records, lanes) or FlowState("running", _RATE_LIMITED_TEXT, limited)
    return _draining(records, lanes) or FlowState()


def _draining(records: ControlRecords, lanes: Sequence[Lane]) -> FlowState | None:
    drains = [record.drain for record in records.values() if record.drain is not None]
    if not drains:
        return None
    backlog = max(drain_backlog(lanes, drain) for drain in drains)
    actor = f", asked by {drains[0].actor}" if drains[0].actor else ""
    since = f" since {drains[0].since:%F %T} UTC"
    why = f": {drains[0].reason}" if drains[0].reason else ""
    return FlowState("draining", f"{backlog:,} left{actor}{since}{why}")
