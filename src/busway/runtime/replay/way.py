"""The way of a replay's loads: under whose name they go, and what they leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from busway.control.replay.landed import Landings
from busway.control.replay.operation import skipped, skipped_name
from busway.lane import Change, Settlement
from busway.outcome import HELD, Delivered, Down, Outcome
from busway.ports import Item, Ledger, Load
from busway.runtime.hub import Assignment


class Skips:
    """Counts what one lane of a replay left out because it had landed before.

    The count changes with the lane's cursor, in one transaction, so that it is exact.
    """

    def __init__(self, ledger: Ledger, id: str, partition: int) -> None:
        self._ledger = ledger
        self._place = (id, partition)
        self._count = 0
        self._offsets: frozenset[int] = frozenset()

    async def recall(self) -> None:
        """Take up what the ledger has."""
        self._count = await skipped(self._ledger, *self._place)

    def next(self, offsets: Collection[int]) -> None:
        """Leave out these of the portion that is worked next."""
        self._offsets = frozenset(offsets)

    def change(self, settlement: Settlement) -> Sequence[Change]:
        """Return what changes with a settlement; it counts as done."""
        start, end = settlement.start, settlement.end
        found = sum(1 for offset in self._offsets if start <= offset < end)
        if not found:
            return ()
        self._count += found
        return (Change(skipped_name(*self._place), msgspec.json.encode(self._count)),)


class ReplayAssignment(Assignment, frozen=True, kw_only=True):
    """A lane of a replay. ``flow`` has the replay's name, the rest is what the flow has."""

    landings: Landings
    skips: Skips

    def along(self, settlement: Settlement) -> Sequence[Change]:
        """Return the change of how many were skipped."""
        return self.skips.change(settlement)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load to the destination, in the flow's name where it would repeat or mend."""
        if self.landings.mode == "own":
            return await self.gate.write(load, self.flow.backoff)
        if self.landings.mode == "record":
            return await self.gate.write(self._in_flows_name(load, load.items), self.flow.backoff)
        return await self._parted(load)

    def _in_flows_name(self, load: Load, items: Sequence[Item]) -> Load:
        """Return a retry of the flow's own lane."""
        live = self.landings.live
        named = [msgspec.structs.replace(item, flow=live.known_as) for item in items]
        return msgspec.structs.replace(
            load, lane=live.lane, items=named, start=None, end=None, holes=(), epoch=0
        )

    async def _parted(self, load: Load) -> Sequence[Outcome]:
        offsets = [item.offset for item in load.items]
        going = await self.going_on([*offsets, *load.holes])
        if isinstance(going, Down):
            return [going] * (len(offsets) or 1)
        fates: dict[int, Outcome] = {}
        for part in self._parts(load, going):
            free = _not_behind(part, fates, load) if load.ordered else part
            outcomes = (
                await self.gate.write(free, self.flow.backoff) if free.items or free.holes else ()
            )
            if outcomes and not free.items:
                return list(outcomes) * (len(offsets) or 1)
            pairs = zip(free.items, outcomes, strict=True)
            fates |= {item.offset: outcome for item, outcome in pairs}
        return [fates.get(offset, HELD) for offset in offsets]

    async def going_on(self, offsets: Sequence[int]) -> Collection[int] | Down:
        """Return which offsets go in the flow's name; the breaker learns from the answer."""
        if not offsets:
            return ()
        answer = self.landings.going_on(offsets)
        return await (self.gate.ask(answer) if self.landings.asks else answer)

    def _parts(self, load: Load, going: Collection[int]) -> Sequence[Load]:
        own = [item for item in load.items if item.offset not in going]
        others = [item for item in load.items if item.offset in going]
        holes = [offset for offset in load.holes if offset not in going]
        first = msgspec.structs.replace(load, items=own, holes=holes)
        return first, self._in_flows_name(load, others)


def _not_behind(part: Load, fates: Mapping[int, Outcome], whole: Load) -> Load:
    """Return a part without what comes after an event of its key that did not land."""
    keys = {item.offset: item.event.key for item in whole.items}
    failed = {
        keys[offset] for offset, outcome in fates.items() if not isinstance(outcome, Delivered)
    } - {None}
    free = [item for item in part.items if keys[item.offset] not in failed]
    return msgspec.structs.replace(part, items=free)
