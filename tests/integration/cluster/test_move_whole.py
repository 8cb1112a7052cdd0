"""All that a directory holds is moved, wherever it is cut off on the way."""

from __future__ import annotations

import base64
import itertools
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from busway import batch_codec as codec
from busway.clock import SystemClock
from busway.control.move import copy as move_copy
from busway.control.move.mover import MovePlan, Mover, MoveReport
from busway.engine.jetstream import JetStreamAddress, JetStreamLog
from busway.engine.jetstream.connection import NatsConnection
from busway.engine.jetstream.provisioning import provision
from busway.engine.jetstream.stream import LogStream
from busway.engine.move import open_origin, target_of
from busway.engine.postgres.move import target_state
from busway.engine.registry import open_stores
from busway.errors import (
    Conflict,
    NotFound,
    StoreCorrupted,
    StoreError,
    StoreLocked,
    StoreMoved,
)
from busway.failed_event import FailedEventQuery, Resolution
from busway.ports import NewBatch
from busway.ports.move import (
    MOVE_KEY,
    Bookmark,
    Move,
    MoveReceiver,
    MoveTarget,
    TargetState,
)
from busway.settings import Settings
from directory import AT, FLOW, PARTITIONS, append, held, held_by, make_directory, opened, settle
from nats_cluster import NatsCluster, nats_cluster
from postgres_server import PostgresServer

EVENTS = 200


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    await make_directory(tmp_path / "data", EVENTS)
    return tmp_path / "data"


class Breaking:
    """A target to which the connection is lost after so many calls: before one, or after it."""

    def __init__(self, target: MoveTarget, calls: int) -> None:
        self._target = target
        self._calls = calls
        self.broke = False

    @property
    def name(self) -> str:
        return self._target.name

    async def inspect(self) -> TargetState:
        return await self._target.inspect()

    async def begin(self, move: Move, bases: Sequence[int]) -> MoveReceiver:
        self._count()
        receiving = await self._target.begin(move, bases)
        found: Any = receiving
        for owner, name in (
            (found, "append"),
            (found, "finish"),
            (found.ledger, "import_page"),
            (found.ledger, "change_values"),
        ):
            setattr(owner, name, self._counted(getattr(owner, name)))
        try:
            self._count()
        except StoreError:
            await receiving.close()
            raise
        return receiving

    def _counted(self, call: Any) -> Any:
        async def counted(*given: Any) -> Any:
            self._count()
            answer = await call(*given)
            self._count()
            return answer

        return counted

    def _count(self) -> None:
        self._calls -= 1
        if self._calls < 0:
            self.broke = True
            raise StoreError("the connection was lost")


async def moved(path: Path, settings: Settings, breaking_after: int = 1_000_000) -> MoveReport:
    target = Breaking(target_of(settings), breaking_after)
    origin = await open_origin(path)
    try:
        return await Mover(origin, target, SystemClock(), lambda *_: None).move("ann")
    finally:
        await origin.close()


async def planned(path: Path, settings: Settings) -> MovePlan:
    origin = await open_origin(path)
    try:
        target = target_of(settings)
        return await Mover(origin, target, SystemClock(), lambda *_: None).plan()
    finally:
        await origin.close()


async def cut_off_in(kind: str, path: Path, settings: Settings) -> None:
    """Let a move begin, and cut it off when a part of a kind of records is there."""
    bookmark: Bookmark | None = None
    for calls in itertools.chain([14], itertools.repeat(5)):
        with pytest.raises(StoreError, match="lost"):
            await moved(path, settings, breaking_after=calls)
        place, elsewhere = settings.ledger or settings.engine, bool(settings.ledger)
        standing = await target_state(place, log_elsewhere=elsewhere)
        bookmark = None if standing.move is None else standing.move.bookmark
        assert bookmark is not None
        if bookmark.kind == kind and bookmark.after[0]:
            return


async def test_everything_is_moved(path: Path, settings: Settings) -> None:
    before = await held(path)
    report = await moved(path, settings)
    assert await held_by(settings) == before
    assert [(one.base, one.end) for one in report.partitions] == before["bounds"]
    assert all(one.base > 0 for one in report.partitions), "it was trimmed"


async def test_a_move_goes_on_wherever_it_was_cut_off(
    path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_copy, "PORTION_BYTES", 2_000)
    before = await held(path)
    reasons: list[str] = []
    marked = 0
    for calls in itertools.cycle(range(1, 9)):
        try:
            await moved(path, settings, breaking_after=calls)
        except StoreError as error:
            reasons.append(str(error))
        else:
            break
        with pytest.raises(StoreMoved, match="unfinished"):
            await held_by(settings)
        if (path / "moved.json").exists():
            marked += 1
            with pytest.raises(StoreMoved, match="was moved to"):
                await held(path)
    assert len(reasons) > 8
    assert set(reasons) == {"the connection was lost"}
    assert marked, "the last breaks are between the mark and the end"
    assert await held_by(settings) == before


