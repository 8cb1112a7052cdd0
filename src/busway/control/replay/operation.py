"""Replays: begin one, see how it goes, stop it, let it go on, forget it.

A replay is a job (:mod:`busway.control.job`) whose events go through lanes of its own, so where it
stands is what the ledger keeps of lanes: a cursor, counts, troubles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Raw

from busway.clock import new_id
from busway.control import job as jobs
from busway.control.control import Control
from busway.control.job import Job, State
from busway.control.pattern import asked_pattern
from busway.control.replay.file_name import file_name
from busway.delivery.replay import Reach, Selection, Span, replay_name, span
from busway.delivery.throttle import Rate
from busway.errors import BuswayError, Conflict, NotFound
from busway.flow import Flow
from busway.lane import Audit, Change, Counts, Lane, is_replay
from busway.ports import Ledger

SKIPPED = "replay/"
"""What comes before a replay's id and a partition in the name of how many events it skipped."""
AGAIN = "again/"
"""What comes before a replay's id in the name of how many dead letters of its flow failed again."""


class Request(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What to replay: which events of which flow, ``into`` which file (``None``: the flow's sink).

    ``into`` is the name of a file of JSON lines in the server's directory for replays. ``rate`` is
    like ``"100/s"``; without one the flow's own rate holds for the replay. ``force`` loads again
    what has landed already.
    """

    flow: str
    select: Selection = Selection()
    into: str | None = None
    rate: str | None = None
    force: bool = False


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay as it stands.

    ``done`` of ``total`` events of the log have been passed, ``left_s`` is how long the others take
    at the speed of late. ``done`` is always the sum of ``delivered``, ``skipped`` (had landed
    before), ``filtered`` (not selected, not wanted by the rule, or by a step), ``parked``, ``dead``
    and ``discarded``. Of these ``failed_again`` were dead letters of the flow before, which they
    stay, with the new attempts. ``note`` says why it does not go on, or why nothing went.
    """

    id: str
    flow: str
    state: State
    who: str
    created_at: datetime
    changed_at: datetime
    request: Request
    total: int
    done: int
    delivered: int = 0
    skipped: int = 0
    filtered: int = 0
    parked: int = 0
    dead: int = 0
    discarded: int = 0
    failed_again: int = 0
    left_s: float | None = None
    note: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a replay goes on: what it passes in each partition; and its speed of late."""

    spans: tuple[Span, ...]
    per_s: float = 0.0


async def begin(control: Control, request: Request, who: str) -> Replay:
    """Begin a replay: what it passes is fixed from now on.

    Raises :class:`BuswayError` for a request that makes no sense, :class:`NotFound` for no flow.
    """
    flow_for(control, request)
    spans = await spans_of(control, request)
    if not spans:
        raise BuswayError(
            "there is nothing to replay: no event that the flow has passed is in the log there;"
            " give other times or offsets (what is still in its backlog comes anyway)"
        )
    id, at = await _free_id(control.ledger), control.clock.now()
    job = Job(
        id=id,
        kind="replay",
        flow=request.flow,
        who=who,
        created_at=at,
        changed_at=at,
        rate=request.rate,
        total=sum(one.size for one in spans),
        spec=Raw(msgspec.json.encode(request)),
        progress=Raw(msgspec.json.encode(Progress(spans))),
    )
    await jobs.begin(control.ledger, job)
    await open_lanes(control.ledger, job)
    control.wake()
    return await replay(control, id)


async def open_lanes(ledger: Ledger, job: Job) -> Sequence[Lane]:
    """Return the lanes of a replay, made where they are not there; the log is kept for them."""
    name, spans = replay_name(job.flow, job.id), progress_of(job).spans
    return [await ledger.open_lane(name, one.partition, one.start) for one in spans]


def flow_for(control: Control, request: Request) -> Flow:
    """Return the flow of a request that is sound."""
    _check(request)
    program = control.program()
    if program is None:
        raise Conflict("no flows run here; start the server (`busway run`) and replay there")
    for flow in program.flows:
        if flow.name == request.flow:
            return flow
    raise NotFound.named("flow", request.flow, [one.name for one in program.flows])


def _check(request: Request) -> None:
    selection = request.select
    if request.rate is not None:
        Rate.parse(request.rate)
    if selection.when is not None:
        asked_pattern(selection.when)
    for at in (selection.since, selection.until):
        if at is not None and at.tzinfo is None:
            raise BuswayError(f"{at} has no time zone; write it like 2026-03-01T12:00:00Z")
    if selection.since and selection.until and selection.since >= selection.until:
        raise BuswayError(f"from {selection.since} to {selection.until} is no time at all")
    for one in selection.offsets:
        if one.partition < 0 or one.start < 0 or (one.end is not None and one.end <= one.start):
            end = "" if one.end is None else one.end
            raise BuswayError(
                f"{one.partition}:{one.start}-{end} are no offsets;"
                " give PARTITION:FROM-TO, like 0:100-200"
            )
    if request.into is not None:
        file_name(request.into)


async def spans_of(control: Control, request: Request) -> tuple[Span, ...]:
    """Return what a replay that begins now passes in each partition."""
    lanes = [one for one in await control.ledger.lanes() if one.flow == request.flow]
    selection = request.select
    found = [span(selection, await _reach(control, selection, lane)) for lane in lanes]
    return tuple(one for one in found if one is not None)


async def _reach(control: Control, selection: Selection, lane: Lane) -> Reach:
    log, partition = control.log, lane.partition
    since, until = selection.since, selection.until
    return Reach(
        partition,
        (await log.bounds(partition))[0],
        lane.cursor,
        None if since is None else await log.offset_at(partition, since),
        None if until is None else await log.offset_at(partition, until),
    )


async def _free_id(ledger: Ledger) -> str:
    while True:
        id = f"r{new_id()[-8:]}"
        if not await ledger.get(jobs.JOB + id):
            return id


async def replays(control: Control) -> Sequence[Replay]:
    """Return all replays, the latest first."""
    found = await jobs.jobs(control.ledger, "replay")
    lanes = by_name(await control.ledger.lanes()) if found else {}
    return [await _standing(control.ledger, one, lanes) for one in found]


async def unfinished(control: Control) -> Sequence[Replay]:
    """Return the replays that run, or have parked events or dead letters; the latest first.

    It asks nothing about the others, of which there may be many.
    """
    found = await jobs.jobs(control.ledger, "replay")
    every = await control.ledger.lanes() if found else ()
    lanes, failed = (
        by_name(every),
        {one.flow for one in every if one.counts.parked + one.counts.dead},
    )
    return [
        await _standing(control.ledger, one, lanes)
        for one in found
        if one.state == "running" or replay_name(one.flow, one.id) in failed
    ]


async def replay(control: Control, id: str) -> Replay:
    """Return a replay. Raises :class:`NotFound` when there is none."""
    job = await _job(control.ledger, id)
    return await _standing(control.ledger, job, by_name(await control.ledger.lanes()))


async def stop(control: Control, id: str, who: str) -> Replay:
    """Stop a replay where it stands."""
    return await _set(control, id, "stopped", who)


async def resume(control: Control, id: str, who: str) -> Replay:
    """Let a stopped or failed replay go on."""
    return await _set(control, id, "running", who)


async def forget(control: Control, id: str, who: str) -> None:
    """Forget a replay that does nothing any more, its lanes and counts too.

    Raises :class:`Conflict` while it runs, or has parked events or dead letters.
    """
    job = await _job(control.ledger, id)
    found = await replay(control, id)
    if job.state == "running":
        raise Conflict(f"replay {id} is running; stop it first (`busway replay stop {id}`)")
    name = replay_name(job.flow, id)
    if found.parked or found.dead:
        raise Conflict(
            f"replay {id} has {found.parked} parked events and {found.dead} dead letters; redrive"
            f" or discard them first (`busway dead list --flow {name}`)"
        )
    names = [jobs.JOB + id, again_name(id), *await control.ledger.get(f"{SKIPPED}{id}/")]
    before = Raw(msgspec.json.encode(found))
    audit = Audit(control.clock.now(), who, "replay forget", f"job/{id}", before)
    await control.ledger.remove_flow(name)
    await control.ledger.change([Change(name, None) for name in names], [audit])
    control.wake()


async def _set(control: Control, id: str, state: State, who: str) -> Replay:
    await _job(control.ledger, id)
    await jobs.set_state(control.ledger, id, state, who, control.clock.now())
    control.wake()
    return await replay(control, id)


async def _job(ledger: Ledger, id: str) -> Job:
    for one in await jobs.jobs(ledger, "replay"):
        if one.id == id:
            return one
    raise NotFound(f"there is no replay {id!r}; `busway replay list` shows them")


def request_of(job: Job) -> Request:
    """Return what was asked for."""
    return msgspec.json.decode(job.spec, type=Request)


def progress_of(job: Job) -> Progress:
    """Return where it goes on."""
    return msgspec.json.decode(job.progress, type=Progress)


def by_name(lanes: Sequence[Lane]) -> Mapping[str, Sequence[Lane]]:
    """Return the lanes of replays, by their name."""
    found: defaultdict[str, list[Lane]] = defaultdict(list)
    for lane in lanes:
        if is_replay(lane.flow):
            found[lane.flow].append(lane)
    return found


def skipped_name(id: str, partition: int) -> str:
    """Return the name under which is kept how many events were skipped in a partition."""
    return f"{SKIPPED}{id}/{partition}"


async def skipped(ledger: Ledger, id: str, partition: int | None = None) -> int:
    """Return how many events a replay has skipped, in one partition or in all."""
    prefix = f"{SKIPPED}{id}/" if partition is None else skipped_name(id, partition)
    kept = await ledger.get(prefix)
    names = kept if partition is None else [name for name in kept if name == prefix]
    return sum(msgspec.json.decode(kept[name], type=int) for name in names)


def again_name(id: str) -> str:
    """Return the name under which is kept how many of a replay's events failed again."""
    return f"{AGAIN}{id}"


async def failed_again(ledger: Ledger, id: str) -> int:
    """Return how many of a replay's events were dead letters of its flow, and failed again."""
    kept = (await ledger.get(again_name(id))).get(again_name(id))
    return 0 if kept is None else msgspec.json.decode(kept, type=int)


def passed(lanes: Sequence[Lane]) -> int:
    """Return how many events the lanes have passed."""
    return sum(lane.cursor - lane.start for lane in lanes)


def finished(job: Job, lanes: Sequence[Lane]) -> bool:
    """Say whether all of a replay's lanes are at their ends."""
    cursors = {lane.partition: lane.cursor for lane in lanes}
    return all(cursors.get(one.partition, -1) >= one.end for one in progress_of(job).spans)


async def ends(ledger: Ledger) -> Mapping[tuple[str, int], int]:
    """Return for each lane of each replay, by name and partition, where it ends."""
    return {
        (replay_name(job.flow, job.id), one.partition): one.end
        for job in await jobs.jobs(ledger, "replay")
        for one in progress_of(job).spans
    }


async def readers(ledger: Ledger, lanes: Sequence[Lane]) -> Sequence[Lane]:
    """Return the lanes that the log is kept for: not those of a replay that is at its end."""
    if not any(is_replay(lane.flow) for lane in lanes):
        return lanes
    known = await ends(ledger)
    return [
        lane
        for lane in lanes
        if not is_replay(lane.flow) or lane.cursor < known.get((lane.flow, lane.partition), -1)
    ]


async def _standing(ledger: Ledger, job: Job, lanes: Mapping[str, Sequence[Lane]]) -> Replay:
    own = lanes.get(replay_name(job.flow, job.id), ())
    counts = sum((lane.counts for lane in own), Counts())
    jumped, done, total = await skipped(ledger, job.id), passed(own), job.total or 0
    per_s, request = progress_of(job).per_s, request_of(job)
    told = _nothing_went(job, counts, jumped)
    return Replay(
        id=job.id,
        flow=job.flow,
        state=job.state,
        who=job.who,
        created_at=job.created_at,
        changed_at=job.changed_at,
        request=request,
        total=total,
        done=done,
        delivered=counts.delivered,
        skipped=jumped,
        filtered=counts.filtered - jumped,
        parked=counts.parked,
        dead=counts.dead,
        discarded=counts.discarded,
        failed_again=min(counts.discarded, await failed_again(ledger, job.id)),
        left_s=(total - done) / per_s if job.state == "running" and per_s else None,
        note=job.error or told,
    )


def _nothing_went(job: Job, counts: Counts, skipped: int) -> str:
    """Return why a replay that is done has given no event to its flow, if that is so."""
    if job.state != "done" or counts.total > counts.filtered:
        return ""
    if skipped:
        return f"nothing was delivered: {landed_before(skipped)}"
    return "nothing was delivered: no event there fits the selection and the flow's rule"


def landed_before(count: int) -> str:
    """Return in a sentence that events are skipped, and what loads them again."""
    events = (
        "the only event that it selects" if count == 1 else f"all {count:,} events that it selects"
    )
    return f"{events} had landed before; --force loads what has landed again"
