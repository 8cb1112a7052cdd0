"""Rows that a PostgreSQL table refuses, changes or drops: each is rejected alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, TypeAlias

import asyncpg
import pytest

from busway.outcome import DELIVERED, Down, NotAttempted, Outcome, Rejected, Retry
from busway.sinks import postgres
from postgres_server import PostgresServer
from sink_load import KeptEvents, an_item, fresh

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
TABLE = "CREATE TABLE t (id bigint PRIMARY KEY, a int)"
NAME_63 = "x" * 63


class Color(str, Enum):  # noqa: UP042 (a StrEnum shows its value, this one its name)
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@pytest.fixture
async def db(server: PostgresServer) -> AsyncIterator[Db]:
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield connection
    await connection.close()


async def landed(
    dsn: str, *given: Mapping[str, object], at: int = 0, **options: Any
) -> list[Outcome]:
    declared: dict[str, Any] = {"table": "t", "key": "id", "create": True} | options
    destination = await postgres(dsn, **declared).open(KeptEvents())
    try:
        return list(
            await destination.write(
                fresh([an_item(n, dict(row)) for n, row in enumerate(given, at)])
            )
        )
    finally:
        await destination.close()


def trigger(body: str, kind: str = "TRIGGER g BEFORE INSERT ON t") -> str:
    return (
        f"{TABLE}; CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.a = 6 THEN {body}; END IF; RETURN NEW; END $$;"
        f"CREATE {kind} FOR EACH ROW EXECUTE FUNCTION g()"
    )


def raising(state: str) -> str:
    return trigger(f"RAISE SQLSTATE '{state}'")


DEFERRED = trigger(
    "RAISE SQLSTATE 'XX000'",
    "CONSTRAINT TRIGGER g AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED",
)
ROWS: list[dict[str, object]] = [{"id": n, "a": 6 if n == 2 else n + 10} for n in range(5)]


@pytest.mark.parametrize(
    ("schema", "kind", "error"),
    [
        (raising("57014"), Rejected, "QueryCanceledError"),
        (raising("53100"), Rejected, "DiskFullError"),
        (raising("08006"), Rejected, "ConnectionFailureError"),
        (raising("57P01"), Rejected, "AdminShutdownError"),
        (raising("XX000"), Rejected, "InternalServerError"),
        (raising("42P01"), Rejected, "UndefinedTableError"),
        (raising("42501"), Rejected, "InsufficientPrivilegeError"),
        (raising("40001"), Retry, "SerializationError"),
        (raising("55P03"), Retry, "LockNotAvailableError"),
        (DEFERRED, Rejected, "InternalServerError"),
        (trigger("PERFORM pg_sleep(60)"), Retry, "QueryCanceledError"),
        (trigger("INSERT INTO audit VALUES (1)"), Rejected, "UndefinedTableError"),
        (trigger("NEW.a = NEW.a * 2000000000"), Rejected, "NumericValueOutOfRangeError"),
        (trigger("RETURN NULL"), Rejected, "RowDropped"),
        (
            f"{TABLE}; CREATE RULE r AS ON INSERT TO t WHERE NEW.a = 6 DO INSTEAD NOTHING",
            Rejected,
            "RowDropped",
        ),
        (
            "CREATE TABLE t (id bigint, a int) PARTITION BY RANGE (a);"
            "CREATE TABLE u PARTITION OF t FOR VALUES FROM (7) TO (90);"
            "CREATE UNIQUE INDEX ON u (id, a); CREATE UNIQUE INDEX ON t (id, a)",
            Rejected,
            "CheckViolationError",
        ),
    ],
)
async def test_a_row_that_the_table_refuses_is_refused_alone(
    server: PostgresServer, db: Db, schema: str, kind: type, error: str
) -> None:
    await db.execute(schema)
    key = ("id", "a") if "PARTITION" in schema else "id"
    outcomes = await landed(server.dsn, *ROWS, key=key, timeout="2s")
    assert [type(one) for one in outcomes].count(type(DELIVERED)) == 4
    bad = outcomes[2]
    assert isinstance(bad, kind)
    assert isinstance(bad, Rejected | Retry)
    assert bad.error == error
    assert "{'id': 2, 'a': 6}" in bad.reason
    assert [row["id"] for row in await db.fetch("SELECT id FROM t ORDER BY id")] == [0, 1, 3, 4]


async def test_a_row_alone_is_not_taken_for_a_server_that_is_down(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(trigger("PERFORM nowhere()"))
    (outcome,) = await landed(server.dsn, ROWS[2])
    assert isinstance(outcome, Retry)
    assert outcome.error == "UndefinedFunctionError"


async def test_what_a_trigger_does_not_find_stops_those_alone_who_need_it(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(trigger("INSERT INTO audit VALUES (1)"))
    (outcome,) = await landed(server.dsn, ROWS[2])
    assert isinstance(outcome, Down)
    assert 'relation "audit" does not exist' in outcome.reason


async def test_a_policy_refuses_a_row_and_a_missing_right_the_user(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(
        f"{TABLE}; ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t USING (true) WITH CHECK (a <> 6); DROP ROLE IF EXISTS clerk;"
        "CREATE ROLE clerk LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO clerk;"
        "GRANT ALL ON t TO clerk"
    )
    dsn = server.dsn.replace("postgres@", "clerk@")
    outcomes = await landed(dsn, *ROWS)
    assert [type(one).__name__ for one in outcomes].count("Delivered") == 4
    assert isinstance(outcomes[2], Rejected)
    await db.execute("REVOKE INSERT ON t FROM clerk")
    outcomes = await landed(dsn, {"id": 9, "a": 9}, {"id": 10, "a": 10}, at=100)
    assert [type(one) for one in outcomes] == [Down, Down]
    await db.execute("DROP SCHEMA public CASCADE; DROP ROLE clerk; CREATE SCHEMA public")


async def test_rows_in_a_table_that_redirects_or_suppresses_writes_are_there(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(
        f"{TABLE}; CREATE TABLE u () INHERITS (t);"
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO u VALUES (NEW.id, NEW.a); RETURN NULL; END $$;"
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();"
        "CREATE TABLE s (id bigint PRIMARY KEY, a int); INSERT INTO s VALUES (0, 10);"
        "CREATE TRIGGER z BEFORE UPDATE ON s"
        " FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    assert await landed(server.dsn, *ROWS, key=None) == [DELIVERED] * 5
    assert await landed(server.dsn, *ROWS, table="s", at=100) == [DELIVERED] * 5


async def test_names_that_postgresql_would_cut_or_has_itself(
    server: PostgresServer, db: Db
) -> None:
    outcomes = await landed(
        server.dsn,
        {"id": 1, NAME_63: 1, "select": 2, 'a"b.c\n': 3, "Id": 4, "oid": 5},
        {"id": 2, NAME_63 + "y": 1},
        {"id": 3, "é" * 32: 1},
        {"id": 4, "xmin": 1},
        {"id": 5, "ctid": "x"},
        {"id": 6, "\ud800": 1},
        {"id": 7} | {f"c{n}": n for n in range(1_700)},
        {"id": 8},
    )
    assert [type(one) for one in outcomes] == [type(DELIVERED), *[Rejected] * 6, type(DELIVERED)]
    assert isinstance(outcomes[1], Rejected)
    assert "64 bytes; PostgreSQL allows 63 for a name; its value is 1 (int)" in outcomes[1].reason


async def test_columns_that_the_table_fills_itself(server: PostgresServer, db: Db) -> None:
    await db.execute(
        "CREATE TABLE t (id bigint, n bigint GENERATED ALWAYS AS IDENTITY,"
        " twice bigint GENERATED ALWAYS AS (id * 2) STORED)"
    )
    outcomes = await landed(
        server.dsn, {"id": 1}, {"id": 2, "n": 5}, {"id": 3, "twice": 6}, key=None
    )
    assert [type(one) for one in outcomes] == [type(DELIVERED), Rejected, Rejected]


HELD = """
id bigint PRIMARY KEY, i int, n numeric(10,2), u numeric, f float8, r real, b bool, t text,
v varchar(3), c char(3), d date, ts timestamp, tz timestamptz, t3 timestamptz(3), ti time,
tt timetz, iv interval, j json, jb jsonb, y bytea, uu uuid, ip inet, mo money, m mood, s small,
x "char", na name, ar text[], da date[]
"""


@pytest.mark.parametrize(
    ("column", "value", "shown"),
    [
        ("i", "7", "7"),
        ("i", 7.0, "7"),
        ("i", Level.HIGH, "3"),
        ("n", 19.9, "19.90"),
        ("u", Decimal("12345678901234567.89"), "12345678901234567.89"),
        ("u", Decimal("1E+40"), "1" + "0" * 40),
        ("f", 0.1, "0.1"),
        ("f", 5, "5"),
        ("r", 0.1, "0.1"),
        ("t", Color.RED, "red"),
        ("t", "007", "007"),
        ("v", "äöü", "äöü"),
        ("d", "9999-12-31", "9999-12-31"),
        ("d", date.min, "0001-01-01"),
        ("ts", "9999-12-31T23:59:59.999999", "9999-12-31 23:59:59.999999"),
        ("tz", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00+00"),
        ("tz", "2026-01-02T00:00:00+18:00", "2026-01-01 06:00:00+00"),
        ("t3", "2026-01-02T00:00:00.123Z", "2026-01-02 00:00:00.123+00"),
        ("ti", time(12, 0, 0, 1), "12:00:00.000001"),
        ("tt", "12:00:00+01:00", "12:00:00+01"),
        ("iv", timedelta(days=400, microseconds=1), "400 days 00:00:00.000001"),
        ("jb", {"n": Decimal("12345678901234567.89")}, '{"n": 12345678901234567.89}'),
        ("y", b"\0\xff", "\\x00ff"),
        ("ip", "10.0.0.1/8", "10.0.0.1/8"),
        ("m", "glad", "glad"),
        ("s", 5, "5"),
        ("x", "a", "a"),
        ("ar", ["a", None], "{a,NULL}"),
    ],
)
async def test_a_value_lands_as_it_was_sent(
    server: PostgresServer, types: Db, column: str, value: object, shown: str
) -> None:
    row = {"id": 1, column: value, "ar": value if column == "ar" else ["x"]}
    assert await landed(server.dsn, row, create=False) == [DELIVERED]
    assert await types.fetchval(f"SELECT {column}::text FROM t") == shown


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("i", "007"),
        ("i", True),
        ("i", Decimal("1E+41")),
        ("n", 1.005),
        ("n", Decimal("1E+8")),
        ("u", "1e5"),
        ("u", Decimal("1E+999999")),
        ("u", Decimal("sNaN")),
        ("f", 2**53 + 1),
        ("f", Decimal("12345678901234567.89")),
        ("f", Decimal("1E+400")),
        ("r", 2**24 + 1),
        ("r", 3.14159265),
        ("r", 1e-50),
        ("v", "abc "),
        ("c", "abcd"),
        ("d", "2026-01-02T03:04:05Z"),
        ("d", "10000-01-01"),
        ("ts", "2016-12-31T23:59:60"),
        ("tz", "2026-01-02T00:00:00.1234567Z"),
        ("tz", "0001-01-01T00:00:00+05:00"),
        ("t3", "2026-01-02T00:00:00.1234Z"),
        ("ti", "12:00:00+01:00"),
        ("tt", "12:00:00"),
        ("j", {"n": float("nan")}),
        ("jb", {"n": "\0"}),
        ("t", "a\0b"),
        ("t", "\ud800"),
        ("uu", "0-0000000-0000-0000-0000-000000000001"),
        ("ip", 5),
        ("mo", "1.005"),
        ("m", "bad"),
        ("s", 50),
        ("x", "ab"),
        ("na", "y" * 64),
        ("ar", [["a"], ["b"]]),
        ("da", ["9999-12-31"]),
    ],
)
async def test_a_value_that_would_be_changed_is_rejected_with_its_column(
    server: PostgresServer, types: Db, column: str, value: object
) -> None:
    good, bad = await landed(server.dsn, {"id": 0}, {"id": 1, column: value}, create=False)
    assert good == DELIVERED
    assert isinstance(bad, Rejected)
    assert bad.reason.startswith(f"column '{column}' is ")
    assert f"({type(value).__name__})" in bad.reason
    assert await types.fetchval("SELECT count(*) FROM t") == 1


@pytest.fixture
async def types(db: Db) -> Db:
    await db.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN small AS int CHECK (VALUE < 10);"
        f"CREATE TABLE t ({HELD})"
    )
    return db


async def test_keys_that_only_python_takes_for_equal_are_rows_of_their_own(
    server: PostgresServer, db: Db
) -> None:
    await db.execute("CREATE TABLE t (id text PRIMARY KEY, n int)")
    keys: list[object] = [
        True,
        1,
        1.0,
        Decimal("1.00"),
        0.0,
        -0.0,
        datetime(2026, 1, 1, tzinfo=UTC),
    ]
    rows: list[dict[str, object]] = [{"id": key, "n": n} for n, key in enumerate(keys)]
    assert await landed(server.dsn, *rows, create=False) == [DELIVERED] * 7
    assert await db.fetchval("SELECT count(*) FROM t") == 7


async def test_a_type_that_is_declared_wrong_loses_nothing(server: PostgresServer, db: Db) -> None:
    (outcome,) = await landed(server.dsn, {"id": 1, "a": 1}, columns={"a": "numbr"})
    assert isinstance(outcome, Down)
    assert 'type "numbr" does not exist; correct columns={…}' in outcome.reason


async def test_rows_that_take_too_long_are_parked_and_the_rest_is_left_for_the_next_load(
    server: PostgresServer, db: Db
) -> None:
    await db.execute(trigger("PERFORM pg_sleep(60)"))
    given = [{"id": n, "a": 6 if n < 3 else n} for n in range(6)]
    destination = await postgres(server.dsn, "t", "id", timeout="1s").open(KeptEvents())
    load = fresh([an_item(n, row) for n, row in enumerate(given)])
    outcomes = await destination.write(load)
    assert [type(one) for one in outcomes] == [Retry, Retry, *[NotAttempted] * 4]
    rest = fresh([an_item(n, row) for n, row in enumerate(given)][2:], holes=[0, 1])
    outcomes = await destination.write(rest)
    await destination.close()
    assert [type(one) for one in outcomes] == [Retry, *[type(DELIVERED)] * 3]


@pytest.mark.parametrize("bad", [(2,), (0, 1), (4,), range(5)])
async def test_a_row_that_ends_its_connection_is_found_and_parked(
    server: PostgresServer, db: Db, bad: Collection[int]
) -> None:
    await db.execute(trigger("PERFORM pg_terminate_backend(pg_backend_pid())"))
    given = [{"id": n, "a": 6 if n in bad else n + 10} for n in range(5)]
    destination = await postgres(server.dsn, "t", "id").open(KeptEvents())
    load = fresh([an_item(n, row) for n, row in enumerate(given)], holes=[5], end=7)
    assert {type(one) for one in await destination.write(load)} == {Down}
    outcomes = await destination.write(load)
    assert [n for n, one in enumerate(outcomes) if isinstance(one, Retry)] == list(bad)
    assert outcomes.count(DELIVERED) == 5 - len(bad)
    await destination.close()
    kept = await db.fetch('SELECT "offset" FROM busway_exception ORDER BY 1')
    assert [row["offset"] for row in kept] == [*bad, 5]
    assert await db.fetchval("SELECT position FROM busway_position") == 7
