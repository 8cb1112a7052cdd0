"""Each flow's part in the story of an event: gather what is kept, and say what it means."""

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
    """What the ledger keeps about the subject, in all lanes."""

    records: Mapping[str, FlowRecord]
    statuses: Mapping[str, FlowStatus]
    failed_events: Mapping[str, FailedEvent]
    resolved: Mapping[str, ResolvedEvent]
    replays: Mapping[str, ReplayCriteria]


async def flow_stories(control: ControlContext, subject: StorySubject) -> Sequence[FlowStory]:
    """Return the part of each flow, and of each replay that passed the event, by name."""
    ledger = control.ledger
    place, id = subject.position, subject.head.id
    here = (place.partition, place.offset)
    troubles = await ledger.failed_events(FailedEventQuery(event_id=id, limit=10_000))
    kept = _StoredRecords(
        await flow_records(ledger),
        {one.name: one for one in await current_statuses(control)},
        {one.flow: one for one in troubles if (one.partition, one.offset) == here},
        {
            one.flow: one
            for one in await ledger.resolved_events(id)
            if (one.partition, one.offset) == here
        },
        await replay_criteria(ledger),
    )
    lanes = [lane for lane in await ledger.lanes() if lane.partition == place.partition]
    stories = [
        await _flow_story(control, subject, lane, kept)
        for lane in lanes
        if not is_replay_lane(lane.flow) or lane.start <= place.offset < lane.cursor
    ]
    where, runs = f"{place.partition}/{place.offset}", control.program() is not None
    return [replace(one, advice=advice(one, id, where, runs=runs)) for one in stories]


async def _flow_story(
    control: ControlContext, subject: StorySubject, lane: Lane, kept: _StoredRecords
) -> FlowStory:
    name = flow_of(lane.flow)
    record = kept.records.get(name, FlowRecord("", "", "", ordered=False))
    evidence = await _gather_evidence(control, subject, lane, kept)
    story = replace(
        disposition(evidence),
        flow=name,
        replay=lane.flow.partition(REPLAY_SEPARATOR)[2] or None,
        declared=record.declared,
        destination=evidence.version.destination if evidence.version else record.destination,
        operator_actions=await _operator_actions(control.ledger, lane.flow, subject),
    )
    if (
        story.since and story.until and subject.appended_at
    ):  # not before it came, whatever its range
        story = replace(story, since=min(max(story.since, subject.appended_at), story.until))
    if story.state == "delivered":
        replay = kept.replays.get(lane.flow)
        if replay is not None and replay.request.into is not None:
            return replace(
                story, result=StoredResult(location=ResultLocation("file", replay.request.into))
            )
        return replace(story, result=_event_result(subject, evidence.version, record, lane))
    if story.state in ("waiting", "parked") and name in kept.statuses:
        status = kept.statuses[name]
        story = replace(story, held=await _hold_text(control, status), held_state=status.state)
    if story.state == "parked" and story.due is None:
        story = replace(story, behind=await _blocking_event(control.ledger, lane, subject))
    return story


async def _gather_evidence(
    control: ControlContext, subject: StorySubject, lane: Lane, kept: _StoredRecords
) -> EventEvidence:
    name, offset = flow_of(lane.flow), subject.position.offset
    record = kept.records.get(name)
    settled = await _settled_range(control.ledger, lane, offset)
    trouble, resolved = kept.failed_events.get(lane.flow), kept.resolved.get(lane.flow)
    versions = await version_records(control.ledger, name)
    wanted = settled.version if settled else (record.version if record else "")
    found = EventEvidence(
        lane=lane,
        offset=offset,
        event=subject.members,
        settled=settled,
        failed_event=trouble,
        resolved=resolved,
        version=versions.get(wanted),
        ordered=record is not None and record.ordered,
        published=lane.flow in subject.published,
    )
    if (replay := kept.replays.get(lane.flow)) is not None:
        found = replace(found, selected=replay.selects(subject, rule_of(found.version)))
    if (
        disposition(found).state != "delivered_or_filtered"
        or settled is None
        or is_replay_lane(lane.flow)
    ):
        return found
    return replace(found, tally=await _tally(control.log, settled, found.version))


