"""A worker among others: how long it is sure of what it has, and who does what is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pytest

from busway.control.worker import DUTY, WORKER, workers
from busway.delivery.share import DEAD_AFTER_S
from busway.errors import StoreError
from busway.lane import Audit, Change, Lane
from busway.runtime.crew.shift import BURIED_AFTER_S, DUTIES, LOOK_EVERY_S, Shift
from busway.runtime.lease.beat import SURE_S
from busway.testing import HandClock, MemoryLedger
from hand_loop import by_hand

NOT_YET = "it has not looked yet which lanes it may take"


class CutOff(MemoryLedger):
    """A ledger that can be out of reach."""

    away = False

    async def put(self, name: str, value: bytes) -> None:
        if self.away:
            raise StoreError("no way there")
        await super().put(name, value)

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        if self.away:
            raise StoreError("no way there")
        return await super().change(changes, audit)


class Watched(MemoryLedger):
    """A ledger that calls who watches with each question."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Callable[[], None] = lambda: None

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        self.asked()
        return await super().get(prefix)

    async def lanes(self) -> Sequence[Lane]:
        self.asked()
        return await super().lanes()

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        self.asked()
        return await super().change(changes, audit)


class LateAnswer(MemoryLedger):
    """Does at once what is asked about duties; the answer to one of these questions comes late."""

    def __init__(self, late: str) -> None:
        super().__init__()
        self.late = late
        self.asked, self.answering = asyncio.Event(), asyncio.Event()

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        found = await super().get(prefix)
        if prefix == DUTY:
            await self._answer("get")
        return found

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        done = await super().change(changes, audit)
        await self._answer("change")
        return done

    async def _answer(self, question: str) -> None:
        if question == self.late:
            self.late = ""
            self.asked.set()
            await self.answering.wait()


class Interrupted(MemoryLedger):
    """A ledger at which something happens right after one of the questions."""

    def __init__(self) -> None:
        super().__init__()
        self.after = 0
        self.happens: Callable[[], Awaitable[None]]

    async def get(self, prefix: str) -> Mapping[str, bytes]:
        found = await super().get(prefix)
        await self._asked()
        return found

    async def lanes(self) -> Sequence[Lane]:
        found = await super().lanes()
        await self._asked()
        return found

    async def _asked(self) -> None:
        self.after -= 1
        if self.after == 0:
            await self.happens()


async def look(clock: HandClock, seconds: float, *shifts: Shift) -> None:
    """Have these look as often as they do, for a while."""
    for _ in range(int(seconds / LOOK_EVERY_S)):
        for one in shifts:
            await one.beat.tell()
            await one.look()
        await clock.turn(LOOK_EVERY_S)