async def test_what_ran_between_two_parts_of_a_move_is_moved_as_it_is_then(
    path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(move_copy, "PORTION_BYTES", 2_000)
    await cut_off_in("failed_events", path, settings)
    async with opened(path) as stores:
        await append(stores.log, 50, first=EVENTS)
        for partition in range(PARTITIONS):
            await settle(stores.ledger, partition, EVENTS * 4 // 5, EVENTS, bad=5)
            await stores.log.trim(partition, EVENTS // 3)
        (trouble, *_) = await stores.ledger.failed_events(FailedEventQuery(state="parked"))
        tried = msgspec.structs.replace(trouble, attempts=2, due=trouble.since)
        place = (trouble.flow, trouble.partition, trouble.offset, 1)
        assert await stores.ledger.resolve([Resolution(*place, "parked", tried, AT)]) == [True]
    before = await held(path)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=5)
    await moved(path, settings)
    assert await held_by(settings) == before


async def test_a_retry_between_two_parts_of_a_move_is_noticed(
    path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(engine=engine)
    monkeypatch.setattr(move_copy, "PORTION_BYTES", 2_000)
    await cut_off_in("failed_events", path, settings)
    async with opened(path) as stores:  # nothing but an attempt is another one
        (trouble, *_) = await stores.ledger.failed_events(FailedEventQuery(state="parked"))
        tried = msgspec.structs.replace(trouble, attempts=2)
        place = (trouble.flow, trouble.partition, trouble.offset, 1)
        assert await stores.ledger.resolve([Resolution(*place, "parked", tried, AT)]) == [True]
    before = await held(path)
    await moved(path, settings)
    assert await held_by(settings) == before


async def test_a_target_that_is_used_is_refused_and_stays_as_it_is(
    path: Path, settings: Settings
) -> None:
    stores = await open_stores(settings)
    await stores.ledger.open_lane("other", 0, 0)
    await stores.close()
    plan = await planned(path, settings)
    assert (plan.target, plan.events) == ("refused", PARTITIONS * EVENTS * 9 // 10)
    with pytest.raises(Conflict, match="is used already"):
        await moved(path, settings)
    stores = await open_stores(settings)
    assert [one.flow for one in await stores.ledger.lanes()] == ["other"]
    assert await stores.ledger.get_values(MOVE_KEY) == {}
    await stores.close()
    assert (await held(path))["identity"], "nor is the directory marked"


async def test_a_stream_that_is_used_is_refused(path: Path, engine: str, nats: NatsCluster) -> None:
    name = engine.rpartition("/")[2]
    log = await JetStreamLog.open(JetStreamAddress.parse(nats.address(name)), 2)
    await log.append([NewBatch(0, [b"{}"])], AT)
    await log.close()
    settings = Settings(engine=nats.address(name), ledger=engine)
    with pytest.raises(Conflict, match="give the log another name"):
        await moved(path, settings)
    assert (await target_state(engine)).move is None, "nothing was begun in the database"


async def test_an_event_that_is_too_large_for_the_servers_is_refused(
    path: Path, engine: str
) -> None:
    async with opened(path) as stores:
        _, at = await stores.log.bounds(1)
        data = base64.b64encode(random.Random(1).randbytes(200_000)).decode()
        await stores.log.append([NewBatch(1, [b'{"data":"%s"}' % data.encode()])], AT)
    with nats_cluster(max_payload=64 * 1024) as nats:
        place = nats.address(engine.rpartition("/")[2])
        settings = Settings(engine=place, ledger=engine, max_event_bytes=10_000)
        with pytest.raises(
            Conflict, match=rf"offset {at} of partition 1 is too large .* max_payload"
        ):
            await moved(path, settings)


async def test_a_stream_that_was_never_used_is_taken_also_without_atomic_batches(
    path: Path, engine: str, nats: NatsCluster
) -> None:
    before = await held(path)
    settings = Settings(engine=nats.address(engine.rpartition("/")[2]), ledger=engine)
    link = await NatsConnection.open(JetStreamAddress.parse(settings.engine))
    stream = LogStream(link)
    prepared = await provision(stream, 1, 0)
    await stream.update(prepared.info.config | {"allow_atomic": False})
    await link.close()
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=6)
    await moved(path, settings)
    assert await held_by(settings) == before


async def test_a_stream_with_a_part_of_a_move_is_not_opened_with_another_ledger(
    path: Path, engine: str, nats: NatsCluster, server: PostgresServer
) -> None:
    settings = Settings(engine=nats.address(engine.rpartition("/")[2]), ledger=engine)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=5)
    other = msgspec.structs.replace(settings, ledger=await server.fresh_database())
    with pytest.raises(StoreMoved, match="another ledger"):
        await open_stores(other)
    with pytest.raises(Conflict, match="used already"):
        await moved(path, other)
    await moved(path, settings)
    assert (await held_by(settings))["lanes"]


async def test_a_move_goes_on_only_with_its_log_where_it_was(
    path: Path, engine: str, nats: NatsCluster, settings: Settings
) -> None:
    both = [
        Settings(engine=engine),
        Settings(engine=nats.address(engine.rpartition("/")[2]), ledger=engine),
    ]
    (other,) = (one for one in both if one.engine != settings.engine)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=6)
    plan = await planned(path, other)
    assert (plan.target, " holds a move " in plan.reason) == ("refused", True)
    with pytest.raises(Conflict, match="holds a move"):
        await moved(path, other)
    await moved(path, settings)
    with pytest.raises(StoreCorrupted):
        await open_stores(other)
    assert (await planned(path, other)).target == "refused"


async def test_the_target_of_another_move_is_refused(
    path: Path, tmp_path: Path, engine: str
) -> None:
    settings = Settings(engine=engine)
    await make_directory(tmp_path / "other", 20)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=5)
    with pytest.raises(Conflict, match="is taking another installation"):
        await moved(tmp_path / "other", settings)
    await moved(path, settings)
    with pytest.raises(Conflict, match="holds another installation"):
        await moved(tmp_path / "other", settings)


