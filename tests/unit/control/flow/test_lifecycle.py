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
from busway.control.conservation_check import check_conservation
from busway.control.context import ControlContext
from busway.control.dead_letter.job import (
    DeadLetterJobSpec,
    begin_dead_letter_job,
    work_page,
)
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.flow.lifecycle import (
    reconcile_program,
    remove,
    rename,
    undeclared_flows,
)
from busway.control.job import Job, create_job, job_replacement, jobs
from busway.control.job import job as job_of
from busway.control.operator_control.record import ControlTarget
from busway.control.record import FLOW, FlowRecord, flow_records, version_key
from busway.control.worker import WORKER, WorkerRecord
from busway.delivery.rebalance import DEAD_AFTER_S
from busway.errors import Conflict, NotFound, SettingsError
from busway.failed_event import FailedEvent, FailedEventQuery
from busway.flow import CompiledApp, compile_app
from busway.lane import Counts, Lane
from busway.named_value import ValueChange
from busway.ports import NewBatch
from busway.settlement import Settlement
from busway.sinks import console
from busway.testing import ManualClock, MemoryLedger, MemoryLog
from command import DEADLINE_S

AT = datetime(2026, 3, 1, tzinfo=UTC)
CLOCK = ManualClock(AT)
HOUR = timedelta(hours=1)
T = TypeVar("T")


def program(*flows: str, **options: Any) -> CompiledApp:
    app = App("shop")
    for name in flows:
        app.flow(name, to=console(), **options)
    return compile_app(app)


class Stand:
    """A ledger where flow ``old`` has a backlog of 3, one parked event, one dead letter."""

    def __init__(self) -> None:
        self.log = MemoryLog(2)
        self.ledger = MemoryLedger()
        self.running: CompiledApp | None = None
        self.control = ControlContext(
            log=self.log, ledger=self.ledger, program=lambda: self.running
        )

    async def fill(self, flow: str = "old", known_as: str = "") -> None:
        if await self.log.bounds(0) == (0, 0):
            await self.log.append([NewBatch(0, [b"{}"] * 8), NewBatch(1, [b"{}"])], AT)
        for partition in range(2):
            await self.ledger.open_lane(flow, partition, 0)
        parked = FailedEvent(flow, 0, 1, b"{}", "e1", "parked", AT, 1, AT)
        dead = FailedEvent(flow, 0, 3, b"{}", "e3", "dead", AT, 1)
        troubles = (parked, dead)
        counts = Counts(delivered=4, parked=1, dead=1)
        await self.ledger.settle([Settlement(flow, 0, 0, 6, AT, "v1", counts, troubles)])
        record = FlowRecord("console", "v1", "flows.py:3", ordered=False, known_as=known_as)
        await self.ledger.put_value(FLOW + flow, msgspec.json.encode(record))
        await self.ledger.put_value(version_key(flow, "v1"), b"{}")
        await self.ledger.put_value(f"in-flight/{flow}/0", b"{}")
        await self.ledger.put_value(ControlTarget("flow", flow).key, b'{"windows": []}')
        job = Job(id="r1", kind="replay", flow=flow, actor="ada", created_at=AT, changed_at=AT)
        await create_job(self.ledger, replace(job, progress=msgspec.Raw(b'{"spans": []}')))
        await self.ledger.put_value("replay/r1/0", b"2")
        await self.ledger.open_lane(f"{flow}@r1", 0, 2)

    async def names(self) -> set[str]:
        return {lane.flow for lane in await self.ledger.lanes()}


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_a_declared_renaming_takes_everything_along(stand: Stand) -> None:
    await stand.fill()
    census = await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert census.renamed == [("old", "new")]
    assert [one.original_name for one in census.program.flows] == ["old"]
    assert await stand.names() == {"new", "new@r1"}
    assert (await stand.ledger.lanes())[0] == Lane("new", 0, 0, 6, Counts(4, 0, 1, 1))
    assert {one.flow for one in await stand.ledger.failed_events(FailedEventQuery())} == {"new"}
    assert (await flow_records(stand.ledger))["new"].known_as == "old"
    assert [one.flow for one in await jobs(stand.ledger)] == ["new"]
    kept = {
        name
        for prefix in ("flow/", "version/", "control/", "in-flight/")
        for name in await stand.ledger.get_values(prefix)
    }
    assert kept == {"flow/new", "version/new/v1", "control/flow/new", "in-flight/new/0"}
    (audit,) = await stand.ledger.audit_records("flow/new")
    assert (audit.action, audit.actor, audit.before, audit.after) == (
        "rename flow",
        "busway",
        msgspec.Raw(b'"old"'),
        msgspec.Raw(b'"new"'),
    )
    assert await check_conservation(stand.log, stand.ledger) == []


