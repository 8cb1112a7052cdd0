"""One portion on its way: steps, sink, settlement."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from busway.delivery.settle import Decided, Held, settlement
from busway.event import Event
from busway.outcome import Outcome
from busway.ports import Item, Load
from busway.runtime.hub import Assignment, Times
from busway.runtime.loop import Loop
from busway.runtime.order import held_back
from busway.runtime.portion import Portion
from busway.runtime.produce import fate_of, produce

Landed = dict[int, Decided]


class Stale(Exception):
    """Somebody else moved the lane's cursor; what was done is not settled."""


class Passage:
    """Works one portion of a lane until it is settled.

    ``landed`` is what the portion's later events came to in an earlier passage that could not be
    settled because an event before them found its destination down.
    """

    def __init__(self, assignment: Assignment, portion: Portion, landed: Landed) -> None:
        self._to = assignment
        self._portion = portion
        self._decided = landed | {one.offset: one for one in portion.decided}
        self._start = portion.start
        self._step_s = self._sink_s = 0.0

    async def run(self, loop: Loop) -> tuple[int, Landed]:
        """Return the new cursor, and what landed beyond it."""
        items = await self._produce()
        if items or (self._problems() and self._to.gate.opened.keeps_positions):
            items = await self._load(loop, items)
        if not items:
            await self._settle(self._portion.end)
        return self._start, {k: v for k, v in self._decided.items() if k >= self._start}

    async def _produce(self) -> list[Item]:
        began = time.perf_counter()
        wanted = [one for one in self._portion.wanted if one[0] not in self._decided]
        if self._to.flow.ordered:
            wanted = self._hold(wanted, await self._parked_keys())
        items, failed = await produce(self._to.flow, wanted)
        self._decided |= {one.offset: one for one in failed}
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
                self._decided[offset] = Decided(offset, event, Held())
            else:
                free.append((offset, event))
        return free

    def _in_order(self, items: list[Item]) -> list[Item]:
        """Keep back what comes after an event of its key that is going to be parked."""
        if not items or not self._to.flow.ordered:
            return items
        free, decided = held_back(items, list(self._decided.values()))
        self._decided = {one.offset: one for one in decided}
        return free

    async def _load(self, loop: Loop, items: list[Item]) -> list[Item]:
        """Write until all is decided; return what is left when the lane should look again."""
        tries = 0
        while True:
            with loop.idle():
                probing = await self._to.gate.ready()
            left, refused = await self._write(items, probing, tries)
            if not left and not refused:
                return []
            await self._settle_before(left)
            if len(left) == 1 and refused and not self._keeps_positions:
                return left
            items, tries = left, tries + 1

    async def _write(self, items: list[Item], probing: bool, tries: int) -> tuple[list[Item], bool]:
        """Try the items, one of them when probing; return those undecided, and if it took none."""
        chosen = self._probe(items, tries) if probing and not self._keeps_positions else items
        began = time.perf_counter()
        outcomes = await self._to.gate.write(self._load_of(chosen))
        self._sink_s += time.perf_counter() - began
        if not chosen:
            return [], bool(outcomes)
        self._note(chosen, outcomes)
        left = [item for item in items if item.offset not in self._decided]
        left = self._in_order(left)
        return left, bool(left) and not self._to.gate.closed

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
        holes = [offset for offset in self._decided if self._decided[offset].fate != "delivered"]
        return Load(
            self._to.lane, items, self._start, self._portion.end, holes, self._to.flow.ordered
        )

    def _note(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        for item, outcome in zip(items, outcomes, strict=True):
            fate = fate_of(item, outcome)
            if fate is not None:
                self._decided[item.offset] = fate

    async def _settle_before(self, left: Sequence[Item]) -> None:
        """Settle what comes before the first undecided item.

        Not for a sink that keeps positions: it has to see the whole range, holes included.
        """
        if left and not self._keeps_positions and left[0].offset > self._start:
            await self._settle(left[0].offset)

    async def _settle(self, end: int) -> None:
        decided = [self._decided[o] for o in sorted(self._decided) if self._start <= o < end]
        flow, hub = self._to.flow, self._to.hub
        began = time.perf_counter()
        async with self._to.lock:
            keys = await self._parked_keys() if flow.ordered else {}
            place = (self._to.partition, self._start, end)
            found = settlement(hub.terms(flow), place, decided, keys)
            (applied,) = await hub.ledger.settle([found])
        if not applied:
            raise Stale
        self._start = end
        times = Times(self._step_s, self._sink_s, time.perf_counter() - began)
        hub.observer.settled((flow.name, *place), found.counts, times)

    async def _parked_keys(self) -> Mapping[str, int]:
        return await self._to.hub.ledger.parked_keys(self._to.flow.name, self._to.partition)

    def _problems(self) -> bool:
        return any(one.fate != "delivered" for one in self._decided.values())

    @property
    def _keeps_positions(self) -> bool:
        return self._to.gate.opened.keeps_positions
