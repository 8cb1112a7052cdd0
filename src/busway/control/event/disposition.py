"""What became of an event in one lane, from what the ledger keeps. Pure.

No row says of a single event that it was delivered. What says so is the range that it was settled
in: its counts, and the rule and the steps of the code version that settled it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from busway.control.event.story_record import EventState, FlowStory, WhyNot
from busway.control.record import VersionRecord
from busway.errors import PatternError
from busway.failed_event import FailedEvent, ResolvedEvent
from busway.lane import Lane
from busway.rule import Pattern
from busway.settlement import SettledRange


class RangeTally(msgspec.Struct, frozen=True):
    """How many events of a settled range the flow's rule wanted, and how many could not be read."""

    wanted: int
    unreadable: int


class EventEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an event in a lane: ``event`` is it, decoded, where it is still there.

    ``settled`` is the range that it was settled in, ``version`` what is known of the code that did
    it, ``tally`` what was counted in that range, ``published`` whether an event is on the bus that
    the flow made of it, ``selected`` whether a replay was asked for it.
    """

    lane: Lane
    offset: int
    event: Mapping[str, Any] | None = None
    settled: SettledRange | None = None
    failed_event: FailedEvent | None = None
    resolved: ResolvedEvent | None = None
    version: VersionRecord | None = None
    tally: RangeTally | None = None
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


def why_not(evidence: EventEvidence) -> WhyNot | None:
    """Return the clause of the rule that an event does not satisfy, if there is one."""
    rule = rule_of(evidence.version)
    mismatch = None if rule is None or evidence.event is None else rule.explain(evidence.event)
    if mismatch is None:
        return None
    return WhyNot(mismatch.place, mismatch.clause, mismatch.found, str(mismatch))


def disposition(evidence: EventEvidence) -> FlowStory:
    """Return where an event stands in a lane and how that is known."""
    story = _unchecked_disposition(evidence)
    known = evidence.event is not None and evidence.version is not None
    reason = why_not(evidence)
    return msgspec.structs.replace(story, why_not=reason, matched=reason is None if known else None)


def _unchecked_disposition(evidence: EventEvidence) -> FlowStory:
    if evidence.failed_event is not None:
        return _failed(evidence, evidence.failed_event)
    if evidence.resolved is not None:
        return _resolved(evidence, evidence.resolved)
    if evidence.offset < evidence.lane.start:
        return _story(evidence, "before_start", "it came before the flow began")
    if evidence.offset >= evidence.lane.cursor:
        return _not_read(evidence)
    if evidence.settled is None:
        return _story(evidence, "unknown", "the record of it is gone")
    return _settled(evidence, evidence.settled)


def _failed(evidence: EventEvidence, failed_event: FailedEvent) -> FlowStory:
    last = failed_event.failures[-1] if failed_event.failures else None
    why = f": {last.error}: {last.reason}" if last else ""
    tries = _attempts_text(failed_event.attempts)
    text = f"it is a dead letter, after {tries}{why}"
    if failed_event.state == "parked":
        text = f"it is parked, after {tries}{why}"
        if failed_event.attempts == 0 and failed_event.due is None:
            text = "it is parked, and waits behind an earlier event of its key"
    return msgspec.structs.replace(
        _story(evidence, failed_event.state, text),
        since=failed_event.since,
        attempts=failed_event.attempts,
        failures=failed_event.failures,
        due=failed_event.due,
    )


def _resolved(evidence: EventEvidence, one: ResolvedEvent) -> FlowStory:
    failed = f", after {len(one.failures)} failed" if one.failures else ""
    who = f" by {one.actor}" if one.actor else ""
    why = f": {one.reason}" if one.reason else ""
    text = f"it was {one.outcome}{who}{failed}{why}"
    return msgspec.structs.replace(
        _story(evidence, one.outcome, text),
        since=one.at,
        until=one.at,
        version=one.version or evidence.lane_version,
        attempts=one.attempts,
        failures=one.failures,
    )


def _not_read(evidence: EventEvidence) -> FlowStory:
    ahead = evidence.offset - evidence.lane.cursor
    text = f"it waits in the backlog, {ahead:,} events before it" if ahead else "it is next"
    if why_not(evidence) is not None:
        text += "; the rule will filter it"
    return msgspec.structs.replace(_story(evidence, "waiting", text), ahead=ahead)


def _settled(evidence: EventEvidence, one: SettledRange) -> FlowStory:
    state, text = _outcome(evidence, one)
    return msgspec.structs.replace(
        _story(evidence, state, text), since=one.first_at, until=one.last_at, version=one.version
    )


def _outcome(evidence: EventEvidence, one: SettledRange) -> tuple[EventState, str]:
    counts, reason = one.counts, why_not(evidence)
    if reason is not None:
        return "filtered", f"the rule did not want it: {reason.text}"
    if not evidence.selected:
        return "filtered", "the replay was not asked for it"
    if evidence.published:
        return "delivered", "it was delivered: what the flow made of it is on the bus"
    if counts.delivered == counts.total:
        return "delivered", "it was delivered, like every event of its range"
    return _by_steps(evidence, one)


def _by_steps(evidence: EventEvidence, one: SettledRange) -> tuple[EventState, str]:
    """Tell delivered from filtered by a step, where the rule is not known to have said no."""
    counts, version = one.counts, evidence.version
    if version is None or evidence.event is None:
        gone = counts.filtered == counts.total
        return (
            ("filtered", "it was filtered")
            if gone
            else _delivered_or_filtered(one, "its rule is not known")
        )
    held = evidence.ordered and counts.parked > 0
    if not version.steps:
        return "delivered", "it was delivered: the rule wanted it, and no step could filter it"
    if not counts.delivered and not held:
        return "filtered", "a step filtered it"
    return _by_counts(evidence, one, held)


def _by_counts(evidence: EventEvidence, one: SettledRange, held: bool) -> tuple[EventState, str]:
    """Tell it by how many events of the range the rule wanted."""
    tally = evidence.tally
    if tally is None:
        return _delivered_or_filtered(one, "the others of its range cannot be told apart")
    by_step = one.counts.filtered - (one.end - one.start - tally.wanted - tally.unreadable)
    if by_step == 0 and not held:
        return "delivered", "it was delivered: no step filtered any event of its range"
    what = f"its rule wanted {tally.wanted:,} events of the range, {by_step:,} of them were"
    return _delivered_or_filtered(one, f"{what} filtered by a step")


def _delivered_or_filtered(one: SettledRange, why: str) -> tuple[EventState, str]:
    counts = one.counts
    done = f"{counts.delivered:,} delivered, {counts.filtered:,} filtered"
    return "delivered_or_filtered", f"it was delivered or filtered by a step ({done}; {why})"


def _story(evidence: EventEvidence, state: EventState, text: str) -> FlowStory:
    return FlowStory(flow=evidence.lane.flow, state=state, text=text, version=evidence.lane_version)


def _attempts_text(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
