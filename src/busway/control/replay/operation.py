"""Start, show, stop, resume and forget replays.

A replay is a job (:mod:`busway.control.job`) with lanes of its own, so its progress is what the
ledger keeps of lanes: cursors, counts, failed events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Raw

from busway.audit_record import AuditRecord
from busway.clock import new_id
from busway.control import job as jobs
from busway.control.context import ControlContext
from busway.control.field import argument, option
from busway.control.job import Job, JobState
from busway.control.pattern import parse_pattern
from busway.control.replay.counter import (
    SKIPPED_COUNT,
    failed_again_count,
    failed_again_key,
    skipped_count,
)
from busway.control.replay.file_name import file_name
from busway.delivery.rate import Rate
from busway.delivery.replay import (
    ReplayRange,
    ReplaySelection,
    SelectableRange,
    replay_lane_name,
    replay_range,
)
from busway.errors import BuswayError, Conflict, NotFound
from busway.flow import Flow
from busway.lane import Counts, Lane, LaneId, is_replay_lane
from busway.named_value import ValueChange
from busway.ports import Ledger


class ReplayRequest(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A replay to start: a selection of events of a flow.

    ``into`` is the name of a file of JSON lines in the server's directory for replays (``None``:
    the flow's sink). ``rate`` is like ``"100/s"`` (default: the flow's own rate). ``force``
    delivers again what is already delivered.
    """

    flow: Annotated[str, argument("The flow.")]
    select: Annotated[ReplaySelection, option("Which events.", shown=False)] = ReplaySelection()
    into: Annotated[
        str | None, option("The name of a file on the server, instead of the sink.")
    ] = None
    rate: Annotated[str | None, option("Like 100/s.")] = None
    force: Annotated[bool, option("Also events that are already delivered.")] = False


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a replay.

    ``done`` of ``total`` events of the log have been read; ``remaining_s`` is how long the rest
    takes at the recent speed. ``done`` is always the sum of ``delivered``, ``skipped`` (already
    delivered), ``filtered`` (not selected, or filtered by the rule or a step), ``parked``, ``dead``
    and ``discarded``. ``failed_again`` of the discarded events were dead letters of the flow
    before; they still are, with the new attempts. ``note`` says why the replay does not continue,
    or why it delivered nothing.
    """

    id: str
    flow: str
    state: JobState
    actor: str
    created_at: datetime
    changed_at: datetime
    request: ReplayRequest
    total: int
    done: int
    delivered: int = 0
    skipped: int = 0
    filtered: int = 0
    parked: int = 0
    dead: int = 0
    discarded: int = 0
    failed_again: int = 0
    remaining_s: float | None = None
    note: str = ""


class ReplayProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ranges that a replay reads in each partition, and its recent speed."""

    spans: tuple[ReplayRange, ...]
    per_s: float = 0.0


async def begin_replay(control: ControlContext, request: ReplayRequest, actor: str) -> Replay:
    """Start a replay; the ranges that it reads are fixed from now on.

    Raises :class:`BuswayError` for an invalid request, :class:`NotFound` for an unknown flow.
    """
    requested_flow(control, request)
    spans = await requested_spans(control, request)
    if not spans:
        raise BuswayError(
            "there is nothing to replay: no event that the flow has passed is in the log there;"
            " give other times or offsets (what is still in its backlog comes anyway)"
        )
    id, at = await _new_id(control.ledger), control.clock.now()
    job = Job(
        id=id,
        kind="replay",
        flow=request.flow,
        actor=actor,
        created_at=at,
        changed_at=at,
        rate=request.rate,
        total=sum(span.size for span in spans),
        spec=Raw(msgspec.json.encode(request)),
        progress=Raw(msgspec.json.encode(ReplayProgress(spans))),
    )
    await jobs.create_job(control.ledger, job)
    await open_replay_lanes(control.ledger, job)
    control.wake()
    return await replay(control, id)


async def open_replay_lanes(ledger: Ledger, job: Job) -> Sequence[Lane]:
    """Return the lanes of a replay, and create those that do not exist; they retain the log."""
    name, spans = replay_lane_name(job.flow, job.id), progress_of(job).spans
    return [await ledger.open_lane(name, span.partition, span.start) for span in spans]


def requested_flow(control: ControlContext, request: ReplayRequest) -> Flow:
    """Validate a request and return its flow."""
    _check_request(request)
    program = control.program()
    if program is None:
        raise Conflict("no flows run here; start the server (`busway run`) and replay there")
    for flow in program.flows:
        if flow.name == request.flow:
            return flow
    raise NotFound.named("flow", request.flow, [declared.name for declared in program.flows])