async def test_renaming_again_keeps_the_first_name_for_sinks(stand: Stand) -> None:
    await stand.fill()
    await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = await reconcile_program(stand.ledger, program("newest", renamed_from="new"), CLOCK)
    assert [one.original_name for one in census.program.flows] == ["old"]
    again = await reconcile_program(stand.ledger, program("newest", renamed_from="new"), CLOCK)
    assert (again.renamed, again.program) == ([], census.program)


@pytest.mark.parametrize("steps", range(1, 9))
async def test_a_renaming_that_broke_off_is_taken_up_again(stand: Stand, steps: int) -> None:
    await stand.fill()
    broken = Breaking(stand.ledger, steps)
    with contextlib.suppress(RuntimeError):
        await reconcile_program(broken, program("new", renamed_from="old"), CLOCK)
    census = await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert [one.original_name for one in census.program.flows] == ["old"]
    assert await stand.names() == {"new", "new@r1"}
    assert set(await stand.ledger.get_values("control/")) == {"control/flow/new"}
    assert [one.flow for one in await jobs(stand.ledger)] == ["new"]


@pytest.mark.parametrize("steps", range(1, 6))
async def test_a_removal_that_broke_off_can_be_done_again(stand: Stand, steps: int) -> None:
    await stand.fill()
    broken = ControlContext(log=stand.log, ledger=Breaking(stand.ledger, steps))
    with contextlib.suppress(RuntimeError):
        await remove(broken, "old", "ada", discard=True)
    with contextlib.suppress(NotFound):
        await remove(stand.control, "old", "ada", discard=True)
    assert await stand.names() == set()
    census = await reconcile_program(stand.ledger, program("old"), CLOCK)
    assert [one.original_name for one in census.program.flows] == ["old#2"]
    assert await check_conservation(stand.log, stand.ledger) == []


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
    await reconcile_program(stand.ledger, compile_app(both), CLOCK)
    both = App("shop")
    both.flow("new", to=console())
    both.flow("old", to=console())
    census = await reconcile_program(stand.ledger, compile_app(both), CLOCK)
    assert [one.original_name for one in census.program.flows] == ["old", "old#2"]


async def test_a_flow_that_is_removed_and_declared_again_is_a_new_one(stand: Stand) -> None:
    await stand.fill()
    await remove(stand.control, "old", "ada", discard=True)
    census = await reconcile_program(stand.ledger, program("old"), CLOCK)
    assert [one.original_name for one in census.program.flows] == ["old#2"]


async def test_a_renaming_onto_a_flow_with_a_history_is_refused(stand: Stand) -> None:
    await stand.fill("old")
    await stand.ledger.open_lane("new", 0, 0)
    census = await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    assert (census.renamed, census.refused) == ([], [("old", "new")])
    assert census.undeclared == ["old"]
    assert {"old", "new"} <= await stand.names()


async def test_an_undeclared_flow_is_reported(stand: Stand) -> None:
    await stand.fill()
    census = await reconcile_program(stand.ledger, program("other"), CLOCK)
    assert census.undeclared == ["old"]
    (status,) = await undeclared_flows(stand.control)
    assert (status.name, status.backlog, status.parked, status.dead) == ("old", 3, 1, 1)
    census = await reconcile_program(stand.ledger, program("old"), CLOCK)
    assert census.undeclared == []


