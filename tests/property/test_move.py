"""Whatever a ledger on SQLite keeps is the same in PostgreSQL after it was moved there."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from busway.audit_record import AuditRecord
from busway.control.move.copy import copy_records, restart_copy, stored_move
from busway.control.move.record import moved_records
from busway.control.move.verification import compare_records
from busway.engine.move import open_origin, target_of
from busway.engine.registry import open_stores
from busway.failed_event import FailedEvent, Failure, Resolution
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.ports.move import Move, MoveReceiver
from busway.settings import Settings
from busway.settlement import Settlement
from effort import examples
from postgres_server import PostgresServer

START = datetime(2030, 1, 1, tzinfo=UTC)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
times = st.integers(0, 10**12).map(lambda number: START + timedelta(microseconds=number))
images = st.sampled_from([None, Raw(b"null"), Raw(b'{"a":"\xc3\xbc"}')])
failures = st.builds(
    Failure, st.integers(1, 9), times, st.just("step"), texts, texts, st.none() | texts, texts
)
troubles = st.builds(
    FailedEvent,
    flow=st.just("f"),
    partition=st.just(0),
    offset=st.just(0),
    event=st.binary(max_size=20),
    event_id=texts,
    state=st.sampled_from(["parked", "dead"]),
    since=times,
    attempts=st.integers(0, 9),
    due=times,
    key=st.none() | texts,
    failures=st.lists(failures, max_size=2).map(tuple),
    event_key=st.none() | texts,
    error=texts,
    fingerprint=texts,
    attempt_started_at=st.none() | times,
)
audits = st.builds(AuditRecord, times, texts, texts, texts, images, images, texts)
changes = st.builds(ValueChange, texts.map(lambda text: f"flow/{text}"), st.binary(max_size=20))


async def fill(
    ledger: Ledger, found: list[FailedEvent], trail: list[AuditRecord], kept: list[ValueChange]
) -> None:
    """Settle each trouble in a lane of its own partition, discard every third one."""
    for n, one in enumerate(found):
        trouble = _at(one, n)
        counts = Counts(**{one.state: 1})
        await ledger.open_lane("f", n, 7)
        place = ("f", n, 7, 8, one.since, one.error)
        assert await ledger.settle([Settlement(*place, counts, (trouble,))]) == [True]
        if n % 3 == 0:
            verdict = Resolution(
                "f", n, 7, one.attempts, one.state, "discarded", one.since, "v", "ann"
            )
            assert await ledger.resolve([verdict]) == [True]
    await ledger.change_values(kept, trail)


def _at(one: FailedEvent, partition: int) -> FailedEvent:
    given = {name: getattr(one, name) for name in FailedEvent.__struct_fields__}
    return FailedEvent(**(given | {"partition": partition, "offset": 7}))


@given(st.lists(troubles, max_size=6), st.lists(audits, max_size=3), st.lists(changes, max_size=3))
@settings(max_examples=examples(8), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_are_the_same_in_postgresql(
    server: PostgresServer,
    found: list[FailedEvent],
    trail: list[AuditRecord],
    kept: list[ValueChange],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_moved(Path(folder), server.dsn, (found, trail, kept)))


async def _moved(
    path: Path, url: str, given: tuple[list[FailedEvent], list[AuditRecord], list[ValueChange]]
) -> None:
    stores = await open_stores(Settings(data=path))
    await fill(stores.ledger, *given)
    await stores.close()
    origin = await open_origin(path)
    receiving = await _receiving(url)
    try:
        moving = await moved_records(origin.ledger)
        await restart_copy(receiving.ledger, await stored_move(receiving.ledger), moving)
        await copy_records(origin.ledger, receiving.ledger, moving, lambda _: None)
        count = await compare_records(origin.ledger, receiving.ledger, moving, lambda _: None)
        assert count == sum((await origin.ledger.sizes()).values())
        assert await receiving.ledger.audit_records() == await origin.ledger.audit_records()
        assert await receiving.ledger.lanes() == await origin.ledger.lanes()
        for one in given[0]:
            resolved = await receiving.ledger.resolved_events(one.event_id)
            assert resolved == await origin.ledger.resolved_events(one.event_id)
    finally:
        await receiving.close()
        await origin.close()


async def _receiving(url: str) -> MoveReceiver:
    target = target_of(Settings(engine=url))
    move = (await target.inspect()).move or Move("m", "i", "here", START)
    return await target.begin(move, [0])
