"""A flow that gets another name delivers exactly once, to PostgreSQL and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import asyncpg
import pytest
from msgspec.structs import replace

from busway import App, Backoff, Event
from busway.control.context import ControlContext
from busway.control.flow.lifecycle import remove, rename
from busway.engine.registry import open_stores
from busway.errors import Conflict
from busway.failed_event import FailedEvent, Resolution
from busway.settings import Settings
from busway.sinks import http, postgres
from delivery_node import QUICK, Running, event, running
from http_target import Answer, http_target
from postgres_server import PostgresServer


def orders(server: PostgresServer, table: str, name: str, **options: Any) -> App:
    """Return a flow that inserts every event (twice is two rows), but fails for odd ones first."""
    app = App("shop")

    def row(found: Event) -> dict[str, Any]:
        if found.data["n"] % 2 and found.attempt == 1:
            raise RuntimeError("not yet")
        return {"n": found.data["n"]}

    given: dict[str, Any] = {"start": "beginning", "retry": QUICK} | options
    app.flow(name, to=postgres(server.dsn, table=table, create=True), steps=[row], **given)
    return app


async def numbers(server: PostgresServer, table: str) -> list[int]:
    connection = await asyncpg.connect(server.dsn)
    try:
        return [row["n"] for row in await connection.fetch(f'SELECT n FROM "{table}" ORDER BY n')]
    finally:
        await connection.close()


async def rewind(data: Path, flow: str, start: int = 0) -> None:
    """Give a flow's lanes their first cursor again, as after a crash before the settlement."""
    connection = apsw.Connection(str(data / "ledger.db"))
    try:
        connection.execute("DELETE FROM failed_event WHERE flow = ?", (flow,))
        connection.execute("DELETE FROM settled_range WHERE flow = ?", (flow,))
        connection.execute(
            "UPDATE lane SET cursor = start, delivered = 0, filtered = 0, parked = 0, dead = 0"
            " WHERE flow = ?",
            (flow,),
        )
    finally:
        connection.close()


async def test_what_was_parked_under_the_old_name_lands_once_under_the_new_one(
    server: PostgresServer, tmp_path: Path
) -> None:
    data, slow = tmp_path / "bus", Backoff(first=3600, cap=3600, attempts=5)
    old = orders(server, "renamed", "big_orders", retry=slow)
    async with running(old, data) as before:
        await before.post(*(event(n, f"k{n}") for n in range(20)))
        await before.until("big_orders", delivered=10, parked=10)
    new = orders(server, "renamed", "orders", renamed_from="big_orders")
    async with running(new, data) as after:
        for letter in await after.troubles("orders", state="parked"):
            await _due_now(after, letter)
        await after.until("orders", delivered=20, parked=0, accepted=20)
        await after.post(event(20, "k20"))
        await after.until("orders", delivered=21)
        assert [one.flow for one in await after.stores.ledger.lanes()] == ["orders", "orders"]
    assert await numbers(server, "renamed") == list(range(21))


async def test_what_was_not_settled_before_the_renaming_lands_once(
    server: PostgresServer, tmp_path: Path
) -> None:
    data = tmp_path / "bus"
    async with running(orders(server, "crashed", "big_orders"), data) as before:
        await before.post(*(event(n, f"k{n}") for n in range(0, 40, 2)))
        await before.until("big_orders", delivered=20)
    await rewind(data, "big_orders")
    new = orders(server, "crashed", "orders", renamed_from="big_orders")
    async with running(new, data) as after:
        await after.until("orders", delivered=20, backlog=0)
    assert await numbers(server, "crashed") == list(range(0, 40, 2))


async def test_idempotency_keys_stay_the_same(tmp_path: Path) -> None:
    async with http_target() as target:
        target.decide = lambda call: Answer(500)
        app = App("shop")
        app.flow("old", to=http(target.url), retry=Backoff(first=0.01, attempts=2))
        async with running(app, tmp_path / "bus") as before:
            await before.post(event(1))
            await before.until("old", dead=1)
        target.decide = lambda call: Answer(200)
        app = App("shop")
        app.flow("new", to=http(target.url), renamed_from="old")
        async with running(app, tmp_path / "bus") as after:
            for letter in await after.troubles("new", state="dead"):
                await _due_now(after, letter)
            await after.until("new", delivered=1)
        assert len({call.key for call in target.calls}) == 1
        assert len(target.calls) == 3


async def test_a_flow_that_is_declared_again_after_its_name_was_used_is_a_new_one(
    server: PostgresServer, tmp_path: Path
) -> None:
    data = tmp_path / "bus"
    async with running(orders(server, "again", "first"), data) as before:
        await before.post(*(event(n, f"k{n}") for n in range(0, 10, 2)))
        await before.until("first", delivered=5)
    async with running(orders(server, "again", "second", renamed_from="first"), data) as renamed:
        await renamed.until("second", delivered=5)
    both = orders(server, "again", "second")
    both.declarations += orders(server, "again", "first").declarations
    async with running(both, data) as after:
        await after.until("first", delivered=5, backlog=0)
        await after.until("second", delivered=5)
    assert await numbers(server, "again") == sorted([*range(0, 10, 2)] * 2)


async def test_a_flow_is_removed_only_on_purpose(server: PostgresServer, tmp_path: Path) -> None:
    data = tmp_path / "bus"
    async with running(orders(server, "gone", "first"), data) as before:
        await before.post(event(0), event(2))
        await before.until("first", delivered=2)
        control = ControlContext(
            log=before.stores.log, ledger=before.stores.ledger, program=lambda: before.node.program
        )
        with pytest.raises(Conflict, match="declared and running"):
            await remove(control, "first", "ada", discard=True)
    async with running(orders(server, "gone", "other"), data) as after:
        await after.post(event(4))
        await after.until("first", backlog=1, declared=False)
        control = ControlContext(
            log=after.stores.log, ledger=after.stores.ledger, program=lambda: after.node.program
        )
        with pytest.raises(Conflict, match="a backlog of 1, 0 parked and 0 dead"):
            await remove(control, "first", "ada")
        lost = await remove(control, "first", "ada", discard=True)
        assert lost.backlog == 1
        assert {one.flow for one in await after.stores.ledger.lanes()} == {"other"}


async def test_an_operator_renames_a_data_directory(server: PostgresServer, tmp_path: Path) -> None:
    data = tmp_path / "bus"
    async with running(orders(server, "by_hand", "first"), data) as before:
        await before.post(event(0), event(2))
        await before.until("first", delivered=2)
    stores = await open_stores(Settings(data=data))
    try:
        await rename(ControlContext(log=stores.log, ledger=stores.ledger), "first", "second", "ada")
    finally:
        await stores.close()
    await rewind(data, "second")
    async with running(orders(server, "by_hand", "second"), data) as after:
        await after.until("second", delivered=2, backlog=0)
    assert await numbers(server, "by_hand") == [0, 2]


async def _due_now(on: Running, trouble: FailedEvent) -> None:
    parked = replace(trouble, state="parked", due=trouble.since)
    place = (trouble.flow, trouble.partition, trouble.offset)
    verdict = Resolution(*place, trouble.attempts, trouble.state, parked, trouble.since)
    assert list(await on.stores.ledger.resolve([verdict])) == [True]
