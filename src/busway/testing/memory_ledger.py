"""A ledger in memory: what a ledger does, in the fewest words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from busway.conservation import check_settlement, check_verdict, moved
from busway.lane import Counts, Lane, Query, Settled, Settlement, Trouble, Verdict

Place = tuple[str, int, int]


class MemoryLedger:
    """Keeps lanes, troubles, ranges and values in dictionaries; each method is one step."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._troubles: dict[Place, Trouble] = {}
        self._settled: list[Settled] = []
        self._kept: dict[str, bytes] = {}

    async def lanes(self) -> Sequence[Lane]:
        return [lane for _, lane in sorted(self._lanes.items())]

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        return self._lanes.setdefault((flow, partition), Lane(flow, partition, start, start))

    async def settle(self, settlements: Sequence[Settlement]) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)
        return [self._settle(settlement) for settlement in settlements]

    def _settle(self, s: Settlement) -> bool:
        lane = self._lanes.get((s.flow, s.partition))
        if lane is None or lane.cursor != s.start:
            return False
        self._count(lane, s.counts, s.end)
        if s.end > s.start:
            self._record(s)
        self._troubles |= {_place(trouble): trouble for trouble in s.troubles}
        self._release(s.flow, s.partition, s.at)
        return True

    def _record(self, s: Settlement) -> None:
        fresh = Settled(s.flow, s.partition, s.start, s.end, s.version, s.at, s.at, s.counts)
        for position, old in enumerate(self._settled):
            touches = (old.flow, old.partition, old.end) == (s.flow, s.partition, s.start)
            if touches and old.version == s.version:
                self._settled[position] = msgspec.structs.replace(
                    old, end=s.end, last_at=s.at, counts=old.counts + s.counts
                )
                return
        self._settled.append(fresh)

    def _count(self, lane: Lane, change: Counts, cursor: int) -> None:
        self._lanes[lane.flow, lane.partition] = msgspec.structs.replace(
            lane, cursor=cursor, counts=lane.counts + change
        )

    def _release(self, flow: str, partition: int, at: datetime) -> None:
        seen: set[str] = set()
        for place, trouble in sorted(self._troubles.items()):
            mine = (trouble.flow, trouble.partition) == (flow, partition)
            if not mine or trouble.state != "parked" or trouble.key is None or trouble.key in seen:
                continue
            seen.add(trouble.key)
            if trouble.due is None:
                self._troubles[place] = msgspec.structs.replace(trouble, due=at)

    async def judge(self, verdicts: Sequence[Verdict]) -> Sequence[bool]:
        for verdict in verdicts:
            check_verdict(verdict)
        return [self._judge(verdict) for verdict in verdicts]

    def _judge(self, verdict: Verdict) -> bool:
        place = (verdict.flow, verdict.partition, verdict.offset)
        trouble = self._troubles.get(place)
        if not trouble or (trouble.attempts, trouble.state) != (verdict.attempts, verdict.state):
            return False
        del self._troubles[place]
        if isinstance(verdict.became, Trouble):
            self._troubles[place] = verdict.became
            change = moved(verdict.state, verdict.became.state)
        else:
            change = moved(verdict.state, verdict.became)
        lane = self._lanes[verdict.flow, verdict.partition]
        self._count(lane, change, lane.cursor)
        self._release(verdict.flow, verdict.partition, verdict.at)
        return True

    async def troubles(self, query: Query) -> Sequence[Trouble]:
        found = [trouble for trouble in self._sorted() if _wanted(trouble, query)]
        if query.due_by:
            found.sort(key=_due)
        return found[: query.limit]

    def _sorted(self) -> Iterable[Trouble]:
        return (trouble for _, trouble in sorted(self._troubles.items()))

    async def next_due(self) -> datetime | None:
        return min(
            (t.due for t in self._troubles.values() if t.state == "parked" and t.due), default=None
        )

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        query = Query(state="parked", flow=flow, partition=partition)
        return Counter(t.key for t in self._sorted() if t.key is not None and _wanted(t, query))

    async def settled(self, flow: str, partition: int | None = None) -> Sequence[Settled]:
        found = [s for s in self._settled if s.flow == flow and partition in (None, s.partition)]
        return sorted(found, key=lambda s: (s.partition, s.start))

    async def put(self, name: str, value: bytes) -> None:
        self._kept[name] = value

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        return {name: self._kept[name] for name in sorted(self._kept) if name.startswith(prefix)}

    async def count_troubles(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        states: dict[tuple[str, int], list[str]] = {}
        for trouble in self._troubles.values():
            states.setdefault((trouble.flow, trouble.partition), []).append(trouble.state)
        return {lane: (all_.count("parked"), all_.count("dead")) for lane, all_ in states.items()}

    async def close(self) -> None:
        """Nothing to close: what it holds goes with it."""


def _place(trouble: Trouble) -> Place:
    return (trouble.flow, trouble.partition, trouble.offset)


def _due(trouble: Trouble) -> tuple[datetime, Place]:
    assert trouble.due  # noqa: S101 - only due ones are asked for
    return (trouble.due, _place(trouble))


def _wanted(trouble: Trouble, query: Query) -> bool:
    due = trouble.state == "parked" and trouble.due and query.due_by and trouble.due <= query.due_by
    return (
        query.state in (None, trouble.state)
        and query.flow in (None, trouble.flow)
        and query.partition in (None, trouble.partition)
        and query.event_id in (None, trouble.event_id)
        and (query.after is None or _place(trouble) > query.after)
        and bool(due or query.due_by is None)
    )