def _check_request(request: ReplayRequest) -> None:
    selection = request.select
    if request.rate is not None:
        Rate.parse(request.rate)
    if selection.when is not None:
        parse_pattern(selection.when)
    for at in (selection.since, selection.until):
        if at is not None and at.tzinfo is None:
            raise BuswayError(f"{at} has no time zone; write it like 2026-03-01T12:00:00Z")
    if selection.since and selection.until and selection.since >= selection.until:
        raise BuswayError(
            f"from {selection.since} to {selection.until} is an empty period; give an earlier start"
        )
    for offsets in selection.offsets:
        if (
            offsets.partition < 0
            or offsets.start < 0
            or (offsets.end is not None and offsets.end <= offsets.start)
        ):
            end = "" if offsets.end is None else offsets.end
            raise BuswayError(
                f"{offsets.partition}:{offsets.start}-{end} is not a valid range of offsets;"
                " give PARTITION:FROM-TO, like 0:100-200"
            )
    if request.into is not None:
        file_name(request.into)


async def requested_spans(
    control: ControlContext, request: ReplayRequest
) -> tuple[ReplayRange, ...]:
    """Return the ranges that a replay that begins now reads in each partition."""
    lanes = [lane for lane in await control.ledger.lanes() if lane.flow == request.flow]
    selection = request.select
    spans = [
        replay_range(selection, await _selection_reach(control, selection, lane)) for lane in lanes
    ]
    return tuple(span for span in spans if span is not None)


async def _selection_reach(
    control: ControlContext, selection: ReplaySelection, lane: Lane
) -> SelectableRange:
    log, partition = control.log, lane.partition
    since, until = selection.since, selection.until
    return SelectableRange(
        partition,
        (await log.bounds(partition)).start,
        lane.cursor,
        None if since is None else await log.offset_at(partition, since),
        None if until is None else await log.offset_at(partition, until),
    )


async def _new_id(ledger: Ledger) -> str:
    while True:
        id = f"r{new_id()[-8:]}"
        if not await ledger.get_values(jobs.JOB + id):
            return id


async def replays(control: ControlContext) -> Sequence[Replay]:
    """Return all replays, the latest first."""
    replay_jobs = await jobs.jobs(control.ledger, "replay")
    lanes = lanes_by_name(await control.ledger.lanes()) if replay_jobs else {}
    return [await _replay_status(control.ledger, job, lanes) for job in replay_jobs]


async def unfinished_replays(control: ControlContext) -> Sequence[Replay]:
    """Return the replays that are running or have failed events, the latest first.

    The others, of which there may be many, are not queried.
    """
    replay_jobs = await jobs.jobs(control.ledger, "replay")
    all_lanes = await control.ledger.lanes() if replay_jobs else ()
    lanes = lanes_by_name(all_lanes)
    failed = {lane.flow for lane in all_lanes if lane.counts.parked + lane.counts.dead}
    return [
        await _replay_status(control.ledger, job, lanes)
        for job in replay_jobs
        if job.state == "running" or replay_lane_name(job.flow, job.id) in failed
    ]


async def replay(control: ControlContext, id: str) -> Replay:
    """Return a replay. Raises :class:`NotFound` if there is none."""
    job = await _replay_job(control.ledger, id)
    return await _replay_status(control.ledger, job, lanes_by_name(await control.ledger.lanes()))


async def stop_replay(control: ControlContext, id: str, actor: str) -> Replay:
    """Stop a replay at its current position."""
    return await _set_state(control, id, "stopped", actor)


async def resume_replay(control: ControlContext, id: str, actor: str) -> Replay:
    """Resume a stopped or failed replay."""
    return await _set_state(control, id, "running", actor)


async def forget_replay(control: ControlContext, id: str, actor: str) -> None:
    """Delete a replay that is not running, with its lanes and counts.

    Raises :class:`Conflict` if it is running or has parked events or dead letters.
    """
    job = await _replay_job(control.ledger, id)
    status = await replay(control, id)
    if job.state == "running":
        raise Conflict(f"replay {id} is running; stop it first (`busway replay stop {id}`)")
    name = replay_lane_name(job.flow, id)
    if status.parked or status.dead:
        raise Conflict(
            f"replay {id} has {status.parked} parked events and {status.dead} dead letters; redrive"
            f" or discard them first (`busway dead list --flow {name}`)"
        )
    names = [
        jobs.JOB + id,
        failed_again_key(id),
        *await control.ledger.get_values(f"{SKIPPED_COUNT}{id}/"),
    ]
    before = Raw(msgspec.json.encode(status))
    audit = AuditRecord(control.clock.now(), actor, "replay forget", f"job/{id}", before)
    await control.ledger.remove_flow(name)
    await control.ledger.change_values([ValueChange(name, None) for name in names], [audit])
    control.wake()


