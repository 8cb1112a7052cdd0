"""The retrying loop: parked events that are due go through their flow again."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from busway.delivery.settle import Decided, Held, Problem, failed_again
from busway.errors import StoreError
from busway.event import Event
from busway.exception_text import exception_text
from busway.lane import Query, Trouble, Verdict
from busway.ports import Item, Load
from busway.runtime.hub import Assignment, Hub, Leave
from busway.runtime.lane.claim import Claims
from busway.runtime.lane.isolation import problem_of
from busway.runtime.lane.order import Runs, held_back, in_turn
from busway.runtime.lane.produce import fate_of, produce
from busway.runtime.loop import Loop

POLL_S = 0.5
MOST_EVENTS = 500
_TO_PROBE = 100
_SOON = timedelta(seconds=POLL_S)
_Landed = Literal["delivered", "filtered"]


class Retrier:
    """Retries one flow's parked events; ``assignments`` are its lanes, by partition.

    They may become more; where they are ``leased``, nothing of other lanes is looked at.
    """

    def __init__(
        self, hub: Hub, assignments: Mapping[int, Assignment], *, leased: bool = False
    ) -> None:
        self._leased = leased
        self._hub = hub
        self._assignments = assignments
        first = next(iter(assignments.values()))
        self._gate = first.gate
        self._pace = first.pace
        self._valve = first.valve
        self._flow = first.flow
        self._dues: list[datetime] = []
        self._found = False
        self._runs = Runs(MOST_EVENTS)
        self._claims = Claims(hub, first.flow)

    async def turn(self, loop: Loop) -> None:
        """Retry what is due, or wait until something is."""
        if not self._valve.open:
            with loop.idle():
                await self._valve.opened()
        lanes: defaultdict[int, list[Trouble]] = defaultdict(list)
        for trouble in await self._due():
            if self._holds(trouble.partition):
                lanes[trouble.partition].append(trouble)
        if not lanes:
            wait_s = self._wait_s()
            with loop.idle():
                await self._hub.clock.sleep(wait_s)
        for partition, troubles in lanes.items():
            await self._retry(loop, self._assignments[partition], troubles)

    def _holds(self, partition: int) -> bool:
        """Say whether what is parked in a partition may be retried here now."""
        to = self._assignments.get(partition)
        return to is not None and to.tenure.held

    def _wait_s(self) -> float:
        """Return how long to sleep: until what failed here is due, and never long."""
        if not self._dues or not self._gate.closed:
            return POLL_S
        return min(max((self._dues[0] - self._hub.clock.now()).total_seconds(), 0.0), POLL_S)

    async def _due(self) -> Sequence[Trouble]:
        """Return what to retry now: one event when the destination has to be probed."""
        now, known = self._hub.clock.now(), self._found
        while self._dues and self._dues[0] <= now:
            heapq.heappop(self._dues)
            known = True
        self._found = False
        if self._gate.wait_s() != 0.0:
            return ()
        if not known and not await self._hub.dues.has(self._flow.name):
            return ()
        limit = min(MOST_EVENTS, self._pace.most or MOST_EVENTS)
        limit = limit if self._gate.closed else _TO_PROBE
        query = Query(state="parked", flow=self._flow.name, due_by=now, limit=limit)
        if self._leased:
            query = msgspec.structs.replace(query, partitions=tuple(self._assignments))
        found = await self._hub.ledger.troubles(query)
        self._found = bool(found)  # there may be more where these came from
        return found if self._gate.closed else self._probe(found)

    def _probe(self, troubles: Sequence[Trouble]) -> Sequence[Trouble]:
        """Choose one by chance, rather not one that may be the cause of the trouble."""
        lanes, suspects = self._assignments, self._gate.suspects
        known = [one for one in troubles if one.partition in lanes]
        free = [one for one in known if (lanes[one.partition].lane, one.offset) not in suspects]
        choice = free or known
        return [self._recalled(random.choice(choice))] if choice else ()

    def _recalled(self, trouble: Trouble) -> Trouble:
        """Remember of a probe that others have landed since it failed: it may be its own fault."""
        landed_at, failures = self._gate.landed_at, trouble.failures
        if failures and landed_at is not None and failures[-1].at < landed_at:
            lane = self._assignments[trouble.partition].lane
            self._gate.suspects.recall((lane, trouble.offset))
        return trouble

    async def _retry(self, loop: Loop, to: Assignment, troubles: Sequence[Trouble]) -> None:
        if to.flow.ordered and self._gate.closed:
            troubles = await self._with_followers(to, troubles)
        try:
            await self._try(loop, to, await self._claims.begin(troubles))
        except StoreError:
            raise
        except Exception as error:
            failure = error
        else:
            return
        finally:  # also of a beginning that was cut off: it may have landed
            await self._claims.end()
        await self._isolate(loop, to, troubles, failure)

    async def _isolate(
        self, loop: Loop, to: Assignment, troubles: Sequence[Trouble], error: Exception
    ) -> None:
        """Retry the halves of what raised an exception; a single event failed by it."""
        if len(troubles) > 1:
            middle = len(troubles) // 2
            await self._retry(loop, to, troubles[:middle])
            await self._retry(loop, to, troubles[middle:])
            return
        begun = await self._claims.begin(troubles)
        at, problem = self._hub.clock.now(), problem_of(exception_text(error))
        verdicts = [self._verdict(one, problem, at) for one in begun]
        self._tell(verdicts)
        async with to.lock:
            await self._claims.judge(verdicts)

    async def _try(self, loop: Loop, to: Assignment, troubles: Sequence[Trouble]) -> None:
        """Take troubles through their flow, and judge what became of each."""
        ordered = sorted(troubles, key=lambda trouble: trouble.offset)
        wanted = [(one.offset, _again(one)) for one in ordered]
        items, decided = await produce(to.flow, wanted, to.gate.redact.hide)
        touched = {item.offset for item in items} | {one.offset for one in decided}
        decided += [
            Decided(offset, event, "filtered") for offset, event in wanted if offset not in touched
        ]
        if to.flow.ordered:
            items, decided = held_back(items, decided)
        decided += await self._load(loop, to, items)
        if to.flow.ordered:
            decided = in_turn(wanted, decided)
        by_offset = {one.offset: one for one in troubles}
        at = self._hub.clock.now()
        verdicts = [
            self._verdict(by_offset[one.offset], one.fate, at)
            for one in decided
            if not isinstance(one.fate, Held)
        ]
        self._tell(verdicts)
        gone = {one.offset for one in verdicts if _is_gone(one)}
        self._runs.note(troubles, gone)
        async with to.lock:
            await self._claims.judge(verdicts)

    async def _with_followers(
        self, to: Assignment, troubles: Sequence[Trouble]
    ) -> Sequence[Trouble]:
        """Add what waits behind an event that only waited itself: together they are quicker.

        As many as go well: what is behind one that fails again was begun in vain.
        """
        room = self._runs.behind([one for one in troubles if not one.attempts])
        if not room:
            return troubles
        query = Query(
            flow=to.flow.name, partition=to.partition, keys=tuple(room), limit=MOST_EVENTS
        )
        found = {one.offset: one for one in troubles}
        for one in await self._hub.ledger.troubles(query):
            key = one.key
            if one.offset in found or key is None or not room[key]:
                continue
            if one.due is None:
                found[one.offset] = one
            room[key] = 0 if one.due is not None else room[key] - 1
        return list(found.values())

    async def _load(self, loop: Loop, to: Assignment, items: Sequence[Item]) -> list[Decided]:
        if not items:
            return []
        with loop.idle():
            leave = await self._leave(to, len(items))
        if leave is None:
            return []
        ordered, epoch = to.flow.ordered, to.tenure.epoch
        load = Load(to.lane, items, ordered=ordered, permits=to.permits, epoch=epoch)
        began = time.perf_counter()
        outcomes = await to.deliver(load, leave)
        took_s = time.perf_counter() - began
        fates = [fate_of(item, one, took_s) for item, one in zip(items, outcomes, strict=True)]
        return [fate for fate in fates if fate is not None]

    async def _leave(self, to: Assignment, count: int) -> Leave | None:
        """Return leave to go, ``None`` when the destination is to be probed first, by one alone.

        Nothing waits here for a destination that is down: what is begun would count as an attempt
        if the process ended.
        """
        leave = await to.leave(count)
        if leave is not None and leave.probing and count > 1:
            self._gate.pass_up()
            leave.paid.give_back(leave.paid.count)
            return None
        return leave

    def _verdict(self, trouble: Trouble, fate: _Landed | Problem, at: datetime) -> Verdict:
        became: _Landed | Trouble
        if isinstance(fate, Problem):
            became = failed_again(self._hub.terms(self._flow), trouble, fate)
            if became.due is not None and became.due - at <= _SOON:
                heapq.heappush(self._dues, became.due)
        else:
            became = fate
        place = (trouble.flow, trouble.partition, trouble.offset)
        return Verdict(*place, trouble.attempts, trouble.state, became, at, self._flow.version)

    def _tell(self, verdicts: Sequence[Verdict]) -> None:
        fates = Counter(
            one.became.state if isinstance(one.became, Trouble) else one.became for one in verdicts
        )
        for fate, count in fates.items():
            self._hub.observer.retried(self._flow.name, fate, count)


def _is_gone(verdict: Verdict) -> bool:
    return not isinstance(verdict.became, Trouble) or verdict.became.state == "dead"


def _again(trouble: Trouble) -> Event:
    return Event.from_json(trouble.event, attempt=trouble.attempts + 1)
