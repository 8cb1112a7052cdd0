"""The way of a replay's loads: under whose name they go, and what they leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from busway.control.replay.counter import skipped_count, skipped_key
from busway.control.replay.delivered import DeliveredLookup
from busway.named_value import ValueChange
from busway.outcome import BLOCKED_BY_KEY, Delivered, Down, Outcome
from busway.ports import Ledger, Load, LoadItem
from busway.runtime.context import LaneConsumer
from busway.settlement import Settlement


class SkipCounter:
    """Counts what one lane of a replay left out because it had landed before.

    The count changes with the lane's cursor, in one transaction, so that it is exact.
    """

    def __init__(self, ledger: Ledger, id: str, partition: int) -> None:
        self._ledger = ledger
        self._replay_partition = (id, partition)
        self._count = 0
        self._offsets: frozenset[int] = frozenset()

    async def load(self) -> None:
        """Take up what the ledger has."""
        self._count = await skipped_count(self._ledger, *self._replay_partition)

    def skip_next(self, offsets: Collection[int]) -> None:
        """Leave out these of the batch that is worked next."""
        self._offsets = frozenset(offsets)

    def settlement_changes(self, settlement: Settlement) -> Sequence[ValueChange]:
        """Return what changes with a settlement; it counts as done."""
        start, end = settlement.start, settlement.end
        found = sum(1 for offset in self._offsets if start <= offset < end)
        if not found:
            return ()
        self._count += found
        return (
            ValueChange(skipped_key(*self._replay_partition), msgspec.json.encode(self._count)),
        )


class ReplayLaneConsumer(LaneConsumer, frozen=True, kw_only=True):
    """A lane of a replay. ``flow`` has the replay's name, the rest is what the flow has."""

    delivered_lookup: DeliveredLookup
    skip_counter: SkipCounter

    def settlement_changes(self, settlement: Settlement) -> Sequence[ValueChange]:
        """Return the change of how many were skipped."""
        return self.skip_counter.settlement_changes(settlement)

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Hand a load to the destination, in the flow's name where it would repeat or mend."""
        if self.delivered_lookup.mode == "own":
            return await self.guard.write(load, self.flow.backoff)
        if self.delivered_lookup.mode == "record":
            return await self.guard.write(self._as_flow_retry(load, load.items), self.flow.backoff)
        return await self._write_parts(load)

    def _as_flow_retry(self, load: Load, items: Sequence[LoadItem]) -> Load:
        """Return a retry of the flow's own lane."""
        live = self.delivered_lookup.live_lane
        named = [msgspec.structs.replace(item, flow=live.known_as) for item in items]
        return msgspec.structs.replace(
            load,
            lane=live.sink_lane,
            items=named,
            start=None,
            end=None,
            failed_offsets=(),
            fencing_token=0,
        )

    async def _write_parts(self, load: Load) -> Sequence[Outcome]:
        offsets = [item.offset for item in load.items]
        going = await self.offsets_for_flow([*offsets, *load.failed_offsets])
        if isinstance(going, Down):
            return [going] * (len(offsets) or 1)
        fates: dict[int, Outcome] = {}
        for part in self._parts(load, going):
            free = _without_blocked_keys(part, fates, load) if load.ordered else part
            outcomes = (
                await self.guard.write(free, self.flow.backoff)
                if free.items or free.failed_offsets
                else ()
            )
            if outcomes and not free.items:
                return list(outcomes) * (len(offsets) or 1)
            pairs = zip(free.items, outcomes, strict=True)
            fates |= {item.offset: outcome for item, outcome in pairs}
        return [fates.get(offset, BLOCKED_BY_KEY) for offset in offsets]

    async def offsets_for_flow(self, offsets: Sequence[int]) -> Collection[int] | Down:
        """Return which offsets go in the flow's name; the breaker learns from the answer."""
        if not offsets:
            return ()
        answer = self.delivered_lookup.offsets_for_flow(offsets)
        return await (
            self.guard.query(answer) if self.delivered_lookup.queries_destination else answer
        )

    def _parts(self, load: Load, going: Collection[int]) -> Sequence[Load]:
        own = [item for item in load.items if item.offset not in going]
        others = [item for item in load.items if item.offset in going]
        holes = [offset for offset in load.failed_offsets if offset not in going]
        first = msgspec.structs.replace(load, items=own, failed_offsets=holes)
        return first, self._as_flow_retry(load, others)


def _without_blocked_keys(part: Load, lane_outcomes: Mapping[int, Outcome], whole: Load) -> Load:
    """Return a part without what comes after an event of its key that did not land."""
    keys = {item.offset: item.event.key for item in whole.items}
    failed = {
        keys[offset]
        for offset, outcome in lane_outcomes.items()
        if not isinstance(outcome, Delivered)
    } - {None}
    free = [item for item in part.items if keys[item.offset] not in failed]
    return msgspec.structs.replace(part, items=free)
