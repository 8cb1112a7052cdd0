"""What became of an event in one lane, from what the ledger keeps. Pure.

No row says of a single event that it was delivered. What says so is the range that it was settled
in: its counts, and the rule and the steps of the code version that settled it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from busway.control.event.story import FlowStory, State, WhyNot
from busway.control.record import VersionRecord
from busway.errors import PatternError
from busway.lane import Lane, Resolved, Settled, Trouble
from busway.rule import Pattern


class Tally(msgspec.Struct, frozen=True):
    """How many events of a settled range the flow's rule wanted, and how many could not be read."""

    wanted: int
    unreadable: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an event in a lane: ``event`` is it, decoded, where it is still there.

    ``settled`` is the range that it was settled in, ``version`` what is known of the code that did
    it, ``tally`` what was counted in that range, ``published`` whether an event is on the bus that
    the flow made of it, ``selected`` whether a replay was asked for it.
    """

    lane: Lane
    offset: int
    event: Mapping[str, Any] | None = None
    settled: Settled | None = None
    trouble: Trouble | None = None
    resolved: Resolved | None = None
    version: VersionRecord | None = None
    tally: Tally | None = None
    ordered: bool = False
    published: bool = False
    selected: bool = True

    @property
    def lane_version(self) -> str:
        return "" if self.version is None else self.version.version


def rule_of(version: VersionRecord | None) -> Pattern | None:
    """Return the rule of a code version, ``None`` where it is not known, or known no more."""
    try:
        return None if version is None else Pattern.parse(version.rule)
    except PatternError:
        return None


def why_not(found: Evidence) -> WhyNot | None:
    """Return the clause of the rule that an event does not satisfy, if there is one."""
    rule = rule_of(found.version)
    mismatch = None if rule is None or found.event is None else rule.explain(found.event)
    if mismatch is None:
        return None
    return WhyNot(mismatch.place, mismatch.clause, mismatch.found, str(mismatch))


def fate(found: Evidence) -> FlowStory:
    """Return where an event stands in a lane and how that is known."""
    story = _standing(found)
    known = found.event is not None and found.version is not None
    reason = why_not(found)
    return msgspec.structs.replace(story, why_not=reason, matched=reason is None if known else None)


def _standing(found: Evidence) -> FlowStory:
    if found.trouble is not None:
        return _troubled(found, found.trouble)
    if found.resolved is not None:
        return _resolved(found, found.resolved)
    if found.offset < found.lane.start:
        return _story(found, "before_start", "it came before the flow began")
    if found.offset >= found.lane.cursor:
        return _waiting(found)
    if found.settled is None:
        return _story(found, "unknown", "the record of it is gone")
    return _settled(found, found.settled)


def _troubled(found: Evidence, trouble: Trouble) -> FlowStory:
    last = trouble.failures[-1] if trouble.failures else None
    why = f": {last.error}: {last.reason}" if last else ""
    tries = _times(trouble.attempts)
    text = f"it is a dead letter, after {tries}{why}"
    if trouble.state == "parked":
        text = f"it is parked, after {tries}{why}"
        if trouble.attempts == 0 and trouble.due is None:
            text = "it is parked, and waits behind an earlier event of its key"
    return msgspec.structs.replace(
        _story(found, trouble.state, text),
        since=trouble.since,
        attempts=trouble.attempts,
        failures=trouble.failures,
        due=trouble.due,
    )


def _resolved(found: Evidence, one: Resolved) -> FlowStory:
    failed = f", after {len(one.failures)} failed" if one.failures else ""
    who = f" by {one.who}" if one.who else ""
    why = f": {one.reason}" if one.reason else ""
    text = f"it was {one.became}{who}{failed}{why}"
    return msgspec.structs.replace(
        _story(found, one.became, text),
        since=one.at,
        until=one.at,
        version=one.version or found.lane_version,
        attempts=one.attempts,
        failures=one.failures,
    )


def _waiting(found: Evidence) -> FlowStory:
    ahead = found.offset - found.lane.cursor
    text = f"it waits in the backlog, {ahead:,} events before it" if ahead else "it is next"
    if why_not(found) is not None:
        text += "; the rule will filter it"
    return msgspec.structs.replace(_story(found, "waiting", text), ahead=ahead)


def _settled(found: Evidence, one: Settled) -> FlowStory:
    state, text = _outcome(found, one)
    return msgspec.structs.replace(
        _story(found, state, text), since=one.first_at, until=one.last_at, version=one.version
    )


def _outcome(found: Evidence, one: Settled) -> tuple[State, str]:
    counts, reason = one.counts, why_not(found)
    if reason is not None:
        return "filtered", f"the rule did not want it: {reason.text}"
    if not found.selected:
        return "filtered", "the replay was not asked for it"
    if found.published:
        return "delivered", "it was delivered: what the flow made of it is on the bus"
    if counts.delivered == counts.total:
        return "delivered", "it was delivered, like every event of its range"
    return _by_steps(found, one)


def _by_steps(found: Evidence, one: Settled) -> tuple[State, str]:
    """Tell delivered from filtered by a step, where the rule is not known to have said no."""
    counts, version = one.counts, found.version
    if version is None or found.event is None:
        gone = counts.filtered == counts.total
        return ("filtered", "it was filtered") if gone else _unclear(one, "its rule is not known")
    held = found.ordered and counts.parked > 0
    if not version.steps:
        return "delivered", "it was delivered: the rule wanted it, and no step could filter it"
    if not counts.delivered and not held:
        return "filtered", "a step filtered it"
    return _by_numbers(found, one, held)


def _by_numbers(found: Evidence, one: Settled, held: bool) -> tuple[State, str]:
    """Tell it by how many events of the range the rule wanted."""
    tally = found.tally
    if tally is None:
        return _unclear(one, "the others of its range cannot be told apart")
    by_step = one.counts.filtered - (one.end - one.start - tally.wanted - tally.unreadable)
    if by_step == 0 and not held:
        return "delivered", "it was delivered: no step filtered any event of its range"
    what = f"its rule wanted {tally.wanted:,} events of the range, {by_step:,} of them were"
    return _unclear(one, f"{what} filtered by a step")


def _unclear(one: Settled, why: str) -> tuple[State, str]:
    counts = one.counts
    done = f"{counts.delivered:,} delivered, {counts.filtered:,} filtered"
    return "delivered_or_filtered", f"it was delivered or filtered by a step ({done}; {why})"


def _story(found: Evidence, state: State, text: str) -> FlowStory:
    return FlowStory(flow=found.lane.flow, state=state, text=text, version=found.lane_version)


def _times(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