async def test_an_operator_can_rename_a_stopped_flow(stand: Stand) -> None:
    await stand.fill()
    with pytest.raises(NotFound, match="no flow 'odl'; did you mean 'old'"):
        await rename(stand.control, "odl", "new", "ada")
    for wrong in ("old", "two words", "old@r1"):
        with pytest.raises(SettingsError, match="not a valid new name"):
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
    (audit,) = await stand.ledger.audit_records("flow/new")
    assert (audit.actor, audit.reason) == ("ada", "a better name")
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
    await stand.log.append([NewBatch(0, [b"{}"] * 8)], AT)
    await stand.ledger.open_lane("old", 0, 8)
    job = Job(id="r2", kind="replay", flow="old", actor="ada", created_at=AT, changed_at=AT)
    spans = msgspec.Raw(b'{"spans": [{"partition": 0, "start": 2, "end": 7}]}')
    await create_job(stand.ledger, replace(job, progress=spans))
    await stand.ledger.open_lane("old@r2", 0, 2)
    with pytest.raises(Conflict, match=r"\(in replays\) 5 unfinished events"):
        await remove(stand.control, "old", "ada")
    assert (await remove(stand.control, "old", "ada", discard=True)).replaying == 5


async def test_removing_leaves_only_an_audit_record(stand: Stand) -> None:
    await stand.fill()
    await stand.ledger.open_lane("old2", 0, 0)
    await stand.ledger.change_values([ValueChange(version_key("old2", "v1"), b"{}")])
    lost = await remove(stand.control, "old", "ada", discard=True, reason="the CRM is gone")
    assert (lost.backlog, lost.parked, lost.dead) == (3, 1, 1)
    assert await stand.names() == {"old2"}
    assert await stand.ledger.failed_events(FailedEventQuery()) == []
    assert await jobs(stand.ledger) == []
    assert await stand.ledger.get_values("replay/") == {}
    kept = {
        name
        for prefix in ("flow/", "version/", "control/", "in-flight/")
        for name in await stand.ledger.get_values(prefix)
    }
    assert kept == {"version/old2/v1"}
    (audit,) = await stand.ledger.audit_records("flow/old")
    assert (audit.action, audit.actor, audit.reason) == ("remove flow", "ada", "the CRM is gone")
    assert audit.before is not None
    assert msgspec.json.decode(audit.before) == {
        "flow": "old",
        "backlog": 3,
        "parked": 1,
        "dead": 1,
        "replaying": 0,
    }
    assert await check_conservation(stand.log, stand.ledger) == []


async def test_an_idle_flow_is_removed_without_asking(stand: Stand) -> None:
    await stand.ledger.open_lane("idle", 0, 0)
    lost = await remove(stand.control, "idle", "ada")
    assert (lost.backlog, lost.parked, lost.dead) == (0, 0, 0)
    assert await stand.names() == set()


async def test_a_job_on_dead_letters_goes_on_under_the_new_name(stand: Stand) -> None:
    await stand.fill()
    begun = await begin_dead_letter_job(
        stand.control,
        "redrive",
        DeadLetterJobSpec(selection=DeadLetterSelection(flow="old")),
        "ada",
    )
    stopped = replace(begun, progress=msgspec.Raw(b'{"after": ["old", 0, 2]}'))
    await stand.ledger.change_values([job_replacement(begun, stopped)])
    await rename(stand.control, "old", "new", "ada")
    job = await job_of(stand.ledger, begun.id)
    after = await work_page(stand.control, job, None, 10)
    assert after is not None
    assert (after.state, after.done, after.flow) == ("done", 1, "new")
    assert {one.state for one in await stand.ledger.failed_events(FailedEventQuery())} == {"parked"}


