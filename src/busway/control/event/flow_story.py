"""Assemble the story of an event in each flow, from the records of the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
from msgspec.structs import replace

from busway.audit_record import AuditRecord
from busway.bus.reader import match_batch
from busway.clock import derived_id
from busway.control.context import ControlContext
from busway.control.event.advice import advice
from busway.control.event.disposition import (
    EventEvidence,
    RangeTally,
    disposition,
    rule_of,
)
from busway.control.event.replay import ReplayCriteria, replay_criteria
from busway.control.event.story_record import (
    NULL,
    FlowStory,
    OperatorAction,
    StoredResult,
)
from busway.control.event.subject import StorySubject
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.record import (
    FlowRecord,
    VersionRecord,
    breaker_records,
    flow_records,
    version_records,
)
from busway.errors import EventError
from busway.event import Event
from busway.failed_event import FailedEvent, FailedEventQuery, ResolvedEvent
from busway.lane import REPLAY_SEPARATOR, Lane, flow_of, is_replay_lane
from busway.ports import Ledger, Log, LogBatch, ResultLocation
from busway.rule import Pattern, RuleIndex
from busway.settlement import SettledRange

_MAX_COUNTED = 100_000
_READ_BYTES = 512 * 1024
_MAX_AUDITS = 500


class _StoredRecords(msgspec.Struct, frozen=True):
    """The records about the subject, of all lanes."""

    records: Mapping[str, FlowRecord]
    statuses: Mapping[str, FlowStatus]
    failed_events: Mapping[str, FailedEvent]
    resolved: Mapping[str, ResolvedEvent]
    replays: Mapping[str, ReplayCriteria]


async def flow_stories(control: ControlContext, subject: StorySubject) -> Sequence[FlowStory]:
    """Return the story in each flow, and in each replay that read the event, by name."""
    ledger = control.ledger
    position, id = subject.position, subject.head.id
    here = (position.partition, position.offset)
    failed_events = await ledger.failed_events(FailedEventQuery(event_id=id, limit=10_000))
    stored = _StoredRecords(
        await flow_records(ledger),
        {status.name: status for status in await current_statuses(control)},
        {event.flow: event for event in failed_events if (event.partition, event.offset) == here},
        {
            event.flow: event
            for event in await ledger.resolved_events(id)
            if (event.partition, event.offset) == here
        },
        await replay_criteria(ledger),
    )
    lanes = [lane for lane in await ledger.lanes() if lane.partition == position.partition]
    stories = [
        await _flow_story(control, subject, lane, stored)
        for lane in lanes
        if not is_replay_lane(lane.flow) or lane.start <= position.offset < lane.cursor
    ]
    place, runs = f"{position.partition}/{position.offset}", control.program() is not None
    return [replace(story, advice=advice(story, id, place, runs=runs)) for story in stories]


async def _flow_story(
    control: ControlContext, subject: StorySubject, lane: Lane, stored: _StoredRecords
) -> FlowStory:
    name = flow_of(lane.flow)
    record = stored.records.get(name, FlowRecord("", "", "", ordered=False))
    evidence = await _gather_evidence(control, subject, lane, stored)
    story = replace(
        disposition(evidence),
        flow=name,
        replay=lane.flow.partition(REPLAY_SEPARATOR)[2] or None,
        declared=record.declared,
        destination=evidence.version.destination if evidence.version else record.destination,
        operator_actions=await _operator_actions(control.ledger, lane.flow, subject),
    )
    if story.since and story.until and subject.appended_at:  # never before the event arrived
        story = replace(story, since=min(max(story.since, subject.appended_at), story.until))
    if story.state == "delivered":
        replay = stored.replays.get(lane.flow)
        if replay is not None and replay.request.into is not None:
            return replace(
                story, result=StoredResult(location=ResultLocation("file", replay.request.into))
            )
        return replace(story, result=_event_result(subject, evidence.version, record, lane))
    if story.state in ("waiting", "parked") and name in stored.statuses:
        status = stored.statuses[name]
        story = replace(story, held=await _hold_text(control, status), held_state=status.state)
    if story.state == "parked" and story.due is None:
        story = replace(story, behind=await _blocking_event(control.ledger, lane, subject))
    return story


async def _gather_evidence(
    control: ControlContext, subject: StorySubject, lane: Lane, stored: _StoredRecords
) -> EventEvidence:
    name, offset = flow_of(lane.flow), subject.position.offset
    record = stored.records.get(name)
    settled = await _settled_range(control.ledger, lane, offset)
    failed_event, resolved = stored.failed_events.get(lane.flow), stored.resolved.get(lane.flow)
    versions = await version_records(control.ledger, name)
    version = settled.version if settled else (record.version if record else "")
    evidence = EventEvidence(
        lane=lane,
        offset=offset,
        event=subject.members,
        settled=settled,
        failed_event=failed_event,
        resolved=resolved,
        version=versions.get(version),
        ordered=record is not None and record.ordered,
        published=lane.flow in subject.published,
    )
    if (replay := stored.replays.get(lane.flow)) is not None:
        evidence = replace(evidence, selected=replay.selects(subject, rule_of(evidence.version)))
    if (
        disposition(evidence).state != "delivered_or_filtered"
        or settled is None
        or is_replay_lane(lane.flow)
    ):
        return evidence
    return replace(evidence, tally=await _tally(control.log, settled, evidence.version))


async def _settled_range(ledger: Ledger, lane: Lane, offset: int) -> SettledRange | None:
    if not lane.start <= offset < lane.cursor:
        return None
    ranges = await ledger.settled_ranges(lane.flow, lane.partition)
    return next((settled for settled in ranges if settled.start <= offset < settled.end), None)


async def _tally(
    log: Log, settled: SettledRange, version: VersionRecord | None
) -> RangeTally | None:
    """Count the events of a range that match the rule, if it is in the log and not too large."""
    rule = rule_of(version)
    first, _ = await log.bounds(settled.partition)
    if rule is None or first > settled.start or settled.end - settled.start > _MAX_COUNTED:
        return None
    wanted = unreadable = 0
    position = settled.start
    while position < settled.end:
        batches = await log.read(settled.partition, position, _READ_BYTES)
        if not batches:
            return None
        counted = await asyncio.to_thread(_count, rule, batches, (position, settled.end))
        wanted, unreadable = wanted + counted.wanted, unreadable + counted.unreadable
        position = batches[-1].end
    return RangeTally(wanted, unreadable)


def _count(rule: Pattern, batches: Sequence[LogBatch], bounds: tuple[int, int]) -> RangeTally:
    index = RuleIndex([rule], checked=True)
    first, end = bounds
    matched_batches = [match_batch(index, batch) for batch in batches]

    def inside(i: int, batch: LogBatch) -> bool:
        return first <= batch.offset + i < end

    wanted = sum(
        inside(i, matched.batch) for matched in matched_batches for i in matched.wanted.get(0, ())
    )
    return RangeTally(
        wanted,
        sum(inside(i, matched.batch) for matched in matched_batches for i in matched.unreadable),
    )


def _event_result(
    subject: StorySubject, version: VersionRecord | None, record: FlowRecord, lane: Lane
) -> StoredResult | None:
    location = None if version is None else version.landing
    if version is None or location is None:
        return None
    known_as = record.known_as or flow_of(lane.flow)
    identity = f"{subject.head.source}\0{subject.head.id}"
    key = derived_id(known_as, identity, 0) if location.kind == "request" else None
    row = None if version.steps else _row_key(subject, location.key)
    return StoredResult(location=location, row=row, idempotency_key=key)


def _row_key(subject: StorySubject, key: Sequence[str]) -> dict[str, object] | None:
    """Return the key of the row that a flow without steps writes, from the event's data."""
    if subject.raw is None or not key:
        return None
    try:
        data = Event.from_json(subject.raw).data
    except EventError:
        return None
    return {name: data.get(name) for name in key} if isinstance(data, dict) else None


