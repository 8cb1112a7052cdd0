"""The life of flows: renamed, no longer declared, removed. Never silently, never with a loss.

What the ledger keeps by a flow's name moves and goes with it: lanes, troubles, settled ranges (and
those of its replays), its record and versions, what an operator asked of it, its jobs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from busway.audit_record import AuditRecord
from busway.clock import Clock
from busway.control.cluster import assigned_flows
from busway.control.context import ControlContext
from busway.control.dead_letter.job import rename_job_flow
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.job import JOB, job_change, jobs
from busway.control.operator_control.record import CONTROL
from busway.control.record import FLOW, IN_FLIGHT, VERSION, FlowRecord, flow_records
from busway.control.replay.operation import SKIPPED_COUNT, replay_ends
from busway.errors import Conflict, NotFound, SettingsError
from busway.flow import CompiledApp
from busway.flow.compile import is_flow_name
from busway.lane import REPLAY_SEPARATOR, flow_of, is_replay_lane
from busway.named_value import ValueChange
from busway.ports import Ledger

RENAMED = "renamed/"
"""Before the name that a flow had: the name that it was given."""
RETIRED = "retired/"
"""Before each name by which sinks knew a flow that was removed: no other one may get it."""


class RenamedFlow(msgspec.Struct, frozen=True):
    """A flow's old and new name."""

    before: str
    name: str


class RemovedFlow(msgspec.Struct, frozen=True):
    """What a flow had when it was removed: that many events were given up with it.

    ``replaying`` is what its unfinished replays had still to go.
    """

    flow: str
    backlog: int
    parked: int
    dead: int
    replaying: int = 0


class Reconciliation(msgspec.Struct, frozen=True):
    """What a start found: the program with the names by which sinks know its flows, the flows that
    were renamed (old, new), renamings that could not be, and the flows that nobody declares.

    ``outdated`` are flows that a worker elsewhere works by another name (old, new) by now: they are
    not in the program any more, or else their events would be delivered twice.
    """

    program: CompiledApp
    renamed: Sequence[tuple[str, str]]
    refused: Sequence[tuple[str, str]]
    undeclared: Sequence[str]
    outdated: Sequence[tuple[str, str]] = ()


async def reconcile_program(ledger: Ledger, program: CompiledApp, clock: Clock) -> Reconciliation:
    """Rename what a program declares as renamed, and find out which flows it does not declare.

    Called when a program starts, before its lanes are opened.
    """
    renamed: list[tuple[str, str]] = []
    refused: list[tuple[str, str]] = []
    for flow in program.flows:
        old, names = flow.renamed_from, await _flow_names(ledger)
        if old and old not in names:
            await _forget_values(ledger, old)
        elif old:
            audit = _audit(clock.now(), "busway", "rename flow", flow.name, old, flow.name)
            done = await _rename(ledger, old, flow.name, audit)
            (renamed if done else refused).append((old, flow.name))
    records, names = await flow_records(ledger), await _flow_names(ledger)
    worked = await assigned_flows(ledger, clock, names - {flow.name for flow in program.flows})
    outdated = await _outdated(ledger, program, names, worked)
    declared = [one for one in program.flows if one.name not in outdated]
    program = replace(program, flows=tuple(declared))
    known = await _known_names(ledger, program, names, records)
    flows = tuple(replace(one, original_name=known[one.name]) for one in program.flows)
    undeclared = sorted(names - {one.name for one in flows} - worked)
    await _note_undeclared(ledger, undeclared, records)
    program = replace(program, flows=flows)
    return Reconciliation(program, renamed, refused, undeclared, list(outdated.items()))


async def rename(control: ControlContext, old: str, new: str, actor: str, reason: str = "") -> None:
    """Give a flow that is not running another name, with everything that is kept of it.

    Raises :class:`NotFound`, :class:`SettingsError` for a name that is none, and
    :class:`Conflict` when one of the two runs, or ``new`` has a history already.
    """
    names = await _flow_names(control.ledger)
    if old not in names:
        raise NotFound.named("flow", old, names)
    if not is_flow_name(new) or new == old:
        raise SettingsError(f"{new!r} is no new name for a flow; begin with a letter, then . _ -")
    for name in sorted(await _running(control, (old, new))):
        fix = f"declare it as app.flow({new!r}, renamed_from={old!r}, …) instead"
        raise Conflict(f"flow {name!r} is running; {fix}")
    audit = _audit(control.clock.now(), actor, "rename flow", new, old, new, reason)
    if not await _rename(control.ledger, old, new, audit):
        raise Conflict(f"flow {new!r} has a history of its own; remove that first, or keep both")


