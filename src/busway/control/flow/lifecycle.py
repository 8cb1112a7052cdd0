"""Rename and remove flows, and note flows that are no longer declared, without losing an event.

Everything that the ledger keeps by a flow's name is renamed or removed with it: lanes, failed
events, settled ranges (also those of its replays), its record and versions, its control records
and its jobs.
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
from busway.control.replay.counter import SKIPPED_COUNT
from busway.control.replay.operation import replay_ends
from busway.errors import Conflict, NotFound, SettingsError
from busway.flow import CompiledApp
from busway.flow.compile import is_flow_name
from busway.lane import REPLAY_SEPARATOR, flow_of, is_replay_lane
from busway.named_value import ValueChange
from busway.ports import Ledger

RENAMED = "renamed/"
"""Prefix of a flow's former name; the value is its new name."""
RETIRED = "retired/"
"""Prefix of each name by which sinks knew a removed flow; it is never used again."""


class RenamedFlow(msgspec.Struct, frozen=True):
    """A flow's old and new name."""

    before: str
    name: str


class RemovedFlow(msgspec.Struct, frozen=True):
    """The unfinished events that were discarded with a flow when it was removed.

    ``replaying`` is the number of events that its unfinished replays had still to read.
    """

    flow: str
    backlog: int
    parked: int
    dead: int
    replaying: int = 0


class Reconciliation(msgspec.Struct, frozen=True):
    """The result of comparing a program with the ledger at start.

    ``program`` has the names by which sinks know its flows. ``renamed`` and ``refused`` are
    renamings (old, new) that were made or that were not possible. ``undeclared`` are flows in the
    ledger that no program declares. ``outdated`` are flows that another worker already works under
    a new name (old, new): they are taken out of the program, or their events would be delivered
    twice.
    """

    program: CompiledApp
    renamed: Sequence[tuple[str, str]]
    refused: Sequence[tuple[str, str]]
    undeclared: Sequence[str]
    outdated: Sequence[tuple[str, str]] = ()