async def _hold_text(control: ControlContext, status: FlowStatus) -> str:
    """Return what stops a flow from delivering now, or slows it down."""
    if status.state == "running" and status.state_reason and status.until:
        return f"{status.state_reason}, until {status.until:%F %T} UTC"
    if status.state != "running":
        until = f" until {status.until:%F %T} UTC" if status.until else ""
        reason = f": {status.state_reason}" if status.state_reason else ""
        return f"{status.state}{await _down_text(control, status)}{until}{reason}"
    if status.throttles:
        return "; ".join(map(str, status.throttles))
    program = control.program()
    flows = program.flows if program is not None else ()
    rate = next((flow.rate for flow in flows if flow.name == status.name), None)
    return f"it delivers at most {rate.per_s:g} events a second" if rate is not None else ""


async def _down_text(control: ControlContext, status: FlowStatus) -> str:
    """Return since when a destination is down, and when it is probed next."""
    breaker = (await breaker_records(control.ledger)).get(status.destination)
    if status.state not in ("down", "gone") or breaker is None:
        return ""
    again = breaker.probe_at if status.state == "down" else None
    return f" since {breaker.since:%F %T} UTC" + (
        "" if again is None else f", tried again at {again:%T}"
    )


async def _blocking_event(ledger: Ledger, lane: Lane, subject: StorySubject) -> str | None:
    """Return the id of the parked event of the same key that is tried first."""
    query = FailedEventQuery(
        state="parked",
        flow=lane.flow,
        partition=lane.partition,
        event_key=subject.head.key,
        limit=1,
    )
    earlier = [
        event
        for event in await ledger.failed_events(query)
        if event.offset < subject.position.offset
    ]
    return earlier[0].event_id if earlier else None


async def _operator_actions(
    ledger: Ledger, flow: str, subject: StorySubject
) -> tuple[OperatorAction, ...]:
    """Return the operator actions on the event in a flow, oldest first."""
    place = f"{flow}/{subject.position.partition}/{subject.position.offset}"
    single = await ledger.audit_records(f"dead/{place}")
    many = await ledger.audit_records(f"dead/{flow}", None, _MAX_AUDITS)
    by_seq = {audit.seq: audit for audit in chain(single, many) if _is_about(audit, place)}
    return tuple(
        OperatorAction(
            audit.at,
            audit.actor,
            audit.action,
            audit.reason,
            audit.before or NULL,
            audit.after or NULL,
        )
        for _, audit in sorted(by_seq.items())
    )


def _is_about(audit: AuditRecord, place: str) -> bool:
    if audit.target == f"dead/{place}":
        return True
    return audit.before is not None and place in _places(audit.before)


def _places(image: msgspec.Raw) -> Sequence[str]:
    try:
        return msgspec.json.decode(image, type=_Places).places
    except msgspec.MsgspecError:
        return ()


class _Places(msgspec.Struct):
    places: tuple[str, ...] = ()