async def _set_state(control: ControlContext, id: str, state: JobState, actor: str) -> Replay:
    await _replay_job(control.ledger, id)
    await jobs.set_job_state(control.ledger, id, state, actor, control.clock.now())
    control.wake()
    return await replay(control, id)


async def _replay_job(ledger: Ledger, id: str) -> Job:
    for job in await jobs.jobs(ledger, "replay"):
        if job.id == id:
            return job
    raise NotFound(f"there is no replay {id!r}; `busway replay list` shows them")


def request_of(job: Job) -> ReplayRequest:
    """Return the request of a replay."""
    return msgspec.json.decode(job.spec, type=ReplayRequest)


def progress_of(job: Job) -> ReplayProgress:
    """Return the progress of a replay."""
    return msgspec.json.decode(job.progress, type=ReplayProgress)


def lanes_by_name(lanes: Sequence[Lane]) -> Mapping[str, Sequence[Lane]]:
    """Return the lanes of replays, by their name."""
    by_name: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in lanes:
        if is_replay_lane(lane.flow):
            by_name[lane.flow].append(lane)
    return by_name


def passed_events(lanes: Sequence[Lane]) -> int:
    """Return how many events the lanes have read."""
    return sum(lane.cursor - lane.start for lane in lanes)


def is_finished(job: Job, lanes: Sequence[Lane]) -> bool:
    """Return whether all lanes of a replay are at their ends."""
    cursors = {lane.partition: lane.cursor for lane in lanes}
    return all(cursors.get(span.partition, -1) >= span.end for span in progress_of(job).spans)


async def replay_ends(ledger: Ledger) -> Mapping[LaneId, int]:
    """Return the end of each lane of each replay."""
    return {
        LaneId(replay_lane_name(job.flow, job.id), span.partition): span.end
        for job in await jobs.jobs(ledger, "replay")
        for span in progress_of(job).spans
    }


async def retaining_lanes(ledger: Ledger, lanes: Sequence[Lane]) -> Sequence[Lane]:
    """Return the lanes that retain the log: all but those of replays that are at their end."""
    if not any(is_replay_lane(lane.flow) for lane in lanes):
        return lanes
    ends = await replay_ends(ledger)
    return [
        lane
        for lane in lanes
        if not is_replay_lane(lane.flow) or lane.cursor < ends.get(lane.id, -1)
    ]


async def _replay_status(ledger: Ledger, job: Job, lanes: Mapping[str, Sequence[Lane]]) -> Replay:
    own = lanes.get(replay_lane_name(job.flow, job.id), ())
    counts = sum((lane.counts for lane in own), Counts())
    skipped, done, total = await skipped_count(ledger, job.id), passed_events(own), job.total or 0
    per_s, request = progress_of(job).per_s, request_of(job)
    note = _nothing_replayed_note(job, counts, skipped)
    return Replay(
        id=job.id,
        flow=job.flow,
        state=job.state,
        actor=job.actor,
        created_at=job.created_at,
        changed_at=job.changed_at,
        request=request,
        total=total,
        done=done,
        delivered=counts.delivered,
        skipped=skipped,
        filtered=counts.filtered - skipped,
        parked=counts.parked,
        dead=counts.dead,
        discarded=counts.discarded,
        failed_again=min(counts.discarded, await failed_again_count(ledger, job.id)),
        remaining_s=(total - done) / per_s if job.state == "running" and per_s else None,
        note=job.error or note,
    )


def _nothing_replayed_note(job: Job, counts: Counts, skipped: int) -> str:
    """Return why a replay that is done has delivered nothing, ``""`` if it has."""
    if job.state != "done" or counts.total > counts.filtered:
        return ""
    if skipped:
        return f"nothing was delivered: {already_delivered_note(skipped)}"
    return "nothing was delivered: no event there matches the selection and the flow's rule"


def already_delivered_note(count: int) -> str:
    """Return a sentence that events were skipped, and how to deliver them again."""
    events = (
        "the only event that it selects" if count == 1 else f"all {count:,} events that it selects"
    )
    return f"{events} had been delivered before; --force delivers them again"