async def test_a_directory_is_moved_once(path: Path, tmp_path: Path, engine: str) -> None:
    settings = Settings(engine=engine)
    await moved(path, settings)
    assert (await planned(path, settings)).target == "moved"
    assert (await moved(path, settings)).plan.target == "moved", "there is nothing left to do"
    with pytest.raises(StoreMoved, match=f"{path}.* was moved to .*; run that, with --engine"):
        await held(path)
    (path / "moved.json").unlink()  # somebody uses it all the same
    await held(path)
    with pytest.raises(Conflict, match="has this installation since"):
        await moved(path, settings)


async def test_a_directory_that_was_moved_is_not_moved_elsewhere(
    path: Path, engine: str, server: PostgresServer
) -> None:
    await moved(path, Settings(engine=engine))
    plan = await planned(path, Settings(engine=await server.fresh_database()))
    assert plan.target == "refused"
    assert "was moved to" in plan.reason


async def test_an_older_copy_does_not_go_on_with_a_move(
    path: Path, tmp_path: Path, engine: str
) -> None:
    shutil.copytree(path, tmp_path / "copy")
    async with opened(path) as stores:
        await append(stores.log, 50, first=EVENTS)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, Settings(engine=engine), breaking_after=5)
    with pytest.raises(StoreCorrupted, match="older copy"):
        await moved(tmp_path / "copy", Settings(engine=engine))


async def test_who_has_the_directory_open_is_named(path: Path, engine: str) -> None:
    async with opened(path):
        with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()}"):
            await moved(path, Settings(engine=engine))


async def test_what_is_no_data_directory_is_not_made(tmp_path: Path, engine: str) -> None:
    with pytest.raises(NotFound, match="no data directory"):
        await moved(tmp_path / "none", Settings(engine=engine))
    assert not (tmp_path / "none").exists()


async def test_looking_makes_nothing(path: Path, engine: str) -> None:
    plan = await planned(path, Settings(engine=engine))
    assert plan.target == "free"
    connection = await asyncpg.connect(engine)
    try:
        assert await connection.fetchval("SELECT to_regnamespace('busway')") is None
    finally:
        await connection.close()


async def test_a_difference_in_the_target_is_found(path: Path, engine: str) -> None:
    settings = Settings(engine=engine)
    with pytest.raises(StoreError, match="lost"):
        await moved(path, settings, breaking_after=8)
    connection = await asyncpg.connect(engine)
    try:
        body = codec.encode_compressed([b"{}"] * 10)
        await connection.execute(
            'UPDATE busway.batch SET body = $1 WHERE partition = 0 AND "offset" = 30', body
        )
    finally:
        await connection.close()
    with pytest.raises(StoreCorrupted, match=r"partition 0 .* 30\.\.40 is not the same"):
        await moved(path, settings)
    assert not (path / "moved.json").exists()


async def test_what_was_in_hand_at_an_unclean_end_is_taken_with_care(
    path: Path, settings: Settings
) -> None:
    async with opened(path) as stores:
        await stores.ledger.put_value("running", b"1")
        await stores.ledger.put_value(f"in-flight/{FLOW}/1", b'{"end":170}')
        await stores.ledger.open_lane(f"{FLOW}@r1", 0, 0)
    await moved(path, settings)
    stores = await open_stores(settings)
    workers = {(one.flow, one.partition): one.worker for one in await stores.ledger.lanes()}
    kept = await stores.ledger.get_values("")
    await stores.close()
    assert workers == {(FLOW, p): "moved" for p in range(PARTITIONS)} | {(f"{FLOW}@r1", 0): None}
    assert kept[f"in-flight/{FLOW}/1"] == b'{"end":170}'
    assert not {"running", "worker/w", "duty/maintenance"} & kept.keys()


async def test_marks_of_an_orderly_end_stay_behind(path: Path, engine: str) -> None:
    await moved(path, Settings(engine=engine))
    stores = await open_stores(Settings(engine=engine))
    assert {one.worker for one in await stores.ledger.lanes()} == {None}
    assert await stores.ledger.get_values("in-flight/") == {}
    await stores.close()
