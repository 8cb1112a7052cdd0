"""One portion on its way: steps, sink, settlement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from busway.delivery.settle import Decided, Held, settlement
from busway.event import Event
from busway.outcome import DELIVERED
from busway.ports import Item, Load
from busway.runtime.hub import Assignment, Leave, Times
from busway.runtime.lane.fate import Fates
from busway.runtime.lane.portion import Portion, shortened
from busway.runtime.lane.produce import produce
from busway.runtime.loop import Loop


class Stale(Exception):
    """What was done is not settled: somebody else moved the lane's cursor, or it may be lost."""


def paced(to: Assignment, portion: Portion, fates: Fates) -> Portion:
    """Return the part of a portion that may go at once, behind what has been tried already."""
    most = to.pace.most
    if most is None or to.gate.opened.keeps_positions:
        return shortened(portion, most)
    return shortened(portion, most + len(fates.undecided), fates)


class Passage:
    """Works one portion of a lane until it is settled.

    ``fates`` is what events of the lane have come to already: in an earlier passage that could not
    settle them because an event before them found its destination down. ``era`` is the log's, from
    before the portion was read: in another one its events may be lost, and not be settled.
    """

    def __init__(self, assignment: Assignment, portion: Portion, fates: Fates, era: int) -> None:
        self._to = assignment
        self._portion = portion
        self._era = era
        self._fates = fates
        self._fates.add(portion.decided)
        self._start = portion.start
        self._step_s = self._sink_s = 0.0

    async def run(self, loop: Loop) -> int:
        """Return the new cursor; what is known beyond it stays in the fates."""
        items = await self._produce()
        if items or (self._fates.holes() and self._keeps_positions):
            items = await self._load(loop, items)
        if not items:
            await self._settle(self._portion.end)
        return self._start

    async def _produce(self) -> list[Item]:
        began = time.perf_counter()
        wanted = [one for one in self._portion.wanted if one[0] not in self._fates]
        if self._to.flow.ordered:
            wanted = self._hold(wanted, await self._parked_keys())
        items, failed = await produce(self._to.flow, wanted, self._to.gate.redact.hide)
        self._fates.add(failed)
        items = self._in_order(items)
        self._step_s = time.perf_counter() - began
        return items

    def _hold(
        self, wanted: Sequence[tuple[int, Event]], keys: Mapping[str, int]
    ) -> list[tuple[int, Event]]:
        """Keep back the events whose key has parked ones."""
        free = []
        for offset, event in wanted:
            if event.key in keys:
                self._fates.add([Decided(offset, event, Held())])
            else:
                free.append((offset, event))
        return free

    def _in_order(self, items: list[Item]) -> list[Item]:
        """Keep back what comes after an event of its key that is going to be parked."""
        return self._fates.hold_back(items) if items and self._to.flow.ordered else items

    async def _load(self, loop: Loop, items: list[Item]) -> list[Item]:
        """Write until all is decided; return what is left when the lane should look again."""
        tries = 0
        while True:
            with loop.idle():
                await self._to.valve.opened()
                if self._too_many(items):
                    return items
                chosen = self._chosen(items)
                leave = await self._to.clear(len(chosen))
            if leave.probing and not self._keeps_positions:
                chosen = self._probe(items, tries)
            left, refused = await self._write(items, chosen, leave)
            if not left and not refused:
                return []
            await self._settle_before(left)
            if self._should_look_again(left, refused=refused):
                return left
            items, tries = left, tries + 1

    def _should_look_again(self, left: Sequence[Item], *, refused: bool) -> bool:
        """Say whether events behind may show what no event that is left can."""
        if not left or self._keeps_positions:
            return False
        if refused:
            return len(left) == 1
        return all(item.offset in self._fates.undecided for item in left)

    def _too_many(self, items: Sequence[Item]) -> bool:
        """Say whether the pace has become so slow that the lane has to cut a smaller portion."""
        most = self._to.pace.most
        return self._keeps_positions and most is not None and len(items) > most

    def _chosen(self, items: list[Item]) -> list[Item]:
        """Return what goes at once, rather not what failed with nothing delivered since then.

        That is all for a sink that keeps positions: its load decides every offset of its range.
        """
        most = self._to.pace.most
        if self._keeps_positions or most is None or len(items) <= most:
            return items
        lane, suspects = self._to.lane, self._to.gate.suspects
        free: list[Item] = []
        behind: set[str] = set()
        for item in items:
            key = item.event.key if self._to.flow.ordered else None
            if key in behind or suspects.waits((lane, item.offset)):
                behind |= set() if key is None else {key}
            elif len(free) < most:
                free.append(item)
        return free or items[:most]

    async def _write(
        self, items: list[Item], chosen: list[Item], leave: Leave
    ) -> tuple[list[Item], bool]:
        """Try the chosen items; return those undecided, and whether it took none.

        A sink that keeps positions has to be told in a load of its own of what was decided here
        over its answer: what it takes for landed behind its back is not written by a retry.
        """
        began = time.perf_counter()
        outcomes = await self._to.deliver(self._load_of(chosen), leave)
        took_s = time.perf_counter() - began
        self._sink_s += took_s
        if not chosen:
            return [], bool(outcomes)
        self._fates.note(chosen, outcomes, took_s)
        left = self._in_order(self._fates.without(items))
        if not left:
            return [], self._keeps_positions and outcomes.count(DELIVERED) < len(outcomes)
        return left, not self._to.gate.closed

    def _probe(self, items: list[Item], tries: int) -> list[Item]:
        """Choose one item, another one each time, so that one bad event cannot pose as downtime."""
        if self._to.flow.ordered:
            first: dict[object, Item] = {}
            for item in items:
                first.setdefault(item.offset if item.event.key is None else item.event.key, item)
            items = list(first.values())
        lane, suspects = self._to.lane, self._to.gate.suspects
        free = [item for item in items if (lane, item.offset) not in suspects] or items
        return [free[tries % len(free)]]

    def _load_of(self, items: Sequence[Item]) -> Load:
        to, holes = self._to, self._fates.holes()
        return Load(
            lane=to.lane,
            items=items,
            start=self._start,
            end=self._portion.end,
            holes=holes,
            ordered=to.flow.ordered,
            permits=to.permits,
            epoch=to.tenure.epoch,
        )

    async def _settle_before(self, left: Sequence[Item]) -> None:
        """Settle what comes before the first undecided item.

        Not for a sink that keeps positions: it has to see the whole range, holes included.
        """
        if left and not self._keeps_positions and left[0].offset > self._start:
            await self._settle(left[0].offset)

    async def _settle(self, end: int) -> None:
        landed, decided = self._fates.before(end)
        flow, hub = self._to.flow, self._to.hub
        began = time.perf_counter()
        async with self._to.lock:
            keys = await self._parked_keys() if flow.ordered else {}
            place = (self._to.partition, self._start, end)
            found = settlement(hub.terms(flow), place, decided, keys, landed)
            found = msgspec.structs.replace(found, epoch=self._to.tenure.epoch)
            if hub.follow.era != self._era:
                raise Stale
            (applied,) = await hub.ledger.settle([found], self._to.along(found))
        if not applied:
            raise Stale
        self._start = end
        self._fates.forget(end)
        times = Times(self._step_s, self._sink_s, time.perf_counter() - began)
        hub.observer.settled((flow.name, *place), found.counts, times)

    async def _parked_keys(self) -> Mapping[str, int]:
        return await self._to.hub.ledger.parked_keys(self._to.flow.name, self._to.partition)

    @property
    def _keeps_positions(self) -> bool:
        return self._to.gate.opened.keeps_positions
