"""How a flow or a destination stands, in a word and a sentence for people."""

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
    """``running``, or what keeps it from that: why, and until when where that is known.

    ``paused`` by a person, in a maintenance ``window``, ``draining`` its backlog before it pauses;
    its destination is ``down``, or asked never to be called again (``gone``), or nobody has reached
    it yet (``starting``); it is ``stuck``: its loop fails again and again; ``undeclared``: no
    program has it any more.
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
    """Return how a flow with these lanes, or a destination, stands at a time."""
    hold = effective_controls(records, at, ahead).suspension
    if hold is not None:
        return FlowState(hold.kind, describe(hold), hold.until)
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
    drains = [one.drain for one in records.values() if one.drain is not None]
    if not drains:
        return None
    left = max(drain_backlog(lanes, one) for one in drains)
    who = f", asked by {drains[0].actor}" if drains[0].actor else ""
    since = f" since {drains[0].since:%F %T} UTC"
    why = f": {drains[0].reason}" if drains[0].reason else ""
    return FlowState("draining", f"{left:,} left{who}{since}{why}")