async def tell(
    ledger: MemoryLedger, *flows: str, beat: int = 1, behind: timedelta = timedelta()
) -> None:
    """Have a worker tell that it works these flows."""
    at = CLOCK.now() - behind
    record = WorkerRecord(beat, at, AT, "there", 1, dict.fromkeys(flows, "v"))
    await ledger.put_value(WORKER + "w", msgspec.json.encode(record))


async def test_an_outdated_program_does_not_open_the_old_name_anew(stand: Stand) -> None:
    await stand.fill()
    await reconcile_program(stand.ledger, program("between", renamed_from="old"), CLOCK)
    await reconcile_program(stand.ledger, program("new", renamed_from="between"), CLOCK)
    await tell(stand.ledger, "new")
    for name in ("old", "between"):
        census = await reconcile_program(stand.ledger, program(name, "other"), CLOCK)
        assert census.outdated == [(name, "new")]
        assert [one.name for one in census.program.flows] == ["other"]
        assert "new" not in census.undeclared, "somebody works it"
    both = await reconcile_program(stand.ledger, program("old", "new"), CLOCK)
    assert both.outdated == []
    assert [one.original_name for one in both.program.flows] == ["old#2", "old"]


async def test_an_old_name_is_free_when_nobody_works_the_new_one(stand: Stand) -> None:
    await stand.fill()
    await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = await reconcile_program(stand.ledger, program("old"), CLOCK)
    assert (census.outdated, census.undeclared) == ([], ["new"])
    assert [one.name for one in census.program.flows] == ["old"]


async def test_a_name_that_was_given_back_is_not_outdated(stand: Stand) -> None:
    await stand.fill()
    await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    await reconcile_program(stand.ledger, program("old", renamed_from="new"), CLOCK)
    await tell(stand.ledger, "old")
    census = await reconcile_program(stand.ledger, program("new"), CLOCK)
    assert census.outdated == [("new", "old")]


async def watched(stand: Stand, work: Coroutine[Any, Any, T], *, beats: bool) -> T:
    """Return what comes of it while a worker of ``new`` beats, or is dead; its clock is behind."""
    await tell(stand.ledger, "new", behind=HOUR)
    task = asyncio.create_task(work)
    await CLOCK.advance(DEAD_AFTER_S / 2)
    assert not task.done(), "whether it is alive is not known yet"
    if beats:
        await tell(stand.ledger, "new", beat=2, behind=HOUR)
    await CLOCK.advance(DEAD_AFTER_S)
    assert task.done()
    return await task


@pytest.mark.parametrize("beats", [True, False])
async def test_a_worker_with_heartbeats_keeps_its_flows_whatever_its_clock(
    stand: Stand, beats: bool
) -> None:
    await stand.fill()
    await reconcile_program(stand.ledger, program("new", renamed_from="old"), CLOCK)
    census = reconcile_program(stand.ledger, program("old", "other"), CLOCK)
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


async def test_heartbeats_are_only_awaited_if_they_matter(stand: Stand) -> None:
    await stand.fill()
    await tell(stand.ledger, "sales", behind=HOUR)
    began = CLOCK.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        await reconcile_program(stand.ledger, program("old", "sales"), CLOCK)
        await rename(replace(stand.control, clock=CLOCK), "old", "new", "ada")
    assert CLOCK.monotonic() == began


async def test_a_worker_that_starts_while_others_are_watched_is_alive(stand: Stand) -> None:
    await stand.fill()
    await tell(stand.ledger, "old", behind=HOUR)
    change = replace(stand.control, clock=CLOCK)
    removing = asyncio.create_task(remove(change, "old", "ada", discard=True))
    await CLOCK.advance(DEAD_AFTER_S / 2)
    behind = CLOCK.now() - HOUR
    started = WorkerRecord(1, behind, behind, "there", 2, {"old": "v"})
    await stand.ledger.put_value(WORKER + "w2", msgspec.json.encode(started))
    await CLOCK.advance(DEAD_AFTER_S)
    with pytest.raises(Conflict, match="declared and running"):
        await removing
