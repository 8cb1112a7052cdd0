"""The sqlite sink against real database files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from busway.errors import SettingsError, SinkError
from busway.event import Event
from busway.outcome import DELIVERED, Down, Rejected
from busway.ports import Destination, KeepsPositions, Sink
from busway.settings import env
from busway.sink.sqlite.sink import Sqlite, SqliteDestination
from busway.sinks import sqlite
from sink_load import OF_EVERY_TYPE, KeptEvents, again, an_item, fresh, rows


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop.db"


@asynccontextmanager
async def opened(sink: Sqlite) -> AsyncIterator[Destination]:
    destination = await sink.open(KeptEvents())
    try:
        yield destination
    finally:
        await destination.close()


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


def orders(path: Path, **options: Any) -> Sqlite:
    declared: dict[str, Any] = {"key": "id", "create": True} | options
    return Sqlite(str(path), "orders", **declared)


async def test_creates_the_table_and_lands_rows(path: Path) -> None:
    async with opened(orders(path)) as destination:
        outcomes = await destination.write(fresh(rows(0, 3)))
    assert outcomes == [DELIVERED] * 3
    assert query(path, "SELECT id, name, total FROM orders ORDER BY id")[1:] == [
        (1, "customer 1", 0.25),
        (2, "customer 2", 0.5),
    ]


async def test_retry_delivers_a_failed_offset_once(path: Path) -> None:
    async with opened(orders(path, key=None)) as destination:
        await destination.write(fresh([*rows(0, 2), *rows(3, 5)], holes=[2]))
        assert await destination.write(again(rows(2, 3))) == [DELIVERED]
        assert await destination.write(again(rows(2, 3))) == [DELIVERED]
    assert query(path, "SELECT id FROM orders ORDER BY id") == [(n,) for n in range(5)]
    assert query(path, "SELECT * FROM busway_exception") == []


async def test_rejects_the_bad_rows_only(path: Path) -> None:
    apsw.Connection(str(path)).execute(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL NOT NULL CHECK (total >= 0))"
    )
    items = [an_item(n, {"id": n, "total": n / 2}) for n in range(100)]
    items[7] = an_item(7, {"id": 7, "total": None})
    items[60] = an_item(60, {"id": 60, "total": -1})
    items[61] = an_item(61, {"id": 61, "total": 1}, {"id": 2**70, "total": 1})
    async with opened(orders(path, create=False)) as destination:
        outcomes = await destination.write(fresh(items))
        bad = {n: outcome for n, outcome in enumerate(outcomes) if outcome is not DELIVERED}
        assert bad == {
            7: Rejected(
                "ConstraintError",
                "NOT NULL constraint failed: orders.total; the row is {'id': 7, 'total': None}",
            ),
            60: Rejected(
                "ConstraintError",
                "CHECK constraint failed: total >= 0; the row is {'id': 60, 'total': -1}",
            ),
            61: Rejected(
                "out of range",
                "column 'id': 1180591620717411303424 does not fit 64 bits; give it as a str",
            ),
        }
        mended = an_item(60, {"id": 60, "total": 1})
        assert await destination.write(again([mended])) == [DELIVERED]
    assert query(path, "SELECT count(*) FROM orders") == [(98,)]
    assert query(path, 'SELECT "offset" FROM busway_exception') == [(7,), (61,)]


async def test_the_last_row_of_a_key_wins_and_other_columns_stay(path: Path) -> None:
    async with opened(orders(path)) as destination:
        await destination.write(
            fresh([an_item(0, {"id": 1, "a": 1, "b": 1}), an_item(1, {"id": 1, "a": 2})])
        )
    assert query(path, "SELECT id, a, b FROM orders") == [(1, 2, 1)]


async def test_table_of_key_columns_only(path: Path) -> None:
    async with opened(orders(path, key=["id", "day"])) as destination:
        item = an_item(0, {"id": 1, "day": 2}, {"id": 1, "day": 2}, {"id": 1, "day": 3})
        assert await destination.write(fresh([item])) == [DELIVERED]
    assert query(path, "SELECT id, day FROM orders ORDER BY day") == [(1, 2), (1, 3)]


async def test_create_adds_columns_for_new_values(path: Path) -> None:
    async with opened(orders(path)) as destination:
        await destination.write(fresh([an_item(0, {"id": 1, "note": None})]))
        await destination.write(fresh([an_item(1, {"id": 2, "note": "x", "Total": 1.5})]))
        await destination.write(fresh([an_item(2, {"id": 3, "total": 2.5})]))
    assert query(path, "SELECT id, note, Total FROM orders") == [
        (1, None, None),
        (2, "x", 1.5),
        (3, None, 2.5),
    ]


async def test_unknown_columns_are_rejected_when_not_asked_to_create(path: Path) -> None:
    apsw.Connection(str(path)).execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    async with opened(orders(path, create=False)) as destination:
        outcomes = await destination.write(
            fresh([an_item(0, {"id": 1}), an_item(1, {"id": 2, "nmae": "x"})])
        )
    assert outcomes[0] is DELIVERED
    assert outcomes[1] == Rejected(
        "unknown column",
        "the table 'orders' has no column 'nmae';"
        " add it to the table, leave it out of the row, or set create=True",
    )


async def test_maps_types(path: Path) -> None:
    async with opened(orders(path, columns={"real": "NUMERIC"})) as destination:
        assert await destination.write(fresh([an_item(0, OF_EVERY_TYPE)])) == [DELIVERED]
    stored = query(path, "SELECT flag, real, at, day, exact, raw, uuid, tags FROM orders")
    assert stored == [
        (
            1,
            1.5,
            "2026-01-02T03:04:05+00:00",
            "2026-01-02",
            "12345678901234567890.10",
            b"\0\1",
            "00000000-0000-0000-0000-000000000001",
            '["a",{"b":1.5}]',
        )
    ]
    kinds = query(path, "SELECT name, type FROM pragma_table_info('orders')")
    assert dict(pair for pair in kinds if len(pair) == 2) == {
        "id": "INTEGER",
        "flag": "INTEGER",
        "real": "NUMERIC",
        "at": "TEXT",
        "day": "TEXT",
        "exact": "TEXT",
        "raw": "BLOB",
        "uuid": "TEXT",
        "tags": "TEXT",
    }


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ([1], "not a row"),
        ({}, "empty row"),
        ({"id": None}, "no key"),
        ({"name": "x"}, "no key"),
        ({"id": 1, "ID": 2}, "column name"),
        ({"id": 1, 2: 3}, "column name"),
        ({"id": 1, "name": object()}, "TypeError"),
        ({"id": 1, "name": "\ud800"}, "UnicodeEncodeError"),
        (Event(type="t", source="/s", data=[1]), "not a row"),
    ],
)
async def test_rejects_non_rows_and_writes_the_others(
    path: Path, result: object, error: str
) -> None:
    items = [*rows(0, 2), an_item(2, {"id": 100, "name": "twin"}, result), *rows(3, 5)]
    async with opened(orders(path)) as destination:
        outcomes = await destination.write(fresh(items))
    assert [type(outcome).__name__ for outcome in outcomes].count("Delivered") == 4
    assert isinstance(outcomes[2], Rejected)
    assert outcomes[2].error == error
    assert query(path, "SELECT id FROM orders") == [(0,), (1,), (3,), (4,)]


async def test_takes_the_data_of_events(path: Path) -> None:
    event = Event(type="order.priced", source="/shop", data={"id": 1, "name": "x"})
    async with opened(orders(path)) as destination:
        assert await destination.write(fresh([an_item(0, event)])) == [DELIVERED]
    assert query(path, "SELECT id, name FROM orders") == [(1, "x")]


async def test_missing_table_is_down_and_loses_nothing(path: Path) -> None:
    async with opened(orders(path, create=False)) as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert isinstance(outcome, Down)
        assert "create it or set create=True" in outcome.reason
        query(path, "CREATE TABLE orders (id INTEGER PRIMARY KEY, name, total)")
        assert await destination.write(fresh(rows(0, 1))) == [DELIVERED]


async def test_holes_alone_are_remembered_or_answered_down(path: Path) -> None:
    async with opened(orders(path.parent / "later" / path.name)) as destination:
        (outcome,) = await destination.write(fresh([], holes=[0, 1], end=5))
        assert isinstance(outcome, Down)
    async with opened(orders(path)) as destination:
        assert await destination.write(fresh([], holes=[0, 1], end=5)) == []
        await destination.write(again(rows(1, 2)))
    assert query(path, 'SELECT "offset" FROM busway_exception') == [(0,)]


async def test_a_key_that_is_not_unique_is_down(path: Path) -> None:
    query(path, "CREATE TABLE orders (id, name, total)")
    async with opened(orders(path)) as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
    assert isinstance(outcome, Down)
    assert "make a unique index" in outcome.reason


async def test_missing_directory_is_down_until_created(tmp_path: Path) -> None:
    path = tmp_path / "later" / "shop.db"
    async with opened(orders(path)) as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert outcome == Down(f"the directory {path.parent} does not exist; make it")
        path.parent.mkdir()
        assert await destination.write(fresh(rows(0, 1))) == [DELIVERED]


async def test_a_locked_database_is_down(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("busway.sink.sqlite.file.BUSY_TIMEOUT_MS", 20)
    async with opened(orders(path)) as destination:
        await destination.write(fresh(rows(0, 1)))
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        (outcome,) = await destination.write(fresh(rows(1, 2)))
        assert isinstance(outcome, Down)
        assert outcome.reachable
        assert "locked by another program" in outcome.reason
        other.execute("ROLLBACK")
        assert await destination.write(fresh(rows(1, 2))) == [DELIVERED]
        other.close()


async def test_a_full_database_is_down_and_unharmed(path: Path) -> None:
    async with opened(orders(path, key=None)) as destination:
        await destination.write(fresh(rows(0, 1)))
        await _limit_pages(destination, 12)
        wide = [an_item(n, {"id": n, "name": "x" * 500}) for n in range(1, 300)]
        outcomes = await destination.write(fresh(wide))
        assert {type(outcome) for outcome in outcomes} == {Down}
        assert isinstance(outcomes[0], Down)
        assert "disk is full" in outcomes[0].reason
        await _limit_pages(destination, 1_000_000)
        assert set(await destination.write(fresh(wide))) == {DELIVERED}
    assert query(path, "SELECT count(*) FROM orders") == [(300,)]


async def _limit_pages(destination: Destination, pages: int) -> None:
    assert isinstance(destination, SqliteDestination)
    await destination._file.run(lambda c: c.execute(f"PRAGMA max_page_count={pages}").fetchall())


async def test_invalid_database_file_is_down(path: Path) -> None:
    path.write_bytes(b"hello" * 1000)
    async with opened(orders(path)) as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
    assert isinstance(outcome, Down)
    assert "not a valid SQLite database" in outcome.reason


async def test_a_replaced_file_is_opened_again(path: Path) -> None:
    async with opened(orders(path)) as destination:
        await destination.write(fresh(rows(0, 1)))
        for part in path.parent.glob("shop.db*"):
            part.unlink()
        await destination.write(fresh(rows(1, 2)))
    assert query(path, "SELECT id FROM orders") == [(1,)]


async def test_two_sinks_share_a_file(path: Path) -> None:
    async with opened(orders(path)) as one, opened(Sqlite(str(path), "log", create=True)) as two:
        assert await one.write(fresh(rows(0, 3))) == [DELIVERED] * 3
        assert await two.write(fresh(rows(0, 3), partition=1)) == [DELIVERED] * 3
    assert query(path, "SELECT (SELECT count(*) FROM orders), count(*) FROM log") == [(3, 3)]


def test_is_declared_as_a_record_that_compares() -> None:
    one = sqlite("shop.db", table="orders", key="id", columns={"a": "TEXT"})
    assert one == sqlite("shop.db", table="orders", key=["id"], columns={"a": "TEXT"})
    assert hash(one) == hash(sqlite("shop.db", table="orders", key=("id",), columns={"a": "TEXT"}))
    assert isinstance(one, Sink)
    assert isinstance(one, KeepsPositions)
    assert sqlite(env("SHOP_DB"), table="orders").name == "sqlite $SHOP_DB orders"


@pytest.mark.parametrize(
    "sink",
    [
        Sqlite("", "orders"),
        Sqlite(":memory:", "orders"),
        Sqlite("shop.db", ""),
        Sqlite("shop.db", "busway_position"),
        Sqlite("shop.db", "orders", key=("id", "id")),
        Sqlite("shop.db", "orders", key=("",)),
    ],
)
async def test_invalid_declaration_raises_sink_error(sink: Sqlite) -> None:
    with pytest.raises(SinkError):
        await sink.open(KeptEvents())


async def test_refuses_a_variable_that_is_not_set() -> None:
    with pytest.raises(SettingsError, match="BUSWAY_TEST_NOT_SET"):
        await Sqlite(env("BUSWAY_TEST_NOT_SET"), "orders").open(KeptEvents())
