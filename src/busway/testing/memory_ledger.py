"""A ledger in memory: what a ledger does, in the fewest words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import UNSET

from busway.conservation import check_settlement, check_verdict, moved, resolved
from busway.lane import (
    MERGED_WITHIN,
    Audit,
    Change,
    Counts,
    Group,
    Lane,
    Lease,
    Query,
    Resolved,
    Settled,
    Settlement,
    State,
    Trouble,
    Verdict,
)

Place = tuple[str, int, int]


class MemoryLedger:
    """Keeps lanes, troubles, ranges and values in dictionaries; each method is one step."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._troubles: dict[Place, Trouble] = {}
        self._settled: list[Settled] = []
        self._kept: dict[str, bytes] = {}
        self._resolved: list[Resolved] = []
        self._audits: list[Audit] = []

    async def lanes(self) -> Sequence[Lane]:
        return [lane for _, lane in sorted(self._lanes.items())]

    async def open_lane(self, flow: str, partition: int, start: int) -> Lane:
        return self._lanes.setdefault((flow, partition), Lane(flow, partition, start, start))

    async def lease(
        self, leases: Sequence[Lease], changes: Sequence[Change] = ()
    ) -> Sequence[int | None]:
        if not self._change(changes):
            return [None] * len(leases)
        return [self._lease(one) for one in leases]

    def _lease(self, wanted: Lease) -> int | None:
        lane = self._lanes.get((wanted.flow, wanted.partition))
        if lane is None or lane.epoch != wanted.epoch:
            return None
        lane = msgspec.structs.replace(lane, worker=wanted.worker, epoch=lane.epoch + 1)
        self._lanes[lane.flow, lane.partition] = lane
        return lane.epoch

    async def rename_flow(self, old: str, new: str, audit: Sequence[Audit] = ()) -> bool:
        if any(flow == new for flow, _ in self._lanes):
            return False
        lanes = [_named(one, old, new) for one in self._lanes.values()]
        troubles = [_named(one, old, new) for one in self._troubles.values()]
        self._lanes = {(one.flow, one.partition): one for one in lanes}
        self._troubles = {_place(one): one for one in troubles}
        self._settled = [_named(one, old, new) for one in self._settled]
        self._resolved = [_named(one, old, new) for one in self._resolved]
        self._note(audit)
        return True

    async def remove_flow(self, flow: str, audit: Sequence[Audit] = ()) -> bool:
        if all(flow != name for name, _ in self._lanes):
            return False
        self._lanes = {at: one for at, one in self._lanes.items() if one.flow != flow}
        self._troubles = {at: one for at, one in self._troubles.items() if one.flow != flow}
        self._settled = [one for one in self._settled if one.flow != flow]
        self._resolved = [one for one in self._resolved if one.flow != flow]
        self._note(audit)
        return True

    async def settle(
        self, settlements: Sequence[Settlement], changes: Sequence[Change] = ()
    ) -> Sequence[bool]:
        for settlement in settlements:
            check_settlement(settlement)
        applied = [self._settle(settlement) for settlement in settlements]
        if all(applied):
            self._change(changes)
        return applied

    def _settle(self, s: Settlement) -> bool:
        lane = self._lanes.get((s.flow, s.partition))
        if lane is None or (lane.cursor, lane.epoch) != (s.start, s.epoch):
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
            recent = s.at - old.first_at <= MERGED_WITHIN
            if touches and recent and old.version == s.version:
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

    async def judge(
        self,
        verdicts: Sequence[Verdict],
        audit: Sequence[Audit] = (),
        changes: Sequence[Change] = (),
    ) -> Sequence[bool]:
        for verdict in verdicts:
            check_verdict(verdict)
        if not self._change(changes):
            return [False] * len(verdicts)
        applied = [self._judge(verdict) for verdict in verdicts]
        if any(applied):
            self._note(audit)
        return applied

    def _judge(self, verdict: Verdict) -> bool:
        place = (verdict.flow, verdict.partition, verdict.offset)
        trouble = self._troubles.get(place)
        if not trouble or (trouble.attempts, trouble.state) != (verdict.attempts, verdict.state):
            return False
        if verdict.event not in (None, trouble.event):
            return False
        del self._troubles[place]
        if isinstance(verdict.became, Trouble):
            self._troubles[place] = verdict.became
            change = moved(verdict.state, verdict.became.state)
        else:
            change = moved(verdict.state, verdict.became)
            self._resolved += resolved(trouble, verdict)
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

    async def groups(self, query: Query) -> Sequence[Group]:
        query = msgspec.structs.replace(query, after=None, due_by=None)
        found: dict[tuple[str, State, str], list[Trouble]] = {}
        for one in self._sorted():
            if _wanted(one, query):
                found.setdefault((one.flow, one.state, one.fingerprint), []).append(one)
        groups = [_group(cause, troubles) for cause, troubles in found.items()]
        groups.sort(key=lambda group: (-group.count, group.flow, group.fingerprint, group.state))
        return groups[: query.limit]

    async def due_flows(self, by: datetime) -> Collection[str]:
        parked = [one for one in self._troubles.values() if one.state == "parked"]
        return {one.flow for one in parked if one.due is not None and one.due <= by}

    async def parked_keys(self, flow: str, partition: int) -> Mapping[str, int]:
        query = Query(state="parked", flow=flow, partition=partition)
        return Counter(t.key for t in self._sorted() if t.key is not None and _wanted(t, query))

    async def settled(self, flow: str, partition: int | None = None) -> Sequence[Settled]:
        found = [s for s in self._settled if s.flow == flow and partition in (None, s.partition)]
        return sorted(found, key=lambda s: (s.partition, s.start))

    async def resolved(self, event_id: str) -> Sequence[Resolved]:
        return [one for one in self._resolved if one.event_id == event_id]

    async def forget(self, before: datetime) -> None:
        self._resolved = [one for one in self._resolved if one.at >= before]
        merged: list[Settled] = []
        for one in sorted(self._settled, key=lambda s: (s.flow, s.partition, s.start)):
            last = merged[-1] if merged else None
            old = last is not None and max(last.last_at, one.last_at) < before
            if last is not None and old and _touch(last, one):
                merged[-1] = msgspec.structs.replace(
                    last, end=one.end, last_at=one.last_at, counts=last.counts + one.counts
                )
            else:
                merged.append(one)
        self._settled = merged

    async def put(self, name: str, value: bytes) -> None:
        self._kept[name] = value

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        done = self._change(changes)
        if done:
            self._note(audit)
        return done

    def _change(self, changes: Sequence[Change]) -> bool:
        for one in changes:
            if one.expected is not UNSET and self._kept.get(one.name) != one.expected:
                return False
        for one in changes:
            if one.value is None:
                self._kept.pop(one.name, None)
            else:
                self._kept[one.name] = one.value
        return True

    def _note(self, audit: Sequence[Audit]) -> None:
        for one in audit:
            self._audits.append(msgspec.structs.replace(one, seq=len(self._audits) + 1))

    async def audits(
        self, target: str = "", before: int | None = None, limit: int = 100
    ) -> Sequence[Audit]:
        found = [
            one
            for one in reversed(self._audits)
            if (
                one.target == target
                or one.target.startswith(target.rstrip("/") + "/" * bool(target))
            )
            and (before is None or one.seq < before)
        ]
        return found[:limit]

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        return {name: self._kept[name] for name in sorted(self._kept) if name.startswith(prefix)}

    async def count_troubles(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        states: dict[tuple[str, int], list[str]] = {}
        for trouble in self._troubles.values():
            states.setdefault((trouble.flow, trouble.partition), []).append(trouble.state)
        return {lane: (all_.count("parked"), all_.count("dead")) for lane, all_ in states.items()}

    async def close(self) -> None:
        """Nothing to close: what it holds goes with it."""


Named = TypeVar("Named", Lane, Trouble, Settled, Resolved)


def _named(one: Named, old: str, new: str) -> Named:
    return msgspec.structs.replace(one, flow=new) if one.flow == old else one


def _touch(first: Settled, second: Settled) -> bool:
    places = [(one.flow, one.partition, one.version) for one in (first, second)]
    return places[0] == places[1] and first.end == second.start


def _group(cause: tuple[str, State, str], troubles: Sequence[Trouble]) -> Group:
    error = min(one.error for one in troubles)
    since = [one.since for one in troubles]
    place = (troubles[0].partition, troubles[0].offset)
    return Group(*cause, error, len(troubles), min(since), max(since), *place)


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
        and (query.partitions is None or trouble.partition in query.partitions)
        and (query.keys is None or (trouble.state == "parked" and trouble.key in query.keys))
        and query.event_id in (None, trouble.event_id)
        and query.event_key in (None, trouble.event_key)
        and query.error in (None, trouble.error)
        and query.fingerprint in (None, trouble.fingerprint)
        and (query.since_from is None or trouble.since >= query.since_from)
        and (query.since_to is None or trouble.since < query.since_to)
        and (query.after is None or _place(trouble) > query.after)
        and bool(due or query.due_by is None)
    )
