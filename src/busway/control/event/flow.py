"""Each flow's part in the story of an event: gather what is kept, and say what it means."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain

import msgspec
from msgspec.structs import replace

from busway.bus.follow import match
from busway.clock import derived_id
from busway.control.control import Control
from busway.control.event.advice import advice
from busway.control.event.fate import Evidence, Tally, fate, rule_of
from busway.control.event.replay import Replayed, replayed
from busway.control.event.story import NULL, Deed, FlowStory, Landed
from busway.control.event.subject import Subject
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
from busway.lane import REPLAYS, Audit, Lane, Query, Resolved, Settled, Trouble, flow_of, is_replay
from busway.ports import Batch, Landing, Ledger, Log
from busway.rule import Pattern, RuleIndex

_MOST_COUNTED = 100_000
_READ_BYTES = 512 * 1024
_MOST_AUDITS = 500


class _Kept(msgspec.Struct, frozen=True):
    """What the ledger keeps about the subject, in all lanes."""

    records: Mapping[str, FlowRecord]
    statuses: Mapping[str, FlowStatus]
    troubles: Mapping[str, Trouble]
    resolved: Mapping[str, Resolved]
    replays: Mapping[str, Replayed]


async def flow_stories(control: Control, subject: Subject) -> Sequence[FlowStory]:
    """Return the part of each flow, and of each replay that passed the event, by name."""
    ledger = control.ledger
    place, id = subject.place, subject.head.id
    here = (place.partition, place.offset)
    troubles = await ledger.troubles(Query(event_id=id, limit=10_000))
    kept = _Kept(
        await flow_records(ledger),
        {one.name: one for one in await current_statuses(control)},
        {one.flow: one for one in troubles if (one.partition, one.offset) == here},
        {one.flow: one for one in await ledger.resolved(id) if (one.partition, one.offset) == here},
        await replayed(ledger),
    )
    lanes = [lane for lane in await ledger.lanes() if lane.partition == place.partition]
    stories = [
        await _flow_story(control, subject, lane, kept)
        for lane in lanes
        if not is_replay(lane.flow) or lane.start <= place.offset < lane.cursor
    ]
    where, runs = f"{place.partition}/{place.offset}", control.program() is not None
    return [replace(one, advice=advice(one, id, where, runs=runs)) for one in stories]


async def _flow_story(control: Control, subject: Subject, lane: Lane, kept: _Kept) -> FlowStory:
    name = flow_of(lane.flow)
    record = kept.records.get(name, FlowRecord("", "", "", ordered=False))
    evidence = await _evidence(control, subject, lane, kept)
    story = replace(
        fate(evidence),
        flow=name,
        replay=lane.flow.partition(REPLAYS)[2] or None,
        declared=record.declared,
        destination=evidence.version.destination if evidence.version else record.destination,
        deeds=await _deeds(control.ledger, lane.flow, subject),
    )
    if story.since and story.until and subject.came_at:  # not before it came, whatever its range
        story = replace(story, since=min(max(story.since, subject.came_at), story.until))
    if story.state == "delivered":
        replay = kept.replays.get(lane.flow)
        if replay is not None and replay.request.into is not None:
            return replace(story, landed=Landed(landing=Landing("file", replay.request.into)))
        return replace(story, landed=_landed(subject, evidence.version, record, lane))
    if story.state in ("waiting", "parked") and name in kept.statuses:
        status = kept.statuses[name]
        story = replace(story, held=await _held(control, status), held_state=status.state)
    if story.state == "parked" and story.due is None:
        story = replace(story, behind=await _behind(control.ledger, lane, subject))
    return story


async def _evidence(control: Control, subject: Subject, lane: Lane, kept: _Kept) -> Evidence:
    name, offset = flow_of(lane.flow), subject.place.offset
    record = kept.records.get(name)
    settled = await _settled(control.ledger, lane, offset)
    trouble, resolved = kept.troubles.get(lane.flow), kept.resolved.get(lane.flow)
    versions = await version_records(control.ledger, name)
    wanted = settled.version if settled else (record.version if record else "")
    found = Evidence(
        lane=lane,
        offset=offset,
        event=subject.members,
        settled=settled,
        trouble=trouble,
        resolved=resolved,
        version=versions.get(wanted),
        ordered=record is not None and record.ordered,
        published=lane.flow in subject.published,
    )
    if (replay := kept.replays.get(lane.flow)) is not None:
        found = replace(found, selected=replay.selects(subject, rule_of(found.version)))
    if fate(found).state != "delivered_or_filtered" or settled is None or is_replay(lane.flow):
        return found
    return replace(found, tally=await _tally(control.log, settled, found.version))


async def _settled(ledger: Ledger, lane: Lane, offset: int) -> Settled | None:
    if not lane.start <= offset < lane.cursor:
        return None
    ranges = await ledger.settled(lane.flow, lane.partition)
    return next((one for one in ranges if one.start <= offset < one.end), None)


async def _tally(log: Log, settled: Settled, version: VersionRecord | None) -> Tally | None:
    """Count what the rule wanted of a range, where that is there still, and not too much."""
    rule = rule_of(version)
    first, _ = await log.bounds(settled.partition)
    if rule is None or first > settled.start or settled.end - settled.start > _MOST_COUNTED:
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
    return Tally(wanted, unreadable)


def _count(rule: Pattern, batches: Sequence[Batch], bounds: tuple[int, int]) -> Tally:
    index = RuleIndex([rule], checked=True)
    first, end = bounds
    found = [match(index, batch) for batch in batches]

    def inside(one: int, batch: Batch) -> bool:
        return first <= batch.offset + one < end

    wanted = sum(inside(i, one.batch) for one in found for i in one.wanted.get(0, ()))
    return Tally(wanted, sum(inside(i, one.batch) for one in found for i in one.unreadable))


def _landed(
    subject: Subject, version: VersionRecord | None, record: FlowRecord, lane: Lane
) -> Landed | None:
    landing = None if version is None else version.landing
    if version is None or landing is None:
        return None
    known_as = record.known_as or flow_of(lane.flow)
    identity = f"{subject.head.source}\0{subject.head.id}"
    key = derived_id(known_as, identity, 0) if landing.kind == "request" else None
    row = None if version.steps else _row(subject, landing.key)
    return Landed(landing=landing, row=row, idempotency_key=key)


def _row(subject: Subject, key: Sequence[str]) -> dict[str, object] | None:
    """Return the key of the row that a flow without steps makes: it is in the event's data."""
    if subject.raw is None or not key:
        return None
    try:
        data = Event.from_json(subject.raw).data
    except EventError:
        return None
    return {name: data.get(name) for name in key} if isinstance(data, dict) else None


