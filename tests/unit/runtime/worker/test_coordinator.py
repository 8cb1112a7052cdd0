"""A worker among others: how long it is sure of what it has, and who does what is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import pytest

from busway.audit_record import AuditRecord
from busway.control.worker import DUTY, WORKER, worker_records
from busway.delivery.rebalance import DEAD_AFTER_S
from busway.errors import StoreError
from busway.lane import Lane
from busway.named_value import ValueChange
from busway.runtime.lease.heartbeat import TRUSTED_S
from busway.runtime.worker.coordinator import (
    DUTIES,
    FORGET_DEAD_AFTER_S,
    POLL_INTERVAL_S,
    Coordinator,
)
from busway.testing import ManualClock, MemoryLedger
from hand_loop import by_hand

NOT_YET = "it has not looked yet which lanes it may take"


class CutOff(MemoryLedger):
    """A ledger that can be out of reach."""

    away = False

    async def put_value(self, name: str, value: bytes) -> None:
        if self.away:
            raise StoreError("no way there")
        await super().put_value(name, value)

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        if self.away:
            raise StoreError("no way there")
        return await super().change_values(changes, audit)


class Watched(MemoryLedger):
    """A ledger that calls who watches with each question."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Callable[[], None] = lambda: None

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        self.asked()
        return await super().get_values(prefix)

    async def lanes(self) -> Sequence[Lane]:
        self.asked()
        return await super().lanes()

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        self.asked()
        return await super().change_values(changes, audit)


class LateAnswer(MemoryLedger):
    """Does at once what is asked about duties; the answer to one of these questions comes late."""

    def __init__(self, late: str) -> None:
        super().__init__()
        self.late = late
        self.asked, self.answering = asyncio.Event(), asyncio.Event()

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        found = await super().get_values(prefix)
        if prefix == DUTY:
            await self._answer("get")
        return found

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        done = await super().change_values(changes, audit)
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

    async def get_values(self, prefix: str) -> Mapping[str, bytes]:
        found = await super().get_values(prefix)
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


async def look(clock: ManualClock, seconds: float, *shifts: Coordinator) -> None:
    """Have these look as often as they do, for a while."""
    for _ in range(int(seconds / POLL_INTERVAL_S)):
        for one in shifts:
            await one.heartbeat.send()
            await one.rebalance()
        await clock.advance(POLL_INTERVAL_S)


