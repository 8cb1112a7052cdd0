"""Determine the state of an event in one lane from the records of the ledger. Pure.

The ledger has no row for a single delivered event. Its state follows from the range that it was
settled in: the counts of the range, and the rule and steps of the code version that settled it.
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
    """How many events of a settled range matched the flow's rule, and how many were unreadable."""

    wanted: int
    unreadable: int


class EventEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The records of an event in a lane; ``event`` is its decoded content, if it still exists.

    ``settled`` is the range in which it was settled, ``version`` the code version that settled it,
    ``tally`` the counts of that range, ``published`` whether an event that the flow made of it is
    on the bus, ``selected`` whether a replay selects it.
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
    """Return the rule of a code version, ``None`` if it is unknown or no longer valid."""
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
    """Return the state of an event in a lane, and the evidence for it."""
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


def _resolved(evidence: EventEvidence, resolved: ResolvedEvent) -> FlowStory:
    failed = f", after {len(resolved.failures)} failed" if resolved.failures else ""
    actor = f" by {resolved.actor}" if resolved.actor else ""
    reason = f": {resolved.reason}" if resolved.reason else ""
    text = f"it was {resolved.outcome}{actor}{failed}{reason}"
    return msgspec.structs.replace(
        _story(evidence, resolved.outcome, text),
        since=resolved.at,
        until=resolved.at,
        version=resolved.version or evidence.lane_version,
        attempts=resolved.attempts,
        failures=resolved.failures,
    )


def _not_read(evidence: EventEvidence) -> FlowStory:
    ahead = evidence.offset - evidence.lane.cursor
    text = f"it waits in the backlog, {ahead:,} events before it" if ahead else "it is next"
    if why_not(evidence) is not None:
        text += "; the rule will filter it"
    return msgspec.structs.replace(_story(evidence, "waiting", text), ahead=ahead)


def _settled(evidence: EventEvidence, settled: SettledRange) -> FlowStory:
    state, text = _outcome(evidence, settled)
    return msgspec.structs.replace(
        _story(evidence, state, text),
        since=settled.first_at,
        until=settled.last_at,
        version=settled.version,
    )


def _outcome(evidence: EventEvidence, settled: SettledRange) -> tuple[EventState, str]:
    counts, reason = settled.counts, why_not(evidence)
    if reason is not None:
        return "filtered", f"the rule did not want it: {reason.text}"
    if not evidence.selected:
        return "filtered", "the replay was not asked for it"
    if evidence.published:
        return "delivered", "it was delivered: what the flow made of it is on the bus"
    if counts.delivered == counts.total:
        return "delivered", "it was delivered, like every event of its range"
    return _by_steps(evidence, settled)


def _by_steps(evidence: EventEvidence, settled: SettledRange) -> tuple[EventState, str]:
    """Distinguish delivered events from those that a step filtered, if the rule did not."""
    counts, version = settled.counts, evidence.version
    if version is None or evidence.event is None:
        gone = counts.filtered == counts.total
        return (
            ("filtered", "it was filtered")
            if gone
            else _delivered_or_filtered(settled, "its rule is not known")
        )
    held = evidence.ordered and counts.parked > 0
    if not version.steps:
        return "delivered", "it was delivered: the rule wanted it, and no step could filter it"
    if not counts.delivered and not held:
        return "filtered", "a step filtered it"
    return _by_counts(evidence, settled, held)


def _by_counts(
    evidence: EventEvidence, settled: SettledRange, held: bool
) -> tuple[EventState, str]:
    """Distinguish them by how many events of the range matched the rule."""
    tally = evidence.tally
    if tally is None:
        return _delivered_or_filtered(settled, "the others of its range cannot be told apart")
    by_step = settled.counts.filtered - (
        settled.end - settled.start - tally.wanted - tally.unreadable
    )
    if by_step == 0 and not held:
        return "delivered", "it was delivered: no step filtered any event of its range"
    text = f"its rule wanted {tally.wanted:,} events of the range, {by_step:,} of them were"
    return _delivered_or_filtered(settled, f"{text} filtered by a step")


def _delivered_or_filtered(settled: SettledRange, why: str) -> tuple[EventState, str]:
    counts = settled.counts
    done = f"{counts.delivered:,} delivered, {counts.filtered:,} filtered"
    return "delivered_or_filtered", f"it was delivered or filtered by a step ({done}; {why})"


def _story(evidence: EventEvidence, state: EventState, text: str) -> FlowStory:
    return FlowStory(flow=evidence.lane.flow, state=state, text=text, version=evidence.lane_version)


def _attempts_text(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"