async def remove(
    control: ControlContext, name: str, actor: str, *, discard: bool = False, reason: str = ""
) -> RemovedFlow:
    """Forget a flow that is not running, and all that is kept of it.

    Raises :class:`NotFound`, and :class:`Conflict` while it runs, or while it has a backlog, parked
    events or dead letters, unless those are to be discarded.
    """
    names = await _flow_names(control.ledger)
    if name not in names:
        raise NotFound.named("flow", name, names)
    if await _running(control, (name,)):
        fix = "take it out of the flows file and restart, or reload, first"
        raise Conflict(f"flow {name!r} is declared and running; {fix}")
    lost = await _contents(control, name)
    if lost.backlog + lost.parked + lost.dead + lost.replaying and not discard:
        what = f"a backlog of {lost.backlog:,}, {lost.parked:,} parked and {lost.dead:,} dead"
        what += f" and (in replays) {lost.replaying:,} unfinished" if lost.replaying else ""
        fix = "declare it again to work them, or discard them (--discard)"
        raise Conflict(f"flow {name!r} has {what} events; {fix}")
    await _remove(control.ledger, lost, _removal_audit(control, lost, actor, reason))
    return lost


async def undeclared_flows(control: ControlContext) -> Sequence[FlowStatus]:
    """Return the flows that have lanes, and that the program started last does not declare."""
    return [one for one in await current_statuses(control) if not one.declared]


async def _running(control: ControlContext, names: Collection[str]) -> set[str]:
    """Return which flows are in the program here, or in that of a worker elsewhere."""
    program = control.program()
    here = set() if program is None else {flow.name for flow in program.flows} & set(names)
    return here or await assigned_flows(control.ledger, control.clock, names)


async def _flow_names(ledger: Ledger) -> set[str]:
    """Return the flows that have lanes of their own."""
    return {lane.flow for lane in await ledger.lanes() if not is_replay_lane(lane.flow)}


async def _outdated(
    ledger: Ledger, program: CompiledApp, names: set[str], worked: set[str]
) -> Mapping[str, str]:
    """Return flows that were renamed since the program was written, with their names now.

    Only where somebody works them by the new name, and the program does not know that name.
    """
    moved = {
        name.removeprefix(RENAMED): value.decode()
        for name, value in (await ledger.get_values(RENAMED)).items()
    }
    declared = {flow.name for flow in program.flows}
    found = {}
    for old in declared - names:
        new, seen = old, {old}
        while (new := moved.get(new, "")) and new not in seen and new not in names:
            seen.add(new)
        if new in names and new in worked and new not in declared:
            found[old] = new
    return found


async def _known_names(
    ledger: Ledger, program: CompiledApp, names: set[str], records: Mapping[str, FlowRecord]
) -> Mapping[str, str]:
    """Return by which name sinks are to know each flow: a new one gets a name that was never used.

    Else its sink would take offsets that another flow's lane has landed for its own.
    """
    found = {name: _known_as(name, records) for name in names}
    taken = set(found.values())
    taken |= {one.removeprefix(RETIRED) for one in await ledger.get_values(RETIRED)}
    for flow in program.flows:
        if flow.name not in found:
            found[flow.name] = _free_name(flow.name, taken)
            taken.add(found[flow.name])
    return found


def _known_as(name: str, records: Mapping[str, FlowRecord]) -> str:
    return (records[name].known_as if name in records else "") or name


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}#{number}"
    return free


async def _note_undeclared(
    ledger: Ledger, names: Sequence[str], records: Mapping[str, FlowRecord]
) -> None:
    changes = [
        _flow_change(name, replace(records[name], declared=False))
        for name in names
        if name in records and records[name].declared
    ]
    if changes:
        await ledger.change_values(changes)