class Overtaken(MemoryLedger):
    """A ledger at which something happens right before a named value is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.name = ""
        self.happens: Callable[[], Awaitable[None]]

    async def change_values(
        self, changes: Sequence[ValueChange], audit: Sequence[AuditRecord] = ()
    ) -> bool:
        if any(one.name == self.name for one in changes):
            self.name = ""
            await self.happens()
        return await super().change_values(changes, audit)


async def come_back(shift: Coordinator) -> None:
    await shift.heartbeat.send()
    await shift.rebalance()


def busy(shift: Coordinator) -> list[str]:
    return [name for name in DUTIES if shift.duties.holds(name)]


async def test_it_is_sure_only_while_the_others_must_take_it_for_alive() -> None:
    clock, ledger = ManualClock(), CutOff()
    shift = Coordinator(ledger, clock)
    assert not shift.is_trusted()
    await shift.rebalance()
    assert shift.is_trusted()
    assert busy(shift) == list(DUTIES)
    ledger.away = True
    await clock.advance(TRUSTED_S - 0.01)
    with pytest.raises(StoreError):
        await shift.heartbeat.send()
    assert shift.is_trusted()
    await clock.advance(0.02)
    assert not shift.is_trusted()
    assert busy(shift) == []
    ledger.away = False
    await shift.heartbeat.send()
    assert not shift.is_trusted(), "others may have its lanes by now: it has not looked"
    await shift.rebalance()
    assert shift.is_trusted()
    assert busy(shift) == list(DUTIES)


async def test_it_is_ready_once_it_has_looked_and_says_why_before_and_after() -> None:
    clock, ledger = ManualClock(), CutOff()
    shift = Coordinator(ledger, clock)
    for _ in range(2):  # the second time it works other flows than before
        shift.work({}, lambda *_: None)
        assert shift.not_ready_reason() == NOT_YET
        await shift.heartbeat.send()
        assert shift.not_ready_reason() == NOT_YET
        await shift.rebalance()
        assert shift.not_ready_reason() is None
        await clock.advance(TRUSTED_S)
        assert (
            shift.not_ready_reason() == "the last heartbeat is too old: the ledger does not answer"
        )
        await come_back(shift)
        assert shift.not_ready_reason() is None
        await clock.advance(DEAD_AFTER_S / 2)
        await shift.heartbeat.send()
        await clock.advance(DEAD_AFTER_S / 2 + 0.1)
        assert shift.not_ready_reason() == "lanes cannot be taken"
        assert await shift.release_all(1.0)
        await shift.deregister()
        assert shift.not_ready_reason() == "its flows are being changed"


async def test_it_knows_how_long_it_was_silent_when_it_could_be_taken_for_dead() -> None:
    clock = ManualClock()
    beat = Coordinator(MemoryLedger(), clock).heartbeat
    assert beat.silent_s() == 0
    for seconds, silent_s in ((0.5, 0), (DEAD_AFTER_S - 0.1, 0), (4.0, 4.0), (0.5, 4.0)):
        await beat.send()
        await clock.advance(seconds)
        assert beat.silent_s() == silent_s
    await beat.send()
    await beat.deregister()
    assert beat.silent_s() == 4.0


async def test_a_duty_has_one_worker_and_moves_when_that_one_dies() -> None:
    clock, ledger = ManualClock(), CutOff()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == (list(DUTIES), [])
    await look(clock, DEAD_AFTER_S - POLL_INTERVAL_S, second)
    assert busy(second) == [], "not before it is dead"
    await look(clock, 2 * POLL_INTERVAL_S, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES))
    assert second.duties.was_abandoned("maintenance")
    assert not first.duties.was_abandoned("maintenance")
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES)), "it stays where it is"


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_nothing_is_taken_from_one_who_comes_while_another_looks(after: int) -> None:
    clock, ledger = ManualClock(), Interrupted()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    ledger.after, ledger.happens = after, second.rebalance
    await first.rebalance()
    assert ledger.after < 0, "it happened"
    assert busy(second) == list(DUTIES)
    await look(clock, POLL_INTERVAL_S, first, second)
    assert (busy(first), busy(second)) == ([], list(DUTIES))


async def test_no_duty_is_taken_from_one_who_comes_back_just_then() -> None:
    clock, ledger = ManualClock(), Overtaken()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 2.0, first, second)
    await look(clock, DEAD_AFTER_S - POLL_INTERVAL_S, second)
    ledger.name, ledger.happens = DUTY + "maintenance", partial(come_back, first)
    await look(clock, POLL_INTERVAL_S, second)
    assert ledger.name == "", "it happened"
    assert (busy(first), busy(second)) == (list(DUTIES), [])
    await look(clock, 2.0, first, second)
    assert (busy(first), busy(second)) == (list(DUTIES), []), "it stays where it is"


async def test_one_who_comes_back_just_then_is_not_forgotten() -> None:
    clock, ledger = ManualClock(), Overtaken()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 1.0, first, second)
    ledger.name, ledger.happens = WORKER + first.worker, partial(come_back, first)
    await look(clock, FORGET_DEAD_AFTER_S + 1.0, second)
    assert ledger.name == "", "it happened"
    assert set(await worker_records(ledger)) == {first.worker, second.worker}


async def test_a_duty_is_free_at_once_when_a_worker_stops_in_order() -> None:
    clock, ledger = ManualClock(), CutOff()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 2.0, first, second)
    assert await first.release_all(1.0)
    await first.deregister()
    await second.rebalance()
    assert busy(second) == list(DUTIES)
    assert not second.duties.was_abandoned("maintenance")
    assert set(await worker_records(ledger)) == {second.worker}


@pytest.mark.parametrize("late", ["get", "change"])
def test_a_duty_is_free_also_where_it_is_looked_at_while_the_worker_stops(late: str) -> None:
    async def play(clock: ManualClock) -> None:
        ledger = LateAnswer("")
        shift = Coordinator(ledger, clock)
        if late == "get":
            await shift.rebalance()
        ledger.late = late
        looking = asyncio.create_task(shift.rebalance())
        await ledger.asked.wait()
        leaving = asyncio.create_task(shift.release_all(1.0))
        await clock.advance(0.1)  # it comes as far as it can without the answer
        ledger.answering.set()
        await asyncio.gather(looking, leaving)
        assert busy(shift) == []
        assert not await ledger.get_values(DUTY)

    by_hand(play)


async def test_who_was_taken_for_dead_has_no_duty_of_before_at_any_time() -> None:
    clock, ledger = ManualClock(), Watched()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 2.0, first, second)
    await look(clock, DEAD_AFTER_S + 2 * POLL_INTERVAL_S, second)
    assert busy(second) == list(DUTIES)
    found: list[str] = []
    ledger.asked = lambda: found.extend(busy(first))
    await first.heartbeat.send()
    await first.rebalance()
    assert first.is_trusted()
    assert found == []


async def test_after_a_time_without_the_ledger_nobody_counts_as_dead() -> None:
    clock, ledger = ManualClock(), CutOff()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 2.0, first, second)
    await clock.advance(10 * DEAD_AFTER_S)  # none of the two could beat
    await second.heartbeat.send()
    await second.rebalance()
    assert busy(second) == []
    await look(clock, 2.0, first, second)
    assert busy(first) == list(DUTIES)


async def test_who_died_is_forgotten_after_a_while() -> None:
    clock, ledger = ManualClock(), CutOff()
    first, second = Coordinator(ledger, clock), Coordinator(ledger, clock)
    await look(clock, 1.0, first, second)
    await look(clock, FORGET_DEAD_AFTER_S - 2.0, second)
    assert set(await worker_records(ledger)) == {first.worker, second.worker}
    await look(clock, 4.0, second)
    assert set(await worker_records(ledger)) == {second.worker}
