"""Look up which events of a flow are already delivered, in its destination or in the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from busway.delivery.replay import (
    ReplayMode,
    goes_under_flow_name,
    is_delivered_by_ledger,
)
from busway.event import Event
from busway.failed_event import FailedEventQuery
from busway.lane import EventRef, LaneId
from busway.outcome import Down
from busway.ports import DeliveredRange, Destination, KnowsDelivered, Ledger, SinkLane
from busway.settlement import SettledRange

T = TypeVar("T")
PAGE_SIZE = 500
DestinationQuery = Callable[[Awaitable[T | Down]], Awaitable[T | Down]]


class LiveLane(msgspec.Struct, frozen=True):
    """A lane of the replayed flow; ``known_as`` is the name by which its destination knows it."""

    flow: str
    known_as: str
    version: str
    log_identity: str
    partition: int

    @property
    def sink_lane(self) -> SinkLane:
        return SinkLane(self.log_identity, self.known_as, self.partition)


class DeliveredLookup:
    """Looks up delivered events of one partition, and the name under which the others go."""

    def __init__(
        self, ledger: Ledger, live_lane: LiveLane, mode: ReplayMode, destination: Destination
    ) -> None:
        self.mode = mode
        self.live_lane = live_lane
        self._ledger = ledger
        self._destination = destination if isinstance(destination, KnowsDelivered) else None
        self._ranges: Sequence[SettledRange] | None = None

    @property
    def can_tell(self) -> bool:
        """Whether delivered events can be looked up before a load."""
        return self.mode == "record" or self.queries_destination

    @property
    def queries_destination(self) -> bool:
        """Whether the destination is queried."""
        return self.mode == "known" and self._destination is not None

    async def delivered(self, events: Sequence[tuple[int, Event]]) -> Collection[int] | Down:
        """Return the offsets of the events that are already delivered."""
        if not events or not self.can_tell:
            return ()
        if self.mode == "record":
            return await self._delivered_by_ledger(events)
        delivered_range = await self._delivered_range([offset for offset, _ in events])
        return delivered_range if isinstance(delivered_range, Down) else delivered_range.delivered

    async def offsets_for_flow(self, offsets: Sequence[int]) -> Collection[int] | Down:
        """Return the offsets that are delivered under the flow's name, not under the replay's."""
        delivered_range = await self._delivered_range(offsets)
        if isinstance(delivered_range, Down):
            return delivered_range
        failed = await self._failed_offsets(min(offsets), max(offsets) + 1)
        return {
            offset for offset in offsets if goes_under_flow_name(offset, delivered_range, failed)
        }

    async def _delivered_range(self, offsets: Sequence[int]) -> DeliveredRange | Down:
        if self._destination is not None:
            return await self._destination.delivered_range(self.live_lane.sink_lane, offsets)
        for lane in await self._ledger.lanes():
            if lane.id == LaneId(self.live_lane.flow, self.live_lane.partition):
                return DeliveredRange(lane.start, lane.cursor)
        return DeliveredRange()

    async def _delivered_by_ledger(self, events: Sequence[tuple[int, Event]]) -> set[int]:
        if self._ranges is None:  # the events before the flow's cursor stay settled
            self._ranges = await self._ledger.settled_ranges(
                self.live_lane.flow, self.live_lane.partition
            )
        excepted = await self._failed_offsets(events[0][0], events[-1][0] + 1)
        excepted |= await self._discarded_offsets(events)
        ranges, version = self._ranges, self.live_lane.version
        return {
            offset
            for offset, _ in events
            if is_delivered_by_ledger(offset, ranges, version, excepted)
        }

    async def _failed_offsets(self, first: int, end: int) -> set[int]:
        """Return the offsets from ``first`` up to ``end`` that are parked or dead now."""
        flow, partition = self.live_lane.flow, self.live_lane.partition
        offsets: set[int] = set()
        after = EventRef(flow, partition, first - 1)
        while True:
            query = FailedEventQuery(flow=flow, partition=partition, after=after, limit=PAGE_SIZE)
            page = await self._ledger.failed_events(query)
            offsets |= {event.offset for event in page if event.offset < end}
            if len(page) < PAGE_SIZE or page[-1].offset >= end:
                return offsets
            after = page[-1].ref

    async def _discarded_offsets(self, events: Sequence[tuple[int, Event]]) -> set[int]:
        """Return the offsets of the events that were discarded."""
        lane_id = LaneId(self.live_lane.flow, self.live_lane.partition)
        lanes = [lane for lane in await self._ledger.lanes() if lane.id == lane_id]
        if not any(lane.counts.discarded for lane in lanes):
            return set()
        discarded = set()
        for offset, event in events:
            ref = EventRef(*lane_id, offset)
            for resolved in await self._ledger.resolved_events(event.id):
                if resolved.outcome == "discarded" and resolved.ref == ref:
                    discarded.add(offset)
        return discarded