async def _rename(ledger: Ledger, old: str, new: str, audit: AuditRecord) -> bool:
    """Rename in an order that can be taken up again where it broke off; false for no free name.

    The record goes first: sinks know the lanes by their old name whatever happens. The lanes go
    last but for what is left under the old name then.
    """
    if new in await _flow_names(ledger):
        return False
    records = await flow_records(ledger)
    record = records.get(old, FlowRecord("", "", "", ordered=False))
    moved = [_flow_change(new, replace(record, known_as=_known_as(old, records)))]
    moved += [ValueChange(RENAMED + old, new.encode()), ValueChange(RENAMED + new, None)]
    for name, value in (await _values(ledger, old)).items():
        moved.append(ValueChange(name.replace(f"/{old}", f"/{new}", 1), value))
    moved += [
        job_change(rename_job_flow(job, new)) for job in await jobs(ledger) if job.flow == old
    ]
    await ledger.change_values(moved)
    for lane in await _replays(ledger, old):
        await ledger.rename_flow(lane, new + lane.removeprefix(old))
    done = await ledger.rename_flow(old, new, [audit])
    await _forget_values(ledger, old)
    return done


async def _remove(ledger: Ledger, lost: RemovedFlow, audit: AuditRecord) -> None:
    name = lost.flow
    known_as = _known_as(name, await flow_records(ledger))
    await ledger.put_value(RETIRED + known_as, msgspec.json.encode(lost))
    for job in await jobs(ledger):
        if job.flow == name:
            skipped = await ledger.get_values(f"{SKIPPED_COUNT}{job.id}/")
            await ledger.change_values([ValueChange(one, None) for one in (*skipped, JOB + job.id)])
    for lane in await _replays(ledger, name):
        await ledger.remove_flow(lane)
    await ledger.remove_flow(name, [audit])
    await _forget_values(ledger, name)


async def _forget_values(ledger: Ledger, flow: str) -> None:
    """Forget the named values of a flow that has no lanes any more."""
    names = [FLOW + flow, *await _values(ledger, flow)]
    await ledger.change_values([ValueChange(name, None) for name in names])


async def _values(ledger: Ledger, flow: str) -> Mapping[str, bytes]:
    """Return the named values of a flow, its record apart."""
    steering = f"{CONTROL}flow/{flow}"
    found = {
        **await ledger.get_values(f"{VERSION}{flow}/"),
        **await ledger.get_values(f"{IN_FLIGHT}{flow}/"),
    }
    own = {
        name: value
        for name, value in (await ledger.get_values(steering)).items()
        if name == steering
    }
    return {**found, **own}


async def _replays(ledger: Ledger, flow: str) -> set[str]:
    """Return the names of the lanes of a flow's replays."""
    return {
        one.flow for one in await ledger.lanes() if one.flow.startswith(flow + REPLAY_SEPARATOR)
    }


async def _contents(control: ControlContext, name: str) -> RemovedFlow:
    """Return what a flow and its replays hold."""
    backlog = parked = dead = replaying = 0
    ends = await replay_ends(control.ledger)
    for lane in await control.ledger.lanes():
        if flow_of(lane.flow) != name:
            continue
        if is_replay_lane(lane.flow):
            replaying += ends.get(lane.id, lane.cursor) - lane.cursor
        else:
            backlog += (await control.log.bounds(lane.partition)).end - lane.cursor
        parked, dead = parked + lane.counts.parked, dead + lane.counts.dead
    return RemovedFlow(name, backlog, parked, dead, replaying)


def _removal_audit(
    control: ControlContext, lost: RemovedFlow, actor: str, reason: str
) -> AuditRecord:
    before = Raw(msgspec.json.encode(lost))
    target, now = f"flow/{lost.flow}", control.clock.now()
    return AuditRecord(now, actor, "remove flow", target, before=before, reason=reason)


def _audit(at: datetime, actor: str, action: str, target: str, *change: str) -> AuditRecord:
    old, new, *reason = change
    before, after = (Raw(msgspec.json.encode(one)) for one in (old, new))
    return AuditRecord(at, actor, action, f"flow/{target}", before, after, "".join(reason))


def _flow_change(name: str, record: FlowRecord) -> ValueChange:
    return ValueChange(FLOW + name, msgspec.json.encode(record))