class Overtaken(MemoryLedger):
    """A ledger at which something happens right before a named value is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.happens: Callable[[], Awaitable[None]]

    async def change(self, changes: Sequence[Change], audit: Sequence[Audit] = ()) -> bool:
        if any(one.name == self.name for one in changes):
            self.name = ""
            await self.happens()
        return await super().change(changes, audit)


async def come_back(shift: Shift) -> None:
    await shift.beat.tell()
    await shift.look()


def busy(shift: Shift) -> list[str]:
    return [name for name in DUTIES if shift.duties.has(name)]


async def test_it_is_sure_only_while_the_others_must_take_it_for_alive() -> None:
    clock, ledger = HandClock(), CutOff()
    shift = Shift(ledger, clock)
    assert not shift.sure()
    await shift.look()
    assert shift.sure()
    assert busy(shift) == list(DUTIES)
    ledger.away = True
    await clock.turn(SURE_S - 0.01)
    with pytest.raises(StoreError):
        await shift.beat.tell()
    assert shift.sure()
    await clock.turn(0.02)
    assert not shift.sure()
    assert busy(shift) == []
    ledger.away = False
    await shift.beat.tell()
    assert not shift.sure(), "others may have its lanes by now: it has not looked"
    await shift.look()
    assert shift.sure()
    assert busy(shift) == list(DUTIES)


async def test_it_is_ready_once_it_has_looked_and_says_why_before_and_after() -> None:
    clock, ledger = HandClock(), CutOff()
    shift = Shift(ledger, clock)
    for _ in range(2):  # the second time it works other flows than before
        shift.man({}, lambda *_: None)
        assert shift.doubt() == NOT_YET
        await shift.beat.tell()
        assert shift.doubt() == NOT_YET
        await shift.look()
        assert shift.doubt() is None
        await clock.turn(SURE_S)
        assert shift.doubt() == "the last beat is too old: the ledger does not answer"
        await come_back(shift)
        assert shift.doubt() is None
        await clock.turn(DEAD_AFTER_S / 2)
        await shift.beat.tell()
        await clock.turn(DEAD_AFTER_S / 2 + 0.1)
        assert shift.doubt() == "lanes cannot be taken"
        assert await shift.leave(1.0)
        await shift.go()
        assert shift.doubt() == "its flows are being changed"


async def test_it_knows_how_long_it_was_silent_when_it_could_be_taken_for_dead() -> None:
    clock = HandClock()
    beat = Shift(MemoryLedger(), clock).beat
    assert beat.silent_s() == 0
    for seconds, silent_s in ((0.5, 0), (DEAD_AFTER_S - 0.1, 0), (4.0, 4.0), (0.5, 4.0)):
        await beat.tell()
        await clock.turn(seconds)
        assert beat.silent_s() == silent_s
    await beat.tell()
    await beat.end()
    assert beat.silent_s() == 4.0


async def test_a_duty_has_one_worker_and_moves_when_that_one_dies() -> None:
    clock, ledger = HandClock(), CutOff()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == (list(DUTIES), [])
    await look(clock, DEAD_AFTER_S - LOOK_EVERY_S, second)
    assert busy(second) == [], "not before it is dead"
    await look(clock, 2 * LOOK_EVERY_S, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES))
    assert second.duties.was_left("upkeep")
    assert not first.duties.was_left("upkeep")
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES)), "it stays where it is"


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_nothing_is_taken_from_one_who_comes_while_another_looks(after: int) -> None:
    clock, ledger = HandClock(), Interrupted()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    ledger.after, ledger.happens = after, second.look
    await first.look()
    assert ledger.after < 0, "it happened"
    assert busy(second) == list(DUTIES)
    await look(clock, LOOK_EVERY_S, first, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES))


async def test_no_duty_is_taken_from_one_who_comes_back_just_then() -> None:
    clock, ledger = HandClock(), Overtaken()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 2.0, first, second)
    await look(clock, DEAD_AFTER_S - LOOK_EVERY_S, second)
    ledger.name, ledger.happens = DUTY + "upkeep", partial(come_back, first)
    await look(clock, LOOK_EVERY_S, second)
    assert ledger.name == "", "it happened"
    assert (busy(first), busy(second)) == (list(DUTIES), [])
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == (list(DUTIES), []), "it stays where it is"


async def test_one_who_comes_back_just_then_is_not_forgotten() -> None:
    clock, ledger = HandClock(), Overtaken()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 1.0, first, second)
    ledger.name, ledger.happens = WORKER + first.worker, partial(come_back, first)
    await look(clock, BURIED_AFTER_S + 1.0, second)
    assert ledger.name == "", "it happened"
    assert set(await workers(ledger)) == {first.worker, second.worker}


async def test_a_duty_is_free_at_once_when_a_worker_stops_in_order() -> None:
    clock, ledger = HandClock(), CutOff()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 2.0, first, second)
    assert await first.leave(1.0)
    await first.go()
    await second.look()
    assert busy(second) == list(DUTIES)
    assert not second.duties.was_left("upkeep")
    assert set(await workers(ledger)) == {second.worker}


@pytest.mark.parametrize("late", ["get", "change"])
def test_a_duty_is_free_also_where_it_is_looked_at_while_the_worker_stops(late: str) -> None:
    async def play(clock: HandClock) -> None:
        ledger = LateAnswer("")
        shift = Shift(ledger, clock)
        if late == "get":
            await shift.look()
        ledger.late = late
        looking = asyncio.create_task(shift.look())
        await ledger.asked.wait()
        leaving = asyncio.create_task(shift.leave(1.0))
        await clock.turn(0.1)  # it comes as far as it can without the answer
        ledger.answering.set()
        await asyncio.gather(looking, leaving)
        assert busy(shift) == []
        assert not await ledger.get(DUTY)

    by_hand(play)


async def test_who_was_taken_for_dead_has_no_duty_of_before_at_any_time() -> None:
    clock, ledger = HandClock(), Watched()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 2.0, first, second)
    await look(clock, DEAD_AFTER_S + 2 * LOOK_EVERY_S, second)
    assert busy(second) == list(DUTIES)
    found: list[str] = []
    ledger.asked = lambda: found.extend(busy(first))
    await first.beat.tell()
    await first.look()
    assert first.sure()
    assert found == []


async def test_after_a_time_without_the_ledger_nobody_counts_as_dead() -> None:
    clock, ledger = HandClock(), CutOff()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 2.0, first, second)
    await clock.turn(10 * DEAD_AFTER_S)  # none of the two could beat
    await second.beat.tell()
    await second.look()
    assert busy(second) == []
    await look(clock, 2.0, first, second)
    assert busy(first) == list(DUTIES)


async def test_who_died_is_forgotten_after_a_while() -> None:
    clock, ledger = HandClock(), CutOff()
    first, second = Shift(ledger, clock), Shift(ledger, clock)
    await look(clock, 1.0, first, second)
    await look(clock, BURIED_AFTER_S - 2.0, second)
    assert set(await workers(ledger)) == {first.worker, second.worker}
    await look(clock, 4.0, second)
    assert set(await workers(ledger)) == {second.worker}