async def _settled_range(ledger: Ledger, lane: Lane, offset: int) -> SettledRange | None:
    if not lane.start <= offset < lane.cursor:
        return None
    ranges = await ledger.settled_ranges(lane.flow, lane.partition)
    return next((one for one in ranges if one.start <= offset < one.end), None)


async def _tally(
    log: Log, settled: SettledRange, version: VersionRecord | None
) -> RangeTally | None:
    """Count what the rule wanted of a range, where that is there still, and not too much."""
    rule = rule_of(version)
    first, _ = await log.bounds(settled.partition)
    if rule is None or first > settled.start or settled.end - settled.start > _MAX_COUNTED:
        return None
    wanted = unreadable = 0
    at = settled.start
    while at < settled.end:
        batches = await log.read(settled.partition, at, _READ_BYTES)
        if not batches:
            return None
        found = await asyncio.to_thread(_count, rule, batches, (at, settled.end))
        wanted, unreadable = wanted + found.wanted, unreadable + found.unreadable
        at = batches[-1].end
    return RangeTally(wanted, unreadable)


def _count(rule: Pattern, batches: Sequence[LogBatch], bounds: tuple[int, int]) -> RangeTally:
    index = RuleIndex([rule], checked=True)
    first, end = bounds
    found = [match_batch(index, batch) for batch in batches]

    def inside(one: int, batch: LogBatch) -> bool:
        return first <= batch.offset + one < end

    wanted = sum(inside(i, one.batch) for one in found for i in one.wanted.get(0, ()))
    return RangeTally(wanted, sum(inside(i, one.batch) for one in found for i in one.unreadable))


def _event_result(
    subject: StorySubject, version: VersionRecord | None, record: FlowRecord, lane: Lane
) -> StoredResult | None:
    landing = None if version is None else version.landing
    if version is None or landing is None:
        return None
    known_as = record.known_as or flow_of(lane.flow)
    identity = f"{subject.head.source}\0{subject.head.id}"
    key = derived_id(known_as, identity, 0) if landing.kind == "request" else None
    row = None if version.steps else _row_key(subject, landing.key)
    return StoredResult(location=landing, row=row, idempotency_key=key)


def _row_key(subject: StorySubject, key: Sequence[str]) -> dict[str, object] | None:
    """Return the key of the row that a flow without steps makes: it is in the event's data."""
    if subject.raw is None or not key:
        return None
    try:
        data = Event.from_json(subject.raw).data
    except EventError:
        return None
    return {name: data.get(name) for name in key} if isinstance(data, dict) else None


async def _hold_text(control: ControlContext, status: FlowStatus) -> str:
    """Return what keeps a flow from delivering now, or slows it down."""
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
    """Return since when a destination takes nothing, and when it is tried next."""
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
    found = [
        one for one in await ledger.failed_events(query) if one.offset < subject.position.offset
    ]
    return found[0].event_id if found else None


async def _operator_actions(
    ledger: Ledger, flow: str, subject: StorySubject
) -> tuple[OperatorAction, ...]:
    """Return what people did about the event in a flow, oldest first."""
    place = f"{flow}/{subject.position.partition}/{subject.position.offset}"
    single = await ledger.audit_records(f"dead/{place}")
    many = await ledger.audit_records(f"dead/{flow}", None, _MAX_AUDITS)
    found = {one.seq: one for one in chain(single, many) if _is_about(one, place)}
    return tuple(
        OperatorAction(
            one.at, one.actor, one.action, one.reason, one.before or NULL, one.after or NULL
        )
        for _, one in sorted(found.items())
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
