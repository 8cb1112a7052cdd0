"""Flows that are renamed, forgotten by their author, and removed: nothing is lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from busway import App
from busway.control.check import check
from busway.control.control import Control
from busway.control.dead.job import Spec, begin_job, work_page
from busway.control.dead.selection import Selection
from busway.control.flow.lifecycle import remove, rename, take_census, undeclared
from busway.control.job import Job, begin, jobs, replaced
from busway.control.job import job as job_of
from busway.control.record import FLOW, FlowRecord, flow_records, version_name
from busway.control.steer.record import Target
from busway.control.worker import WORKER, WorkerRecord
from busway.delivery.share import DEAD_AFTER_S
from busway.errors import Conflict, NotFound, SettingsError
from busway.flow import Program, compile_app
from busway.lane import Change, Counts, Lane, Query, Settlement, Trouble
from busway.ports import Draft
from busway.sinks import console
from busway.testing import HandClock, MemoryLedger, MemoryLog
from command import DEADLINE_S

AT = datetime(2026, 3, 1, tzinfo=UTC)
CLOCK = HandClock(AT)
HOUR = timedelta(hours=1)
T = TypeVar("T")


def program(*flows: str, **options: Any) -> Program:
    app = App("shop")
    for name in flows:
        app.flow(name, to=console(), **options)
    return compile_app(app)


class Stand:
    """A ledger where flow ``old`` has a backlog of 3, one parked event, one dead letter."""

    def __init__(self) -> None:
        self.log = MemoryLog(2)
        self.ledger = MemoryLedger()
        self.running: Program | None = None
        self.control = Control(log=self.log, ledger=self.ledger, program=lambda: self.running)

    async def fill(self, flow: str = "old", known_as: str = "") -> None:
        if await self.log.bounds(0) == (0, 0):
            await self.log.append([Draft(0, [b"{}"] * 8), Draft(1, [b"{}"])], AT)
        for partition in range(2):
            await self.ledger.open_lane(flow, partition, 0)
        parked = Trouble(flow, 0, 1, b"{}", "e1", "parked", AT, 1, AT)
        dead = Trouble(flow, 0, 3, b"{}", "e3", "dead", AT, 1)
        troubles = (parked, dead)
        counts = Counts(delivered=4, parked=1, dead=1)
        await self.ledger.settle([Settlement(flow, 0, 0, 6, AT, "v1", counts, troubles)])
        record = FlowRecord("console", "v1", "flows.py:3", ordered=False, known_as=known_as)
        await self.ledger.put(FLOW + flow, msgspec.json.encode(record))
        await self.ledger.put(version_name(flow, "v1"), b"{}")
        await self.ledger.put(f"hand/{flow}/0", b"{}")
        await self.ledger.put(Target("flow", flow).key, b'{"windows": []}')
        job = Job(id="r1", kind="replay", flow=flow, who="ada", created_at=AT, changed_at=AT)
        await begin(self.ledger, replace(job, progress=msgspec.Raw(b'{"spans": []}')))
        await self.ledger.put("replay/r1/0", b"2")
        await self.ledger.open_lane(f"{flow}@r1", 0, 2)

    async def names(self) -> set[str]:
        return {lane.flow for lane in await self.ledger.lanes()}


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_a_declared_renaming_takes_everything_along(stand: Stand) -> None:
    await stand.fill()
    census = await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert census.renamed == [("old", "new")]
    assert [one.known_as for one in census.program.flows] == ["old"]
    assert await stand.names() == {"new", "new@r1"}
    assert (await stand.ledger.lanes())[0] == Lane("new", 0, 0, 6, Counts(4, 0, 1, 1))
    assert {one.flow for one in await stand.ledger.troubles(Query())} == {"new"}
    assert (await flow_records(stand.ledger))["new"].known_as == "old"
    assert [one.flow for one in await jobs(stand.ledger)] == ["new"]
    kept = {
        name
        for prefix in ("flow/", "version/", "control/", "hand/")
        for name in await stand.ledger.get(prefix)
    }
    assert kept == {"flow/new", "version/new/v1", "control/flow/new", "hand/new/0"}
    (audit,) = await stand.ledger.audits("flow/new")
    assert (audit.action, audit.who, audit.before, audit.after) == (
        "rename flow",
        "busway",
        msgspec.Raw(b'"old"'),
        msgspec.Raw(b'"new"'),
    )
    assert await check(stand.log, stand.ledger) == []


async def test_renaming_again_keeps_the_first_name_for_sinks(stand: Stand) -> None:
    await stand.fill()
    await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = await take_census(stand.ledger, program("newest", renamed_from="new"), CLOCK)
    assert [one.known_as for one in census.program.flows] == ["old"]
    again = await take_census(stand.ledger, program("newest", renamed_from="new"), CLOCK)
    assert (again.renamed, again.program) == ([], census.program)


@pytest.mark.parametrize("steps", range(1, 9))
async def test_a_renaming_that_broke_off_is_taken_up_again(stand: Stand, steps: int) -> None:
    await stand.fill()
    broken = Breaking(stand.ledger, steps)
    with contextlib.suppress(RuntimeError):
        await take_census(broken, program("new", renamed_from="old"), CLOCK)
    census = await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert [one.known_as for one in census.program.flows] == ["old"]
    assert await stand.names() == {"new", "new@r1"}
    assert set(await stand.ledger.get("control/")) == {"control/flow/new"}
    assert [one.flow for one in await jobs(stand.ledger)] == ["new"]


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_removal_that_broke_off_can_be_done_again(stand: Stand, steps: int) -> None:
    await stand.fill()
    broken = Control(log=stand.log, ledger=Breaking(stand.ledger, steps))
    with contextlib.suppress(RuntimeError):
        await remove(broken, "old", "ada", discard=True)
    with contextlib.suppress(NotFound):
        await remove(stand.control, "old", "ada", discard=True)
    assert await stand.names() == set()
    census = await take_census(stand.ledger, program("old"), CLOCK)
    assert [one.known_as for one in census.program.flows] == ["old#2"]
    assert await check(stand.log, stand.ledger) == []


class Breaking:
    """A ledger that fails at one of its changes, as a process does that is killed."""

    def __init__(self, ledger: MemoryLedger, steps: int) -> None:
        self._ledger = ledger
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        if name in ("change", "put", "rename_flow", "remove_flow"):
            self._steps -= 1
            if self._steps == 0:
                raise RuntimeError("killed")
        return method


async def test_a_new_flow_never_takes_the_name_that_a_sink_knows(stand: Stand) -> None:
    await stand.fill()
    both = App("shop")
    both.flow("new", to=console(), renamed_from="old")
    await take_census(stand.ledger, compile_app(both), CLOCK)
    both = App("shop")
    both.flow("new", to=console())
    both.flow("old", to=console())
    census = await take_census(stand.ledger, compile_app(both), CLOCK)
    assert [one.known_as for one in census.program.flows] == ["old", "old#2"]


async def test_a_flow_that_is_removed_and_declared_again_is_a_new_one(stand: Stand) -> None:
    await stand.fill()
    await remove(stand.control, "old", "ada", discard=True)
    census = await take_census(stand.ledger, program("old"), CLOCK)
    assert [one.known_as for one in census.program.flows] == ["old#2"]


async def test_a_renaming_onto_a_flow_with_a_history_is_refused(stand: Stand) -> None:
    await stand.fill("old")
    await stand.ledger.open_lane("new", 0, 0)
    census = await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert (census.renamed, census.refused) == ([], [("old", "new")])
    assert census.undeclared == ["old"]
    assert {"old", "new"} <= await stand.names()


async def test_a_flow_that_is_not_declared_is_told(stand: Stand) -> None:
    await stand.fill()
    census = await take_census(stand.ledger, program("other"), CLOCK)
    assert census.undeclared == ["old"]
    (status,) = await undeclared(stand.control)
    assert (status.name, status.backlog, status.parked, status.dead) == ("old", 3, 1, 1)
    census = await take_census(stand.ledger, program("old"), CLOCK)
    assert census.undeclared == []


async def test_an_operator_renames_what_is_not_running(stand: Stand) -> None:
    await stand.fill()
    with pytest.raises(NotFound, match="no flow 'odl'; did you mean 'old'"):
        await rename(stand.control, "odl", "new", "ada")
    for wrong in ("old", "two words", "old@r1"):
        with pytest.raises(SettingsError, match="no new name"):
            await rename(stand.control, "old", wrong, "ada")
    stand.running = program("old")
    with pytest.raises(Conflict, match="'old' is running; declare it as"):
        await rename(stand.control, "old", "new", "ada")
    stand.running = program("new")
    with pytest.raises(Conflict, match="'new' is running"):
        await rename(stand.control, "old", "new", "ada")
    stand.running = None
    await rename(stand.control, "old", "new", "ada", "a better name")
    assert await stand.names() == {"new", "new@r1"}
    (audit,) = await stand.ledger.audits("flow/new")
    assert (audit.who, audit.reason) == ("ada", "a better name")
    await stand.ledger.open_lane("third", 0, 0)
    with pytest.raises(Conflict, match="history of its own"):
        await rename(stand.control, "new", "third", "ada")


async def test_removing_refuses_to_lose_anything(stand: Stand) -> None:
    await stand.fill()
    with pytest.raises(Conflict, match="a backlog of 3, 1 parked and 1 dead events"):
        await remove(stand.control, "old", "ada")
    stand.running = program("old")
    with pytest.raises(Conflict, match="declared and running"):
        await remove(stand.control, "old", "ada", discard=True)
    stand.running = None
    with pytest.raises(NotFound, match="no flow 'odl'"):
        await remove(stand.control, "odl", "ada", discard=True)
    assert await stand.names() == {"old", "old@r1"}


async def test_removing_refuses_to_break_off_a_replay(stand: Stand) -> None:
    await stand.log.append([Draft(0, [b"{}"] * 8)], AT)
    await stand.ledger.open_lane("old", 0, 8)
    job = Job(id="r2", kind="replay", flow="old", who="ada", created_at=AT, changed_at=AT)
    spans = msgspec.Raw(b'{"spans": [{"partition": 0, "start": 2, "end": 7}]}')
    await begin(stand.ledger, replace(job, progress=spans))
    await stand.ledger.open_lane("old@r2", 0, 2)
    with pytest.raises(Conflict, match=r"\(in replays\) 5 unfinished events"):
        await remove(stand.control, "old", "ada")
    assert (await remove(stand.control, "old", "ada", discard=True)).replaying == 5


async def test_removing_leaves_nothing_behind_but_a_trace(stand: Stand) -> None:
    await stand.fill()
    await stand.ledger.open_lane("old2", 0, 0)
    await stand.ledger.change([Change(version_name("old2", "v1"), b"{}")])
    lost = await remove(stand.control, "old", "ada", discard=True, reason="the CRM is gone")
    assert (lost.backlog, lost.parked, lost.dead) == (3, 1, 1)
    assert await stand.names() == {"old2"}
    assert await stand.ledger.troubles(Query()) == []
    assert await jobs(stand.ledger) == []
    assert await stand.ledger.get("replay/") == {}
    kept = {
        name
        for prefix in ("flow/", "version/", "control/", "hand/")
        for name in await stand.ledger.get(prefix)
    }
    assert kept == {"version/old2/v1"}
    (audit,) = await stand.ledger.audits("flow/old")
    assert (audit.action, audit.who, audit.reason) == ("remove flow", "ada", "the CRM is gone")
    assert audit.before is not None
    assert msgspec.json.decode(audit.before) == {
        "flow": "old",
        "backlog": 3,
        "parked": 1,
        "dead": 1,
        "replaying": 0,
    }
    assert await check(stand.log, stand.ledger) == []


async def test_an_idle_flow_is_removed_without_asking(stand: Stand) -> None:
    await stand.ledger.open_lane("idle", 0, 0)
    lost = await remove(stand.control, "idle", "ada")
    assert (lost.backlog, lost.parked, lost.dead) == (0, 0, 0)
    assert await stand.names() == set()


async def test_a_job_on_dead_letters_goes_on_under_the_new_name(stand: Stand) -> None:
    await stand.fill()
    begun = await begin_job(stand.control, "redrive", Spec(selection=Selection(flow="old")), "ada")
    stopped = replace(begun, progress=msgspec.Raw(b'{"after": ["old", 0, 2]}'))
    await stand.ledger.change([replaced(begun, stopped)])
    await rename(stand.control, "old", "new", "ada")
    job = await job_of(stand.ledger, begun.id)
    after = await work_page(stand.control, job, None, 10)
    assert after is not None
    assert (after.state, after.done, after.flow) == ("done", 1, "new")
    assert {one.state for one in await stand.ledger.troubles(Query())} == {"parked"}


async def tell(
    ledger: MemoryLedger, *flows: str, beat: int = 1, behind: timedelta = timedelta()
) -> None:
    """Have a worker tell that it works these flows."""
    at = CLOCK.now() - behind
    record = WorkerRecord(beat, at, AT, "there", 1, dict.fromkeys(flows, "v"))
    await ledger.put(WORKER + "w", msgspec.json.encode(record))


async def test_an_outdated_program_does_not_open_the_old_name_anew(stand: Stand) -> None:
    await stand.fill()
    await take_census(stand.ledger, program("between", renamed_from="old"), CLOCK)
    await take_census(stand.ledger, program("new", renamed_from="between"), CLOCK)
    await tell(stand.ledger, "new")
    for name in ("old", "between"):
        census = await take_census(stand.ledger, program(name, "other"), CLOCK)
        assert census.outdated == [(name, "new")]
        assert [one.name for one in census.program.flows] == ["other"]
        assert "new" not in census.undeclared, "somebody works it"
    both = await take_census(stand.ledger, program("old", "new"), CLOCK)
    assert both.outdated == []
    assert [one.known_as for one in both.program.flows] == ["old#2", "old"]


async def test_an_old_name_is_free_when_nobody_works_the_new_one(stand: Stand) -> None:
    await stand.fill()
    await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = await take_census(stand.ledger, program("old"), CLOCK)
    assert (census.outdated, census.undeclared) == ([], ["new"])
    assert [one.name for one in census.program.flows] == ["old"]


async def test_a_name_that_was_given_back_is_not_outdated(stand: Stand) -> None:
    await stand.fill()
    await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    await take_census(stand.ledger, program("old", renamed_from="new"), CLOCK)
    await tell(stand.ledger, "old")
    census = await take_census(stand.ledger, program("new"), CLOCK)
    assert census.outdated == [("new", "old")]


async def watched(stand: Stand, work: Coroutine[Any, Any, T], *, beats: bool) -> T:
    """Return what comes of it while a worker of ``new`` beats, or is dead; its clock is behind."""
    await tell(stand.ledger, "new", behind=HOUR)
    task = asyncio.create_task(work)
    await CLOCK.turn(DEAD_AFTER_S / 2)
    assert not task.done(), "whether it is alive is not known yet"
    if beats:
        await tell(stand.ledger, "new", beat=2, behind=HOUR)
    await CLOCK.turn(DEAD_AFTER_S)
    assert task.done()
    return await task


@pytest.mark.parametrize("beats", [True, False])
async def test_who_beats_works_its_flows_whatever_its_clock_says(stand: Stand, beats: bool) -> None:
    await stand.fill()
    await take_census(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = take_census(stand.ledger, program("old", "other"), CLOCK)
    found = await watched(stand, census, beats=beats)
    assert found.outdated == ([("old", "new")] if beats else [])
    assert found.undeclared == ([] if beats else ["new"])


@pytest.mark.parametrize("beats", [True, False])
async def test_a_flow_is_changed_only_when_no_beat_of_its_workers_moves(
    stand: Stand, beats: bool
) -> None:
    await stand.fill("new")
    change = replace(stand.control, clock=CLOCK)
    refused = pytest.raises(Conflict, match="running") if beats else contextlib.nullcontext()
    with refused:
        await watched(stand, rename(change, "new", "newer", "ada"), beats=beats)
    assert await stand.names() == ({"new", "new@r1"} if beats else {"newer", "newer@r1"})


async def test_nobody_waits_for_a_beat_where_it_does_not_matter(stand: Stand) -> None:
    await stand.fill()
    await tell(stand.ledger, "sales", behind=HOUR)
    began = CLOCK.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        await take_census(stand.ledger, program("old", "sales"), CLOCK)
        await rename(replace(stand.control, clock=CLOCK), "old", "new", "ada")
    assert CLOCK.monotonic() == began


async def test_a_worker_that_starts_while_others_are_watched_is_alive(stand: Stand) -> None:
    await stand.fill()
    await tell(stand.ledger, "old", behind=HOUR)
    change = replace(stand.control, clock=CLOCK)
    removing = asyncio.create_task(remove(change, "old", "ada", discard=True))
    await CLOCK.turn(DEAD_AFTER_S / 2)
    behind = CLOCK.now() - HOUR
    started = WorkerRecord(1, behind, behind, "there", 2, {"old": "v"})
    await stand.ledger.put(WORKER + "w2", msgspec.json.encode(started))
    await CLOCK.turn(DEAD_AFTER_S)
    with pytest.raises(Conflict, match="declared and running"):
        await removing
