"""Move an installation from one engine to another, and verify the result."""

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
"""Called with a step, the amount that is done, and the total."""
MoveState = Literal["free", "unfinished", "moved", "refused"]


class MovePlan(msgspec.Struct, frozen=True):
    """What a move copies, and the state of its target.

    ``target`` is ``free``, ``unfinished`` (a move continues with what is there), ``moved``
    (everything is there already) or ``refused``, with a ``reason``. ``bytes`` is the size of the
    log at the origin.
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
    """What was moved and compared; if it had been moved before, only the plan."""

    plan: MovePlan
    partitions: Sequence[PartitionComparison] = ()
    records: int = 0


class Mover:
    """Moves an origin to a target; ``on_progress`` is called with the progress."""

    def __init__(
        self, origin: MoveOrigin, target: MoveTarget, clock: Clock, on_progress: MoveProgress
    ) -> None:
        self._origin = origin
        self._target = target
        self._clock = clock
        self._on_progress = on_progress

    async def plan(self) -> MovePlan:
        """Return what a move would do, and whether it is possible.

        Raises :class:`StoreError` if the target cannot be inspected now.
        """
        target_state = await self._target.inspect()
        try:
            state = _move_state(target_state, self._origin, self._target.name)
        except (Conflict, StoreMoved) as error:
            return msgspec.structs.replace(await self._plan("refused"), reason=str(error))
        return await self._plan(state)

    async def move(self, actor: str) -> MoveReport:
        """Move everything, or resume an interrupted move; verify it; then mark the origin as moved.

        Raises :class:`Conflict` if the target cannot be used, :class:`StoreMoved` if the origin was
        moved elsewhere, :class:`StoreError` if it is interrupted: the next move resumes it.
        """
        target_state = await self._target.inspect()
        plan = await self._plan(_move_state(target_state, self._origin, self._target.name))
        if plan.target == "moved":
            return MoveReport(plan)
        if faults := await check_conservation(self._origin.log, self._origin.ledger):
            raise StoreCorrupted("\n".join(["the directory is not in order", *faults]))
        moving = await moved_records(self._origin.ledger)
        receiving = await self._start(target_state.move, moving)
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
            parked=sum(lane_counts.parked for lane_counts in counts),
            dead=sum(lane_counts.dead for lane_counts in counts),
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
        except LedgerMismatch:  # the origin has run since the move began
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
        """Mark the origin as moved first, so that both can never run."""
        before = await stored_move(receiving.ledger)
        now = self._clock.now()
        await self._origin.mark_moved(MovedMarker(before.id, self._target.name, now))
        await receiving.finish()
        after = msgspec.structs.replace(before, finished_at=now)
        await _mark_moved(receiving.ledger, before, after, actor)

    def _progress_of(self, step: MoveStep, total: int) -> Callable[[int], None]:
        return lambda done: self._on_progress(step, min(done, total), total)


class _ProgressCounter:
    """Adds up a count, and reports it now and then."""

    INTERVAL = 10_000

    def __init__(self, on_progress: Callable[[int], None]) -> None:
        self._on_progress = on_progress
        self._count = 0

    def add(self, count: int) -> None:
        before, self._count = self._count, self._count + count
        if before // self.INTERVAL != self._count // self.INTERVAL:
            self._on_progress(self._count)

    def finish(self) -> None:
        """Report the total."""
        self._on_progress(self._count)


async def _mark_moved(ledger: Ledger, before: Move, after: Move, actor: str) -> None:
    encode = msgspec.json.encode
    change = ValueChange(MOVE_KEY, encode(after), expected=encode(before))
    image = msgspec.Raw(encode({"from": after.origin, "started_at": after.started_at}))
    audit = AuditRecord(
        after.finished_at or after.started_at, actor, "move", "installation", after=image
    )
    if not await ledger.change_values([change], [audit]):
        raise Conflict("another process moves to the same target; let one of them do it")


async def _bounds(log: Log) -> list[tuple[int, int]]:
    return [await log.bounds(partition) for partition in range(log.partitions)]


def _move_state(target_state: TargetState, origin: MoveOrigin, to: str) -> MoveState:
    """Return the state of a target for an origin; raise if the origin must not be moved there."""
    move, moved = target_state.move, origin.moved_to
    is_same = move is not None and move.identity == origin.log.identity
    here = is_same and not target_state.log_missing
    if here and move is not None and moved is not None and moved.id == move.id:
        return "moved" if move.finished_at else "unfinished"
    if moved is not None:
        raise StoreMoved(
            f"{origin.name} was moved to {moved.destination} at {moved.moved_at:%F %T %Z}, by a"
            " move that is not"
            f" in {to}; use that one, or remove moved.json from the directory to move it again"
        )
    if target_state.conflict:
        raise Conflict(target_state.conflict)
    if move is None:
        return "free"
    if not is_same:
        verb = "holds" if move.finished_at else "is taking"
        raise Conflict(f"{to} {verb} another installation, from {move.origin}; give another target")
    if move.finished_at:
        place = f"the ledger given with {to}" if target_state.log_missing else to
        raise Conflict(
            f"{place} has this installation since {move.finished_at:%F %T %Z}, and may have gone on"
            " from there; give another target"
        )
    return "unfinished"