async def reconcile_program(ledger: Ledger, program: CompiledApp, clock: Clock) -> Reconciliation:
    """Rename the flows that a program declares as renamed, and find the flows it does not declare.

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
    assigned = await assigned_flows(ledger, clock, names - {flow.name for flow in program.flows})
    outdated = await _outdated(ledger, program, names, assigned)
    declared = [flow for flow in program.flows if flow.name not in outdated]
    program = replace(program, flows=tuple(declared))
    known = await _known_names(ledger, program, names, records)
    flows = tuple(replace(flow, original_name=known[flow.name]) for flow in program.flows)
    undeclared = sorted(names - {flow.name for flow in flows} - assigned)
    await _note_undeclared(ledger, undeclared, records)
    program = replace(program, flows=flows)
    return Reconciliation(program, renamed, refused, undeclared, list(outdated.items()))


async def rename(control: ControlContext, old: str, new: str, actor: str, reason: str = "") -> None:
    """Rename a flow that is not running, with everything that the ledger keeps of it.

    Raises :class:`NotFound`, :class:`SettingsError` for an invalid name, and :class:`Conflict` if
    one of the two flows is running or ``new`` already has a history.
    """
    names = await _flow_names(control.ledger)
    if old not in names:
        raise NotFound.named("flow", old, names)
    if not is_flow_name(new) or new == old:
        raise SettingsError(
            f"{new!r} is not a valid new name of a flow; begin with a letter, then . _ -"
        )
    for name in sorted(await _running(control, (old, new))):
        fix = f"declare it as app.flow({new!r}, renamed_from={old!r}, …) instead"
        raise Conflict(f"flow {name!r} is running; {fix}")
    audit = _audit(control.clock.now(), actor, "rename flow", new, old, new, reason)
    if not await _rename(control.ledger, old, new, audit):
        raise Conflict(f"flow {new!r} has a history of its own; remove that first, or keep both")


async def remove(
    control: ControlContext, name: str, actor: str, *, discard: bool = False, reason: str = ""
) -> RemovedFlow:
    """Remove a flow that is not running, with everything that the ledger keeps of it.

    Raises :class:`NotFound`, and :class:`Conflict` if the flow is running, or if it has a backlog,
    parked events or dead letters and ``discard`` is false.
    """
    names = await _flow_names(control.ledger)
    if name not in names:
        raise NotFound.named("flow", name, names)
    if await _running(control, (name,)):
        fix = "take it out of the flows file and restart, or reload, first"
        raise Conflict(f"flow {name!r} is declared and running; {fix}")
    lost = await _contents(control, name)
    if lost.backlog + lost.parked + lost.dead + lost.replaying and not discard:
        unfinished = f"a backlog of {lost.backlog:,}, {lost.parked:,} parked and {lost.dead:,} dead"
        unfinished += f" and (in replays) {lost.replaying:,} unfinished" if lost.replaying else ""
        fix = "declare it again to work them, or discard them (--discard)"
        raise Conflict(f"flow {name!r} has {unfinished} events; {fix}")
    await _remove(control.ledger, lost, _removal_audit(control, lost, actor, reason))
    return lost


async def undeclared_flows(control: ControlContext) -> Sequence[FlowStatus]:
    """Return the flows that have lanes but that the program started last does not declare."""
    return [status for status in await current_statuses(control) if not status.declared]


async def _running(control: ControlContext, names: Collection[str]) -> set[str]:
    """Return which of the flows are in the program of this process or of another worker."""
    program = control.program()
    here = set() if program is None else {flow.name for flow in program.flows} & set(names)
    return here or await assigned_flows(control.ledger, control.clock, names)


async def _flow_names(ledger: Ledger) -> set[str]:
    """Return the flows that have lanes of their own."""
    return {lane.flow for lane in await ledger.lanes() if not is_replay_lane(lane.flow)}


async def _outdated(
    ledger: Ledger, program: CompiledApp, names: set[str], assigned: set[str]
) -> Mapping[str, str]:
    """Return the flows that were renamed after the program was written, with their new names.

    Only flows that a worker already works under a new name that the program does not declare.
    """
    moved = {
        name.removeprefix(RENAMED): value.decode()
        for name, value in (await ledger.get_values(RENAMED)).items()
    }
    declared = {flow.name for flow in program.flows}
    outdated = {}
    for old in declared - names:
        new, visited = old, {old}
        while (new := moved.get(new, "")) and new not in visited and new not in names:
            visited.add(new)
        if new in names and new in assigned and new not in declared:
            outdated[old] = new
    return outdated


async def _known_names(
    ledger: Ledger, program: CompiledApp, names: set[str], records: Mapping[str, FlowRecord]
) -> Mapping[str, str]:
    """Return the name by which sinks know each flow; a new flow gets a name that was never used.

    Otherwise its sink would take the offsets that another flow has delivered for its own.
    """
    known = {name: _known_as(name, records) for name in names}
    taken = set(known.values())
    taken |= {name.removeprefix(RETIRED) for name in await ledger.get_values(RETIRED)}
    for flow in program.flows:
        if flow.name not in known:
            known[flow.name] = _free_name(flow.name, taken)
            taken.add(known[flow.name])
    return known


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
    """Rename a flow; return false if the new name is taken.

    The steps can be repeated after a crash. The record comes first, so that sinks know the lanes by
    their old name in any case; the lanes come last, and then the rest of the old values is removed.
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
            await ledger.change_values(
                [ValueChange(value_name, None) for value_name in (*skipped, JOB + job.id)]
            )
    for lane in await _replays(ledger, name):
        await ledger.remove_flow(lane)
    await ledger.remove_flow(name, [audit])
    await _forget_values(ledger, name)


async def _forget_values(ledger: Ledger, flow: str) -> None:
    """Delete the named values of a flow that has no lanes."""
    names = [FLOW + flow, *await _values(ledger, flow)]
    await ledger.change_values([ValueChange(name, None) for name in names])


async def _values(ledger: Ledger, flow: str) -> Mapping[str, bytes]:
    """Return the named values of a flow, except its record."""
    control_name = f"{CONTROL}flow/{flow}"
    values = {
        **await ledger.get_values(f"{VERSION}{flow}/"),
        **await ledger.get_values(f"{IN_FLIGHT}{flow}/"),
    }
    own = {
        name: value
        for name, value in (await ledger.get_values(control_name)).items()
        if name == control_name
    }
    return {**values, **own}


async def _replays(ledger: Ledger, flow: str) -> set[str]:
    """Return the names of the lanes of a flow's replays."""
    return {
        lane.flow for lane in await ledger.lanes() if lane.flow.startswith(flow + REPLAY_SEPARATOR)
    }


async def _contents(control: ControlContext, name: str) -> RemovedFlow:
    """Count the unfinished events of a flow and of its replays."""
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
    before, after = (Raw(msgspec.json.encode(name)) for name in (old, new))
    return AuditRecord(at, actor, action, f"flow/{target}", before, after, "".join(reason))


def _flow_change(name: str, record: FlowRecord) -> ValueChange:
    return ValueChange(FLOW + name, msgspec.json.encode(record))
