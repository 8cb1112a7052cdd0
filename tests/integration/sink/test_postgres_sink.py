"""The postgres sink against a real server, which is stopped and killed on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg
import pytest

from busway.errors import SinkError
from busway.event import Event
from busway.outcome import DELIVERED, Down, Outcome, Rejected
from busway.ports import Destination, KeepsPositions, Sink
from busway.settings import env
from busway.sink.postgres.sink import Postgres
from busway.sinks import postgres
from delivery_node import until
from postgres_server import PostgresServer
from sink_load import OF_EVERY_TYPE, KeptEvents, again, an_item, fresh, rows


@pytest.fixture
async def db(server: PostgresServer) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    if not server.running:
        server.start()
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield connection
    await connection.close()


Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def opened(server: PostgresServer, **options: Any) -> AsyncIterator[Destination]:
    declared: dict[str, Any] = {"table": "orders", "key": "id", "create": True} | options
    destination = await postgres(server.dsn, **declared).open(KeptEvents())
    try:
        yield destination
    finally:
        await destination.close()


async def ids(db: Db) -> list[int]:
    return [row["id"] for row in await db.fetch("SELECT id FROM orders ORDER BY id")]


async def exceptions(db: Db) -> list[int]:
    found = await db.fetch('SELECT "offset" FROM busway_exception ORDER BY 1')
    return [row["offset"] for row in found]


@pytest.mark.parametrize("count", [3, 2000])
async def test_creates_the_table_and_lands_rows(server: PostgresServer, db: Db, count: int) -> None:
    async with opened(server) as destination:
        assert await destination.write(fresh(rows(0, count))) == [DELIVERED] * count
        assert await destination.write(fresh(rows(count, count + 1))) == [DELIVERED]
    found = await db.fetch("SELECT id, name, total FROM orders ORDER BY id")
    assert len(found) == count + 1
    assert tuple(found[2]) == (2, "customer 2", 0.5)


async def test_a_hole_is_landed_by_its_retry_once(server: PostgresServer, db: Db) -> None:
    async with opened(server, key=None) as destination:
        await destination.write(fresh([*rows(0, 2), *rows(3, 5)], holes=[2]))
        assert await exceptions(db) == [2]
        assert await destination.write(again(rows(2, 3))) == [DELIVERED]
        assert await destination.write(again(rows(2, 3))) == [DELIVERED]
    assert await ids(db) == list(range(5))
    assert await exceptions(db) == []


async def test_holes_alone_are_remembered_or_answered_down(server: PostgresServer, db: Db) -> None:
    destination = await postgres(f"{server.dsn}_not_there", "orders").open(KeptEvents())
    (outcome,) = await destination.write(fresh([], holes=[0, 1], end=5))
    await destination.close()
    assert isinstance(outcome, Down)
    async with opened(server) as destination:
        assert await destination.write(fresh([], holes=[0, 1], end=5)) == []
        await destination.write(again(rows(1, 2)))
    assert await exceptions(db) == [0]


@pytest.mark.parametrize("count", [100, 1500])
async def test_rejects_the_bad_rows_only(server: PostgresServer, db: Db, count: int) -> None:
    await db.execute(
        "CREATE TABLE orders (id int PRIMARY KEY, name varchar(20),"
        " total numeric(10, 2) NOT NULL CHECK (total >= 0))"
    )
    items = [an_item(n, {"id": n, "name": "x", "total": n / 2}) for n in range(count)]
    bad: dict[int, tuple[dict[str, object], str]] = {
        7: ({"id": 7, "name": "x", "total": None}, "NotNullViolationError"),
        20: ({"id": 20, "name": "x", "total": -1}, "CheckViolationError"),
        21: ({"id": 21, "name": "x" * 21, "total": 1}, "bad value"),
        50: ({"id": 50, "name": "a\0b", "total": 1}, "CharacterNotInRepertoireError"),
        51: ({"id": 2**40, "name": "x", "total": 1}, "bad value"),
        52: ({"id": 52, "name": "x", "total": 10**10}, "bad value"),
        53: ({"id": 53, "name": "x", "total": "much"}, "bad value"),
        54: ({"id": 54, "nmae": "x", "total": 1}, "unknown column"),
        55: ({"id": None, "name": "x", "total": 1}, "no key"),
        56: ({"id": 56, "name": "\ud800", "total": 1}, "DataError"),
    }
    for offset, (row, _) in bad.items():
        items[offset] = an_item(offset, row)
    items[60] = an_item(60, {"id": 60, "name": "x", "total": 1}, {"id": 9999, "total": -1})
    async with opened(server, create=False) as destination:
        outcomes = await destination.write(fresh(items))
        errors = {n: o.error for n, o in enumerate(outcomes) if isinstance(o, Rejected)}
        assert errors == {n: error for n, (_, error) in bad.items()} | {60: "CheckViolationError"}
        assert outcomes.count(DELIVERED) == count - 11
        assert await exceptions(db) == sorted([*bad, 60])
        mended = an_item(20, {"id": 20, "name": "x", "total": 1})
        assert await destination.write(again([mended])) == [DELIVERED]
    assert len(await ids(db)) == count - 10
    assert reason(outcomes[51]) == (
        "column 'id' is integer and cannot hold 1099511627776 (int): it is out of range"
    )


def reason(outcome: Outcome) -> str:
    assert isinstance(outcome, Rejected | Down)
    return outcome.reason


@pytest.mark.parametrize("count", [2, 2000])
async def test_the_last_row_of_a_key_wins(server: PostgresServer, db: Db, count: int) -> None:
    items = [an_item(n, {"id": 1, "a": n, "b": 0}) for n in range(count)]
    items += [an_item(count, {"id": 1, "a": -1}), an_item(count + 1, {"id": 1, "b": 5})]
    async with opened(server) as destination:
        assert set(await destination.write(fresh(items))) == {DELIVERED}
    assert tuple(await db.fetchrow("SELECT id, a, b FROM orders") or ()) == (1, -1, 5)


async def test_keys_that_only_the_server_finds_equal(server: PostgresServer, db: Db) -> None:
    await db.execute("CREATE TABLE orders (id int PRIMARY KEY, name text)")
    items = [an_item(0, {"id": 1, "name": "first"}), an_item(1, {"id": "1", "name": "last"})]
    async with opened(server) as destination:
        assert await destination.write(fresh(items)) == [DELIVERED] * 2
    assert tuple(await db.fetchrow("SELECT * FROM orders") or ()) == (1, "last")


async def test_a_key_of_two_columns_that_is_all_there_is(server: PostgresServer, db: Db) -> None:
    item = an_item(0, {"id": 1, "day": 2}, {"id": 1, "day": 2}, {"id": 1, "day": 3})
    async with opened(server, key=("id", "day")) as destination:
        assert await destination.write(fresh([item])) == [DELIVERED]
    assert await db.fetchval("SELECT count(*) FROM orders") == 2


async def test_maps_types_of_new_columns(server: PostgresServer, db: Db) -> None:
    values = OF_EVERY_TYPE | {"large": 2**70}
    async with opened(server, columns={"real": "numeric(9, 3)"}) as destination:
        assert await destination.write(fresh([an_item(0, values)])) == [DELIVERED]
        assert await destination.write(fresh([an_item(1, values | {"id": 2})])) == [DELIVERED]
    row = await db.fetchrow("SELECT * FROM orders WHERE id = 2")
    assert row is not None
    stored = dict(row)
    assert json.loads(stored.pop("tags")) == ["a", {"b": 1.5}]
    expected = values | {"id": 2, "real": Decimal("1.500"), "large": Decimal(2**70)}
    assert stored == {name: expected[name] for name in expected if name not in ("tags", "none")}
    kinds = await db.fetch(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'orders'::regclass AND attnum > 0"
    )
    assert dict(map(tuple, kinds)) == {
        "id": "bigint",
        "flag": "boolean",
        "real": "numeric(9,3)",
        "large": "numeric",
        "at": "timestamp with time zone",
        "day": "date",
        "exact": "numeric",
        "raw": "bytea",
        "uuid": "uuid",
        "tags": "jsonb",
    }


async def test_whole_numbers_are_widened_where_asked_to_create(
    server: PostgresServer, db: Db
) -> None:
    async with opened(server) as destination:
        await destination.write(fresh([an_item(0, {"id": 1, "total": 5})]))
        assert await destination.write(fresh([an_item(1, {"id": 2, "total": 0.1})])) == [DELIVERED]
        assert await destination.write(fresh([an_item(2, {"id": 2**80})])) == [DELIVERED]
    found = await db.fetch("SELECT id, total FROM orders ORDER BY id")
    assert [tuple(row) for row in found] == [
        (Decimal(1), Decimal(5)),
        (Decimal(2), Decimal("0.1")),
        (Decimal(2**80), None),
    ]


@pytest.mark.parametrize("repeat", [1, 600])
async def test_values_are_coerced_to_the_columns_there_are(
    server: PostgresServer, db: Db, repeat: int
) -> None:
    await db.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN price AS numeric(9, 2);"
        "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz, local timestamp, day date,"
        " uuid uuid, price price, doc jsonb, tags text[], marks int[], mood mood, name text,"
        " flag boolean, real float8, raw bytea, code char(3), ip inet,"
        " twice bigint GENERATED ALWAYS AS (id * 2) STORED)"
    )
    row = {
        "id": "7",
        "at": "2026-01-02T03:04:05Z",
        "local": "2026-01-02T03:04:05Z",
        "day": "2026-01-02",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "price": 1.25,
        "doc": {"a": [1]},
        "tags": ["x", None],
        "marks": [1, 2],
        "mood": "glad",
        "name": 5,
        "flag": "true",
        "real": 3,
        "raw": "\\x00ff",
        "code": "abc",
        "ip": "10.0.0.1",
    }
    items = [an_item(n, row | {"id": str(n)}) for n in range(repeat)]
    async with opened(server, create=False) as destination:
        assert await destination.write(fresh(items)) == [DELIVERED] * repeat
    found = await db.fetchrow(
        "SELECT at, local, day, price, doc->'a' AS a, tags, marks, mood, name, flag, real, raw,"
        " code, host(ip) AS ip, twice FROM orders ORDER BY id DESC"
    )
    assert tuple(found or ()) == (
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        date(2026, 1, 2),
        Decimal("1.25"),
        "[1]",
        ["x", None],
        [1, 2],
        "glad",
        "5",
        True,
        3.0,
        b"\0\xff",
        "abc",
        "10.0.0.1",
        2 * (repeat - 1),
    )


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("timestamptz", "soon"),
        ("timestamptz", 12),
        ("date", "2026-13-01"),
        ("uuid", "x"),
        ("bigint", 1.5),
        ("bigint", {}),
        ("smallint", 40000),
        ("numeric", "1,5"),
        ("boolean", "maybe"),
        ("float8", "x"),
        ("bytea", "x"),
        ("int[]", 5),
        ("int[]", ["x"]),
        ("jsonb", object()),
        ("text", object()),
    ],
)
async def test_says_which_column_cannot_hold_what(
    server: PostgresServer, db: Db, kind: str, value: object
) -> None:
    await db.execute(f"CREATE TABLE orders (id bigint PRIMARY KEY, value {kind})")
    items = [*rows(0, 0), an_item(0, {"id": 0, "value": value}), an_item(1, {"id": 1})]
    async with opened(server, create=False) as destination:
        bad, good = await destination.write(fresh(items))
    assert good is DELIVERED
    assert isinstance(bad, Rejected)
    assert bad.reason.startswith("column 'value' is ")
    assert type(value).__name__ in bad.reason


@pytest.mark.parametrize("count", [2, 1200])
async def test_what_the_driver_cannot_send_is_rejected_alone(
    server: PostgresServer, db: Db, count: int
) -> None:
    """Types that are passed on as they are: the driver is the one who complains."""
    await db.execute("CREATE TABLE orders (id bigint PRIMARY KEY, place point)")
    items = [an_item(n, {"id": n, "place": (n, n)}) for n in range(count)]
    items[1] = an_item(1, {"id": 1, "place": object()})
    async with opened(server, create=False) as destination:
        outcomes = await destination.write(fresh(items))
    assert isinstance(outcomes[1], Rejected)
    assert outcomes.count(DELIVERED) == count - 1


async def test_a_constraint_that_is_checked_at_the_end_rejects_its_row(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(
        "CREATE TABLE customers (id int PRIMARY KEY); INSERT INTO customers VALUES (1);"
        "CREATE TABLE orders (id int PRIMARY KEY,"
        " customer int REFERENCES customers DEFERRABLE INITIALLY DEFERRED)"
    )
    items = [an_item(n, {"id": n, "customer": 2 if n == 3 else 1}) for n in range(6)]
    async with opened(server, create=False) as destination:
        outcomes = await destination.write(fresh(items))
    assert isinstance(outcomes[3], Rejected)
    assert await ids(db) == [0, 1, 2, 4, 5]


async def test_a_trigger_that_raises_rejects_its_row(server: PostgresServer, db: Db) -> None:
    await db.execute(
        "CREATE TABLE orders (id int PRIMARY KEY);"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.id = 2 THEN RAISE EXCEPTION 'not number two'; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    items = [an_item(n, {"id": n}) for n in range(4)]
    async with opened(server, create=False) as destination:
        outcomes = await destination.write(fresh(items))
    assert outcomes[2] == Rejected("RaiseError", "not number two; the row is {'id': 2}")
    assert await ids(db) == [0, 1, 3]


async def test_takes_the_data_of_events(server: PostgresServer, db: Db) -> None:
    event = Event(type="order.priced", source="/shop", data={"id": 1, "name": "x"})
    async with opened(server) as destination:
        assert await destination.write(fresh([an_item(0, event)])) == [DELIVERED]
    assert await ids(db) == [1]


async def test_mistakes_of_set_up_are_down_and_lose_nothing(server: PostgresServer, db: Db) -> None:
    async with opened(server, create=False) as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert "create it or set create=True" in reason(outcome)
        await db.execute("CREATE TABLE orders (id bigint, name text, total float8)")
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert isinstance(outcome, Down)
        assert outcome.reachable
        assert "make a unique index on the key" in outcome.reason
        await db.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        assert await destination.write(fresh(rows(0, 1))) == [DELIVERED]


async def test_another_schema(server: PostgresServer, db: Db) -> None:
    async with opened(server, schema="Shop") as destination:
        (outcome,) = await destination.write(fresh(rows(0, 1)))
        assert "create the schema" in reason(outcome)
        await db.execute('DROP SCHEMA IF EXISTS "Shop" CASCADE; CREATE SCHEMA "Shop"')
        assert await destination.write(fresh(rows(0, 1))) == [DELIVERED]
    assert await db.fetchval('SELECT count(*) FROM "Shop".busway_position') == 1
    await db.execute('DROP SCHEMA "Shop" CASCADE')


async def test_a_table_that_changes_under_way(server: PostgresServer, db: Db) -> None:
    await db.execute("CREATE TABLE orders (id int PRIMARY KEY, name text, total float8)")
    async with opened(server, create=False) as destination:
        await destination.write(fresh(rows(0, 1000)))
        await db.execute("ALTER TABLE orders ALTER COLUMN total TYPE numeric, ADD note text")
        assert set(await destination.write(fresh(rows(1000, 2000)))) == {DELIVERED}
        noted = an_item(2000, {"id": 2000, "note": "x"})
        assert await destination.write(fresh([noted])) == [DELIVERED]
        await db.execute("ALTER TABLE orders DROP COLUMN total")
        (outcome,) = await destination.write(fresh(rows(2001, 2002)))
        assert "has no column 'total'" in reason(outcome)
    assert len(await ids(db)) == 2001


async def test_a_server_that_goes_and_comes_back(server: PostgresServer, db: Db) -> None:
    async with opened(server, key=None) as destination:
        await destination.write(fresh(rows(0, 5)))
        server.stop(immediate=True)
        for _ in range(2):
            outcomes = await destination.write(fresh(rows(5, 10)))
            assert {type(outcome) for outcome in outcomes} == {Down}
        assert not outcomes[0].reachable  # type: ignore[union-attr]
        assert "cannot be reached" in reason(outcomes[0])
        server.start()
        assert await destination.write(fresh(rows(0, 10))) == [DELIVERED] * 10
    check = await asyncpg.connect(server.dsn)
    assert await ids(check) == list(range(10))
    await check.close()


async def test_a_password_that_is_wrong_and_a_database_that_is_not_there_are_down(
    server: PostgresServer, db: Db
) -> None:
    destination = await postgres(f"{server.dsn}_not_there", "orders").open(KeptEvents())
    (outcome,) = await destination.write(fresh(rows(0, 1)))
    await destination.close()
    assert isinstance(outcome, Down)
    assert outcome.reachable
    assert "create the database" in outcome.reason


async def test_a_read_only_server_is_down(server: PostgresServer, db: Db) -> None:
    name = server.dsn.rpartition("/")[2]
    await db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        async with opened(server) as destination:
            (outcome,) = await destination.write(fresh(rows(0, 1)))
    finally:
        await db.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert isinstance(outcome, Down)
    assert "give the address of the primary" in outcome.reason


async def test_a_statement_that_takes_too_long_is_down(server: PostgresServer, db: Db) -> None:
    async with opened(server, timeout="1s") as destination:

        async def lands(number: int) -> bool:  # a busy machine may need several tries
            return await destination.write(fresh(rows(number, number + 1))) == [DELIVERED]

        await until(lambda: lands(0), "it is in time")
        async with db.transaction():
            await db.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            (outcome,) = await destination.write(fresh(rows(1, 2)))
        assert isinstance(outcome, Down)
        assert outcome.reachable
        await until(lambda: lands(1), "it is in time again")
    assert await ids(db) == [0, 1]


ALL = "application_name = 'busway'"
WAITING = f"{ALL} AND wait_event_type = 'Lock'"


async def _kill(db: Db, which: str) -> int:
    """End connections; those of an earlier sink may be there for a while after it is closed."""
    killed = await db.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {which}")
    return len(killed)


async def test_a_connection_killed_in_mid_transaction_loses_and_repeats_nothing(
    server: PostgresServer, db: Db
) -> None:
    async with opened(server, key=None) as destination:
        await destination.write(fresh(rows(0, 10)))
        transaction = db.transaction()
        await transaction.start()
        await db.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        writing = asyncio.create_task(destination.write(fresh(rows(10, 1010))))
        await _until_waiting(db)
        assert await _kill(db, WAITING) == 1
        outcomes = await writing
        assert {type(outcome) for outcome in outcomes} == {Down}
        assert "terminating connection" in reason(outcomes[0])
        await transaction.rollback()
        assert set(await destination.write(fresh(rows(10, 1010)))) == {DELIVERED}
    assert await ids(db) == list(range(1010))


async def _until_waiting(db: Db) -> None:
    async def found() -> bool:
        return bool(await db.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {WAITING}"))

    await until(found, "it waits for a lock")


@pytest.mark.parametrize("held", [True, False])
async def test_two_writers_of_one_lane_land_each_event_once(
    server: PostgresServer, db: Db, held: bool
) -> None:
    """The second one waits for the row of the first, and sees its exceptions then."""
    await db.execute("CREATE TABLE orders (id int CHECK (id <> 3), name text, total float8)")
    options: dict[str, Any] = {"key": None, "create": False}
    async with opened(server, **options) as one, opened(server, **options) as two:
        if held:
            await one.write(fresh(rows(0, 1)))
        loads = [fresh(rows(1, 6)), fresh(rows(1, 9)), fresh(rows(1, 3))]
        outcomes = await asyncio.gather(
            *(writer.write(load) for load in loads for writer in (one, two))
        )
    assert await ids(db) == [n for n in range(0 if held else 1, 9) if n != 3]
    assert await exceptions(db) == [3]
    assert {type(o) for outcome in outcomes for o in outcome} == {type(DELIVERED), Rejected}


async def test_lanes_that_upsert_the_same_rows_do_not_fail_each_other(
    server: PostgresServer, db: Db
) -> None:
    """They deadlock, and are done again."""
    async with opened(server) as destination:
        for turn in range(5):
            forth = rows(turn * 400, turn * 400 + 400)
            back = [
                an_item(turn * 400 + n, {"id": (turn + 1) * 400 - n - 1, "name": "b", "total": 0.0})
                for n in range(400)
            ]
            both = await asyncio.gather(
                destination.write(fresh(forth, partition=0)),
                destination.write(fresh(back, partition=1)),
            )
            assert set(both[0]) | set(both[1]) == {DELIVERED}
    assert await ids(db) == list(range(2000))


async def test_lanes_create_the_table_at_the_same_time(server: PostgresServer, db: Db) -> None:
    async with opened(server, key=None) as destination:
        loads = [
            fresh([an_item(0, {"id": lane, f"column{lane % 3}": 1})], partition=lane)
            for lane in range(8)
        ]
        outcomes = await asyncio.gather(*map(destination.write, loads))
    assert outcomes == [[DELIVERED]] * 8
    assert await ids(db) == list(range(8))


async def test_100_000_rows_exactly_once_with_repeats_and_kills(
    server: PostgresServer, db: Db
) -> None:
    """A lane that forgets some answers and starts again from an earlier offset."""
    total, at, turn = 100_000, 0, 0
    async with opened(server, key=None) as destination:
        while at < total:
            turn += 1
            size = 700 + turn * 997 % 9300
            back = max(0, at - turn * 131 % 2000)
            writing = asyncio.create_task(
                destination.write(fresh(rows(back, min(total, back + size))))
            )
            if turn % 5 == 0:
                await asyncio.sleep(0)
                await _kill(db, ALL)
            outcomes = await writing
            if set(outcomes) == {DELIVERED}:
                at = max(at, min(total, back + size))
            else:
                assert {type(outcome) for outcome in outcomes} == {Down}
    counted = await db.fetchrow("SELECT count(*), count(DISTINCT id), max(id) FROM orders")
    assert tuple(counted or ()) == (total, total, total - 1)


def test_is_declared_as_a_record_that_compares() -> None:
    one = postgres("postgresql://u:p@h:5433/d?x=1", table="orders", key="id")
    assert one == postgres("postgresql://u:p@h:5433/d?x=1", table="orders", key=["id"])
    assert hash(one)
    assert isinstance(one, Sink)
    assert isinstance(one, KeepsPositions)
    assert one.name == "postgres h:5433/d orders"
    assert postgres(env("DATABASE_URL"), table="orders").name == "postgres $DATABASE_URL orders"


@pytest.mark.parametrize(
    "sink",
    [
        Postgres("mysql://x/y", "orders"),
        Postgres("", "orders"),
        Postgres("postgresql://x/y", ""),
        Postgres("postgresql://x/y", "busway_exception"),
        Postgres("postgresql://x/y", "orders", schema=""),
        Postgres("postgresql://x/y", "o" * 64),
        Postgres("postgresql://x/y", "orders", key="é" * 32),
        Postgres("postgresql://x/y", "orders", timeout="never"),
        Postgres("postgresql://x/y", "orders", connections=0),
    ],
)
async def test_refuses_what_can_never_work(sink: Postgres) -> None:
    with pytest.raises(SinkError):
        await sink.open(KeptEvents())