async def _held(control: Control, status: FlowStatus) -> str:
    """Return what keeps a flow from delivering now, or slows it down."""
    if status.state == "running" and status.state_reason and status.until:
        return f"{status.state_reason}, until {status.until:%F %T} UTC"
    if status.state != "running":
        until = f" until {status.until:%F %T} UTC" if status.until else ""
        reason = f": {status.state_reason}" if status.state_reason else ""
        return f"{status.state}{await _down_since(control, status)}{until}{reason}"
    if status.throttles:
        return "; ".join(map(str, status.throttles))
    program = control.program()
    flows = program.flows if program is not None else ()
    rate = next((flow.rate for flow in flows if flow.name == status.name), None)
    return f"it delivers at most {rate.per_s:g} events a second" if rate is not None else ""


async def _down_since(control: Control, status: FlowStatus) -> str:
    """Return since when a destination takes nothing, and when it is tried next."""
    breaker = (await breaker_records(control.ledger)).get(status.destination)
    if status.state not in ("down", "gone") or breaker is None:
        return ""
    again = breaker.probe_at if status.state == "down" else None
    return f" since {breaker.since:%F %T} UTC" + (
        "" if again is None else f", tried again at {again:%T}"
    )


async def _behind(ledger: Ledger, lane: Lane, subject: Subject) -> str | None:
    """Return the id of the parked event of the same key that is tried first."""
    query = Query(
        state="parked",
        flow=lane.flow,
        partition=lane.partition,
        event_key=subject.head.key,
        limit=1,
    )
    found = [one for one in await ledger.troubles(query) if one.offset < subject.place.offset]
    return found[0].event_id if found else None


async def _deeds(ledger: Ledger, flow: str, subject: Subject) -> tuple[Deed, ...]:
    """Return what people did about the event in a flow, oldest first."""
    place = f"{flow}/{subject.place.partition}/{subject.place.offset}"
    single = await ledger.audits(f"dead/{place}")
    many = await ledger.audits(f"dead/{flow}", None, _MOST_AUDITS)
    found = {one.seq: one for one in chain(single, many) if _is_about(one, place)}
    return tuple(
        Deed(one.at, one.who, one.action, one.reason, one.before or NULL, one.after or NULL)
        for _, one in sorted(found.items())
    )


def _is_about(audit: Audit, place: str) -> bool:
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
