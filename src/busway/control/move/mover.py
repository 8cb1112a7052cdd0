"""Move an installation from one engine to another: everything, once, and checked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from busway.audit_record import AuditRecord
from busway.clock import Clock
from busway.control.conservation_check import check_conservation
from busway.control.move.copy import (
    copy_events,
    copy_records,
    restart_copy,
    stored_move,
)
from busway.control.move.record import MovedRecords, moved_records
from busway.control.move.verification import (
    LedgerMismatch,
    PartitionComparison,
    compare_events,
    compare_records,
)
from busway.errors import Conflict, StoreCorrupted, StoreMoved
from busway.named_value import ValueChange
from busway.ports import Ledger, Log
from busway.ports.move import (
    MOVE_KEY,
    Move,
    MovedMarker,
    MoveOrigin,
    MoveReceiver,
    MoveTarget,
    TargetState,
)

MoveStep = Literal["events", "records", "check events", "check records"]
MoveProgress = Callable[[MoveStep, int, int], None]
"""Hears how far a step is: how much of how much is done."""
MoveState = Literal["free", "unfinished", "moved", "refused"]


class MovePlan(msgspec.Struct, frozen=True):
    """What a move takes along, and how its target stands.

    ``target`` is ``free``, ``unfinished`` (a move goes on with what is there), ``moved`` (all of it
    is there already) or ``refused``, and ``reason``. ``bytes`` is what the log takes up where it
    is.
    """

    origin: str
    to: str
    target: MoveState
    partitions: int
    events: int
    bytes: int
    lanes: int
    parked: int
    dead: int
    records: int
    reason: str = ""


class MoveReport(msgspec.Struct, frozen=True):
    """What was moved, and compared; of one that had been moved before only the plan."""

    plan: MovePlan
    partitions: Sequence[PartitionComparison] = ()
    records: int = 0


class Mover:
    """Moves what is at an origin to a target; ``on_progress`` hears how far it is."""

    def __init__(
        self, origin: MoveOrigin, target: MoveTarget, clock: Clock, on_progress: MoveProgress
    ) -> None:
        self._origin = origin
        self._target = target
        self._clock = clock
        self._on_progress = on_progress

    async def plan(self) -> MovePlan:
        """Return what there is to do, and whether it can be done.

        Raises :class:`StoreError` when the target cannot be looked at now.
        """
        standing = await self._target.inspect()
        try:
            state = _move_state(standing, self._origin, self._target.name)
        except (Conflict, StoreMoved) as error:
            return msgspec.structs.replace(await self._plan("refused"), reason=str(error))
        return await self._plan(state)

    async def move(self, actor: str) -> MoveReport:
        """Move everything, or go on where it was cut off; check it; then mark the origin as moved.

        Raises :class:`Conflict` when the target cannot be used, :class:`StoreMoved` when the
        origin was moved elsewhere, :class:`StoreError` when it was cut off: the next one goes on.
        """
        standing = await self._target.inspect()
        plan = await self._plan(_move_state(standing, self._origin, self._target.name))
        if plan.target == "moved":
            return MoveReport(plan)
        if faults := await check_conservation(self._origin.log, self._origin.ledger):
            raise StoreCorrupted("\n".join(["the directory is not in order", *faults]))
        moving = await moved_records(self._origin.ledger)
        receiving = await self._start(standing.move, moving)
        try:
            compared, records = await self._transfer(receiving, moving, plan)
            await self._finish(receiving, actor)
        finally:
            await receiving.close()
        return MoveReport(plan, compared, records)

    async def _plan(self, state: MoveState) -> MovePlan:
        sizes = await self._origin.ledger.sizes()
        counts = [lane.counts for lane in await self._origin.ledger.lanes()]
        bounds = await _bounds(self._origin.log)
        moved = self._origin.moved_to if state == "moved" else None
        return MovePlan(
            origin=self._origin.name,
            to=self._target.name if moved is None else moved.destination,
            target=state,
            partitions=len(bounds),
            events=sum(end - base for base, end in bounds),
            bytes=await self._origin.log.size_bytes(),
            lanes=len(counts),
            parked=sum(one.parked for one in counts),
            dead=sum(one.dead for one in counts),
            records=sum(sizes.values()),
        )

    async def _start(self, move: Move | None, moving: MovedRecords) -> MoveReceiver:
        if move is None:
            place = (self._origin.log.identity, self._origin.name)
            move = Move(uuid.uuid4().hex, *place, self._clock.now(), moving.digest)
        bases = [base for base, _ in await _bounds(self._origin.log)]
        return await self._target.begin(move, bases)

    async def _transfer(
        self, receiving: MoveReceiver, moving: MovedRecords, plan: MovePlan
    ) -> tuple[Sequence[PartitionComparison], int]:
        origin, target = self._origin.ledger, receiving.ledger
        await copy_events(self._origin.log, receiving, self._progress_of("events", plan.events))
        await copy_records(origin, target, moving, self._progress_of("records", plan.records))
        compared = await self._compare_events(receiving, plan)
        try:
            records = await self._compare_records(receiving, moving, plan)
        except LedgerMismatch:  # the origin ran since the move began, and it was not seen at a look
            await restart_copy(target, await stored_move(target), moving)
            await copy_records(origin, target, moving, self._progress_of("records", plan.records))
            records = await self._compare_records(receiving, moving, plan)
        if faults := await check_conservation(receiving.log, target):
            raise StoreCorrupted("\n".join(["the target is not in order", *faults]))
        return compared, records

    async def _compare_events(
        self, receiving: MoveReceiver, plan: MovePlan
    ) -> Sequence[PartitionComparison]:
        counted = _ProgressCounter(self._progress_of("check events", plan.events))
        compared = [
            await compare_events(self._origin.log, receiving.log, partition, counted.add)
            for partition in range(plan.partitions)
        ]
        counted.finish()
        return compared

    async def _compare_records(
        self, receiving: MoveReceiver, moving: MovedRecords, plan: MovePlan
    ) -> int:
        counted = _ProgressCounter(self._progress_of("check records", plan.records))
        both = (self._origin.ledger, receiving.ledger)
        count = await compare_records(*both, moving, counted.add)
        counted.finish()
        return count

    async def _finish(self, receiving: MoveReceiver, actor: str) -> None:
        """Mark the origin first, so that at no time both can be run."""
        before = await stored_move(receiving.ledger)
        now = self._clock.now()
        await self._origin.mark_moved(MovedMarker(before.id, self._target.name, now))
        await receiving.finish()
        after = msgspec.structs.replace(before, finished_at=now)
        await _mark_moved(receiving.ledger, before, after, actor)

    def _progress_of(self, step: MoveStep, total: int) -> Callable[[int], None]:
        return lambda done: self._on_progress(step, min(done, total), total)


class _ProgressCounter:
    """Adds up, and tells now and then."""

    INTERVAL = 10_000

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self._on_progress = on_progress
        self._count = 0

    def add(self, count: int) -> None:
        before, self._count = self._count, self._count + count
        if before // self.INTERVAL != self._count // self.INTERVAL:
            self._on_progress(self._count)

    def finish(self) -> None:
        """Tell how much it was in all."""
        self._on_progress(self._count)


async def _mark_moved(ledger: Ledger, before: Move, after: Move, actor: str) -> None:
    encode = msgspec.json.encode
    change = ValueChange(MOVE_KEY, encode(after), expected=encode(before))
    told = msgspec.Raw(encode({"from": after.origin, "started_at": after.started_at}))
    audit = AuditRecord(
        after.finished_at or after.started_at, actor, "move", "installation", after=told
    )
    if not await ledger.change_values([change], [audit]):
        raise Conflict("another process moves to the same target; let one of them do it")


async def _bounds(log: Log) -> list[tuple[int, int]]:
    return [await log.bounds(partition) for partition in range(log.partitions)]


def _move_state(standing: TargetState, origin: MoveOrigin, to: str) -> MoveState:
    """Return how a target stands for an origin; raises where it must not be moved there."""
    move, moved = standing.move, origin.moved_to
    mine = move is not None and move.identity == origin.log.identity
    here = mine and not standing.log_missing
    if here and move is not None and moved is not None and moved.id == move.id:
        return "moved" if move.finished_at else "unfinished"
    if moved is not None:
        raise StoreMoved(
            f"{origin.name} was moved to {moved.destination} at {moved.moved_at:%F %T %Z}, by a"
            " move that is not"
            f" in {to}; use that one, or remove moved.json from the directory to move it again"
        )
    if standing.conflict:
        raise Conflict(standing.conflict)
    if move is None:
        return "free"
    if not mine:
        what = "holds" if move.finished_at else "is taking"
        raise Conflict(f"{to} {what} another installation, from {move.origin}; give another target")
    if move.finished_at:
        place = f"the ledger given beside {to}" if standing.log_missing else to
        raise Conflict(
            f"{place} has this installation since {move.finished_at:%F %T %Z}, and may have gone on"
            " from there; give another target"
        )
    return "unfinished"
