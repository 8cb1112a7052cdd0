"""Move an installation from one engine to another: everything, once, and checked."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from busway.clock import Clock
from busway.control.check import check
from busway.control.move.check import Compared, Differs, compare_events, compare_records
from busway.control.move.copy import begin_anew, copy_events, copy_records, move_in
from busway.control.move.record import Moving, moving_of
from busway.errors import Conflict, StoreDamaged, StoreMoved
from busway.lane import Audit, Change
from busway.ports import Ledger, Log
from busway.ports.moving import MOVE, Move, Moved, Origin, Receiving, Standing, Target

Step = Literal["events", "records", "check events", "check records"]
Told = Callable[[Step, int, int], None]
"""Hears how far a step is: how much of how much is done."""
State = Literal["free", "unfinished", "moved", "refused"]


class Plan(msgspec.Struct, frozen=True):
    """What a move takes along, and how its target stands.

    ``target`` is ``free``, ``unfinished`` (a move goes on with what is there), ``moved`` (all of it
    is there already) or ``refused``, and ``why``. ``bytes`` is what the log takes up where it is.
    """

    origin: str
    to: str
    target: State
    partitions: int
    events: int
    bytes: int
    lanes: int
    parked: int
    dead: int
    records: int
    why: str = ""


class Report(msgspec.Struct, frozen=True):
    """What was moved, and compared; of one that had been moved before only the plan."""

    plan: Plan
    partitions: Sequence[Compared] = ()
    records: int = 0


class Mover:
    """Moves what is at an origin to a target; ``told`` hears how far it is."""

    def __init__(self, origin: Origin, target: Target, clock: Clock, told: Told) -> None:
        self._origin = origin
        self._target = target
        self._clock = clock
        self._told = told

    async def plan(self) -> Plan:
        """Return what there is to do, and whether it can be done.

        Raises :class:`StoreError` when the target cannot be looked at now.
        """
        standing = await self._target.standing()
        try:
            state = _state(standing, self._origin, self._target.name)
        except (Conflict, StoreMoved) as error:
            return msgspec.structs.replace(await self._plan("refused"), why=str(error))
        return await self._plan(state)

    async def move(self, who: str) -> Report:
        """Move everything, or go on where it was cut off; check it; then mark the origin as moved.

        Raises :class:`Conflict` when the target cannot be used, :class:`StoreMoved` when the
        origin was moved elsewhere, :class:`StoreError` when it was cut off: the next one goes on.
        """
        standing = await self._target.standing()
        plan = await self._plan(_state(standing, self._origin, self._target.name))
        if plan.target == "moved":
            return Report(plan)
        if faults := await check(self._origin.log, self._origin.ledger):
            raise StoreDamaged("\n".join(["the directory is not in order", *faults]))
        moving = await moving_of(self._origin.ledger)
        receiving = await self._begin(standing.move, moving)
        try:
            compared, records = await self._carry(receiving, moving, plan)
            await self._end(receiving, who)
        finally:
            await receiving.close()
        return Report(plan, compared, records)

    async def _plan(self, state: State) -> Plan:
        sizes = await self._origin.ledger.sizes()
        counts = [lane.counts for lane in await self._origin.ledger.lanes()]
        bounds = await _bounds(self._origin.log)
        moved = self._origin.moved if state == "moved" else None
        return Plan(
            origin=self._origin.name,
            to=self._target.name if moved is None else moved.to,
            target=state,
            partitions=len(bounds),
            events=sum(end - base for base, end in bounds),
            bytes=await self._origin.log.size_bytes(),
            lanes=len(counts),
            parked=sum(one.parked for one in counts),
            dead=sum(one.dead for one in counts),
            records=sum(sizes.values()),
        )

    async def _begin(self, move: Move | None, moving: Moving) -> Receiving:
        if move is None:
            place = (self._origin.log.identity, self._origin.name)
            move = Move(uuid.uuid4().hex, *place, self._clock.now(), moving.seen)
        bases = [base for base, _ in await _bounds(self._origin.log)]
        return await self._target.begin(move, bases)

    async def _carry(
        self, receiving: Receiving, moving: Moving, plan: Plan
    ) -> tuple[Sequence[Compared], int]:
        origin, target = self._origin.ledger, receiving.ledger
        await copy_events(self._origin.log, receiving, self._telling("events", plan.events))
        await copy_records(origin, target, moving, self._telling("records", plan.records))
        compared = await self._compare_events(receiving, plan)
        try:
            records = await self._compare_records(receiving, moving, plan)
        except Differs:  # the origin ran since the move began, and it was not seen at a look
            await begin_anew(target, await move_in(target), moving)
            await copy_records(origin, target, moving, self._telling("records", plan.records))
            records = await self._compare_records(receiving, moving, plan)
        if faults := await check(receiving.log, target):
            raise StoreDamaged("\n".join(["the target is not in order", *faults]))
        return compared, records

    async def _compare_events(self, receiving: Receiving, plan: Plan) -> Sequence[Compared]:
        counted = _Counted(self._telling("check events", plan.events))
        compared = [
            await compare_events(self._origin.log, receiving.log, partition, counted.add)
            for partition in range(plan.partitions)
        ]
        counted.end()
        return compared

    async def _compare_records(self, receiving: Receiving, moving: Moving, plan: Plan) -> int:
        counted = _Counted(self._telling("check records", plan.records))
        both = (self._origin.ledger, receiving.ledger)
        count = await compare_records(*both, moving, counted.add)
        counted.end()
        return count

    async def _end(self, receiving: Receiving, who: str) -> None:
        """Mark the origin first, so that at no time both can be run."""
        before = await move_in(receiving.ledger)
        now = self._clock.now()
        await self._origin.mark(Moved(before.id, self._target.name, now))
        await receiving.open_up()
        after = msgspec.structs.replace(before, ended_at=now)
        await _ended(receiving.ledger, before, after, who)

    def _telling(self, step: Step, total: int) -> Callable[[int], None]:
        return lambda done: self._told(step, min(done, total), total)


class _Counted:
    """Adds up, and tells now and then."""

    EVERY = 10_000

    def __init__(self, reached: Callable[[int], None]) -> None:
        self._reached = reached
        self._count = 0

    def add(self, count: int) -> None:
        before, self._count = self._count, self._count + count
        if before // self.EVERY != self._count // self.EVERY:
            self._reached(self._count)

    def end(self) -> None:
        """Tell how much it was in all."""
        self._reached(self._count)


async def _ended(ledger: Ledger, before: Move, after: Move, who: str) -> None:
    encode = msgspec.json.encode
    change = Change(MOVE, encode(after), expected=encode(before))
    told = msgspec.Raw(encode({"from": after.origin, "begun_at": after.begun_at}))
    audit = Audit(after.ended_at or after.begun_at, who, "move", "installation", after=told)
    if not await ledger.change([change], [audit]):
        raise Conflict("another process moves to the same target; let one of them do it")


async def _bounds(log: Log) -> list[tuple[int, int]]:
    return [await log.bounds(partition) for partition in range(log.partitions)]


def _state(standing: Standing, origin: Origin, to: str) -> State:
    """Return how a target stands for an origin; raises where it must not be moved there."""
    move, moved = standing.move, origin.moved
    mine = move is not None and move.identity == origin.log.identity
    here = mine and not standing.elsewhere
    if here and move is not None and moved is not None and moved.id == move.id:
        return "moved" if move.ended_at else "unfinished"
    if moved is not None:
        raise StoreMoved(
            f"{origin.name} was moved to {moved.to} at {moved.at:%F %T %Z}, by a move that is not"
            f" in {to}; use that one, or remove moved.json from the directory to move it again"
        )
    if standing.used:
        raise Conflict(standing.used)
    if move is None:
        return "free"
    if not mine:
        what = "holds" if move.ended_at else "is taking"
        raise Conflict(f"{to} {what} another installation, from {move.origin}; give another target")
    if move.ended_at:
        place = f"the ledger given beside {to}" if standing.elsewhere else to
        raise Conflict(
            f"{place} has this installation since {move.ended_at:%F %T %Z}, and may have gone on"
            " from there; give another target"
        )
    return "unfinished"
