"""A job takes each of its letters once, whatever happens while it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from busway.control.conservation_check import check_conservation
from busway.control.context import ControlContext
from busway.control.dead_letter.command import (
    DeadLetterAction,
    DeadLetterCommand,
    apply_command,
)
from busway.control.dead_letter.job import (
    DeadLetterJobProgress,
    DeadLetterJobSpec,
    begin_dead_letter_job,
    load_job_patch,
    work_page,
)
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.job import Job, is_same_job, job, set_job_state
from busway.failed_event import FailedEvent, FailedEventQuery, Failure, Resolution
from busway.ports import NewBatch
from busway.testing import ManualClock, memory_stores
from dead_letter import AT, filled, letter, parked
from effort import examples

ADD = "def patch(event):\n    return {'n': event.data['n'] + 1000}\n"
FLOWS = ("orders", "zebra")
ACTIONS: tuple[DeadLetterAction, ...] = ("redrive", "patch", "discard")

troubles = st.lists(
    st.tuples(
        st.sampled_from(["dead", "dead", "dead", "parked"]),
        st.sampled_from([None, "k", "l"]),
        st.sampled_from(["KeyError", "ValueError"]),
        st.sampled_from(FLOWS),
    ),
    min_size=1,
    max_size=25,
)
selections = st.builds(
    DeadLetterSelection,
    flow=st.sampled_from([None, None, "orders", "nobody"]),
    error=st.sampled_from([None, None, "KeyError"]),
    key=st.sampled_from([None, None, "k"]),
    where=st.sampled_from([(), (), ("data.n",), ("$.data[?@ > 4]",)]),
)
meanwhile = st.lists(
    st.sampled_from(
        ["page", "page", "page", "die", "die again", "stop", "resume", "stale", "other"]
    ),
    max_size=20,
)


class World:
    """A ledger with troubles, a job, and what goes on beside it."""

    def __init__(self) -> None:
        self.stores = memory_stores(1)
        self.clock = ManualClock(AT + timedelta(hours=1))
        self.control = ControlContext(
            log=self.stores.log, ledger=self.stores.ledger, clock=self.clock
        )
        self.stale: Job | None = None

    async def fill(self, given: list[tuple[str, str | None, str, str]]) -> list[FailedEvent]:
        offsets: Counter[str] = Counter()
        made = []
        for state, key, error, flow in given:
            offset = offsets[flow]
            offsets[flow] += 1
            one = letter(offset, key=key, error=error) if state == "dead" else parked(offset, key)
            made.append(msgspec.structs.replace(one, flow=flow))
        await self.stores.log.append([NewBatch(0, [one.event for one in made])], AT)
        await filled(self.stores.ledger, *made)
        return made

    async def all(self) -> dict[tuple[str, int], FailedEvent]:
        found = await self.stores.ledger.failed_events(FailedEventQuery(limit=1000))
        return {(one.flow, one.offset): one for one in found}

    async def page(self, id: str, most: int) -> Job:
        found = await job(self.stores.ledger, id)
        if found.state == "running":
            await work_page(self.control, found, await load_job_patch(found), most)
        return await job(self.stores.ledger, id)

    async def do(self, what: str, id: str, pick: int) -> None:
        await self.clock.advance(1.0)
        now = self.clock.now()
        match what:
            case "page":
                self.stale = await job(self.stores.ledger, id)
                await self.page(id, 1 + pick % 4)
            case "die" | "die again":
                await self.die(again=what == "die again", pick=pick)
            case "stop":
                await set_job_state(self.stores.ledger, id, "stopped", "bob", now)
            case "resume":
                await set_job_state(self.stores.ledger, id, "running", "bob", now)
            case "stale" if self.stale is not None:  # another process works the same job
                before, now_is = await self.all(), await job(self.stores.ledger, id)
                if not is_same_job(self.stale, now_is):
                    function = await load_job_patch(self.stale)
                    assert await work_page(self.control, self.stale, function, 5) is None
                    assert is_same_job(await job(self.stores.ledger, id), now_is)
                    assert await self.all() == before
            case "other":
                await self.redrive_one(pick)

    async def die(self, *, again: bool, pick: int) -> None:
        """Let a parked event die: one that was redriven, or one that never was dead."""
        now = self.clock.now()
        found = [
            one
            for one in (await self.all()).values()
            if one.state == "parked" and (one.attempts == 0) == again
        ]
        if not found:
            return
        old = found[pick % len(found)]
        failures = (*old.failures, Failure(1, now, "step", old.error, "again"))
        new = msgspec.structs.replace(old, state="dead", due=None, attempts=3, failures=failures)
        verdict = Resolution(old.flow, 0, old.offset, old.attempts, "parked", new, now)
        assert all(await self.stores.ledger.resolve([verdict]))

    async def redrive_one(self, pick: int) -> None:
        dead = [one for one in (await self.all()).values() if one.state == "dead"]
        if dead:
            one = dead[pick % len(dead)]
            await apply_command(
                self.control, [one], DeadLetterCommand(action="redrive", actor="bob")
            )


@settings(max_examples=examples(40))
@given(troubles, selections, st.sampled_from(ACTIONS), meanwhile, st.integers(0, 1000))
def test_each_letter_is_taken_once(
    given_: list[tuple[str, str | None, str, str]],
    selection: DeadLetterSelection,
    action: DeadLetterAction,
    commands: list[str],
    pick: int,
) -> None:
    asyncio.run(play(given_, selection, action, (commands, pick)))


async def play(
    given_: list[tuple[str, str | None, str, str]],
    selection: DeadLetterSelection,
    action: DeadLetterAction,
    beside: tuple[list[str], int],
) -> None:
    world = World()
    letters = await world.fill(given_)
    wanted = [one for one in letters if is_wanted(one, selection)]
    spec = DeadLetterJobSpec(
        selection=selection, patch=ADD if action == "patch" else None, reason="because"
    )
    begun = await begin_dead_letter_job(world.control, action, spec, "ann")
    assert begun.total == (None if selection.where else len(wanted))
    for number, command in enumerate(beside[0]):
        await world.do(command, begun.id, beside[1] + number)
        assert await check_conservation(world.stores.log, world.stores.ledger) == []
    await set_job_state(world.stores.ledger, begun.id, "running", "bob", world.clock.now())
    for _ in range(60):
        found = await world.page(begun.id, 3)
        if found.state == "done":
            break
    assert found.state == "done"
    await compare(world, found, wanted, others="other" in beside[0])


async def compare(world: World, found: Job, wanted: list[FailedEvent], *, others: bool) -> None:
    """Check what the trail says against what was wanted; nothing twice, nothing else."""
    places = {f"{one.flow}/0/{one.offset}" for one in wanted}
    taken = Counter[str]()
    for entry in await world.stores.ledger.audit_records("dead", limit=1000):
        if entry.actor != "ann" or entry.before is None:
            continue
        if entry.action == "dead edit":
            taken[entry.target.removeprefix("dead/")] += 1
        else:
            taken.update(msgspec.json.decode(entry.before)["places"])
    assert set(taken) <= places
    assert all(count == 1 for count in taken.values())
    assert found.done == sum(taken.values())
    assert msgspec.json.decode(found.progress, type=DeadLetterJobProgress).failed == 0
    if not others:
        assert set(taken) == places
    for one in (await world.all()).values():
        number = msgspec.json.decode(one.event)["data"]["n"]
        assert number in (one.offset, one.offset + 1000), "a patch is applied once"


def is_wanted(one: FailedEvent, selection: DeadLetterSelection) -> bool:
    return (
        one.state == "dead"
        and selection.flow in (None, one.flow)
        and selection.error in (None, one.error)
        and selection.key in (None, one.event_key)
        and ("$.data[?@ > 4]" not in selection.where or one.offset > 4)
    )
