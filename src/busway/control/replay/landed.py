"""Which events of a flow have landed already: asked of its destination, or of the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

import msgspec

from busway.delivery.replay import Mode, goes_on, landed_on_record
from busway.event import Event
from busway.lane import Query, Settled
from busway.outcome import Down
from busway.ports import Destination, KnowsLanded, Ledger, Standing

T = TypeVar("T")
PAGE = 500
Ask = Callable[[Awaitable[T | Down]], Awaitable[T | Down]]


class Live(msgspec.Struct, frozen=True):
    """A lane of the flow that is replayed; ``known_as`` is its name as its destination knows it."""

    flow: str
    known_as: str
    version: str
    identity: str
    partition: int

    @property
    def lane(self) -> tuple[str, str, int]:
        return (self.identity, self.known_as, self.partition)


class Landings:
    """Tells of the events of one partition which have landed, and under which name others go."""

    def __init__(self, ledger: Ledger, live: Live, mode: Mode, destination: Destination) -> None:
        self.mode = mode
        self.live = live
        self._ledger = ledger
        self._knows = destination if isinstance(destination, KnowsLanded) else None
        self._ranges: Sequence[Settled] | None = None

    @property
    def tells(self) -> bool:
        """Whether it can be told before a load what has landed."""
        return self.mode == "record" or self.asks

    @property
    def asks(self) -> bool:
        """Whether it is the destination that is asked."""
        return self.mode == "known" and self._knows is not None

    async def landed(self, events: Sequence[tuple[int, Event]]) -> Collection[int] | Down:
        """Return the offsets of those events that are not to go again."""
        if not events or not self.tells:
            return ()
        if self.mode == "record":
            return await self._on_record(events)
        standing = await self._standing([offset for offset, _ in events])
        return standing if isinstance(standing, Down) else standing.landed

    async def going_on(self, offsets: Sequence[int]) -> Collection[int] | Down:
        """Return those offsets that go to a destination that keeps positions in the flow's name."""
        standing = await self._standing(offsets)
        if isinstance(standing, Down):
            return standing
        troubled = await self._troubled(min(offsets), max(offsets) + 1)
        return {offset for offset in offsets if goes_on(offset, standing, troubled)}

    async def _standing(self, offsets: Sequence[int]) -> Standing | Down:
        if self._knows is not None:
            return await self._knows.landed(self.live.lane, offsets)
        for lane in await self._ledger.lanes():
            if (lane.flow, lane.partition) == (self.live.flow, self.live.partition):
                return Standing(lane.start, lane.cursor)
        return Standing()

    async def _on_record(self, events: Sequence[tuple[int, Event]]) -> set[int]:
        if self._ranges is None:  # what is behind the flow's cursor is settled for good
            self._ranges = await self._ledger.settled(self.live.flow, self.live.partition)
        excepted = await self._troubled(events[0][0], events[-1][0] + 1)
        excepted |= await self._discarded(events)
        ranges, version = self._ranges, self.live.version
        return {at for at, _ in events if landed_on_record(at, ranges, version, excepted)}

    async def _troubled(self, first: int, end: int) -> set[int]:
        """Return the offsets from ``first`` up to ``end`` that are parked or dead now."""
        flow, partition = self.live.flow, self.live.partition
        found: set[int] = set()
        after = (flow, partition, first - 1)
        while True:
            query = Query(flow=flow, partition=partition, after=after, limit=PAGE)
            page = await self._ledger.troubles(query)
            found |= {one.offset for one in page if one.offset < end}
            if len(page) < PAGE or page[-1].offset >= end:
                return found
            after = (flow, partition, page[-1].offset)

    async def _discarded(self, events: Sequence[tuple[int, Event]]) -> set[int]:
        """Return the offsets of those that were given up."""
        place = (self.live.flow, self.live.partition)
        lanes = [one for one in await self._ledger.lanes() if (one.flow, one.partition) == place]
        if not any(one.counts.discarded for one in lanes):
            return set()
        found = set()
        for offset, event in events:
            for one in await self._ledger.resolved(event.id):
                if (one.flow, one.partition, one.offset, one.became) == (
                    *place,
                    offset,
                    "discarded",
                ):
                    found.add(offset)
        return found
