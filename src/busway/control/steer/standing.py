"""How a flow or a destination stands, in a word and a sentence for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from busway.control.record import BreakerRecord
from busway.control.steer.draining import backlog_of
from busway.delivery.hold import IN_TIME, Records, stance, told
from busway.lane import Lane

Word = Literal[
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


_LIMITED = "the destination asked for a wait (HTTP 429)"


class Standing(msgspec.Struct, frozen=True):
    """``running``, or what keeps it from that: why, and until when where that is known.

    ``paused`` by a person, in a maintenance ``window``, ``draining`` its backlog before it pauses;
    its destination is ``down``, or asked never to be called again (``gone``), or nobody has reached
    it yet (``starting``); it is ``stuck``: its loop fails again and again; ``undeclared``: no
    program has it any more.
    """

    state: Word = "running"
    reason: str = ""
    until: datetime | None = None


def standing(
    records: Records,
    breaker: BreakerRecord | None,
    lanes: Sequence[Lane],
    at: datetime,
    ahead: timedelta = IN_TIME,
) -> Standing:
    """Return how a flow with these lanes, or a destination, stands at a time."""
    hold = stance(records, at, ahead).hold
    if hold is not None:
        return Standing(hold.kind, told(hold), hold.until)
    if breaker is not None and breaker.state == "gone":
        return Standing("gone", breaker.reason)
    if breaker is not None and breaker.state != "closed":
        return Standing("down", breaker.reason)
    if breaker is not None and breaker.waits_for:
        return _draining(records, lanes) or Standing("starting", breaker.waits_for)
    limited = breaker is not None and breaker.limited_until
    if limited and limited > at:
        return _draining(records, lanes) or Standing("running", _LIMITED, limited)
    return _draining(records, lanes) or Standing()


def _draining(records: Records, lanes: Sequence[Lane]) -> Standing | None:
    drains = [one.drain for one in records.values() if one.drain is not None]
    if not drains:
        return None
    left = max(backlog_of(lanes, one) for one in drains)
    who = f", asked by {drains[0].who}" if drains[0].who else ""
    since = f" since {drains[0].since:%F %T} UTC"
    why = f": {drains[0].reason}" if drains[0].reason else ""
    return Standing("draining", f"{left:,} left{who}{since}{why}")
