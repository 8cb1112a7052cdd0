"""What PostgreSQL holds of a value is that value, or the row is rejected alone."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import asyncpg
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from busway.json_number import exact_decoder
from busway.outcome import DELIVERED, Outcome, Rejected
from busway.sinks import postgres
from effort import examples
from postgres_server import PostgresServer
from sink_load import KeptEvents, an_item, fresh

NUMBERS = ("smallint", "int", "bigint", "numeric", "numeric(12,3)", "double precision", "real")
TEXTS = ("text", "varchar(3)", "char(3)", "jsonb", "boolean", "bytea", "uuid")
TIMES = ("date", "timestamp", "timestamptz", "timestamptz(3)", "time", "timetz", "interval")
KINDS = NUMBERS + TEXTS + TIMES
decode = exact_decoder(object)
digits = st.from_regex(r"\A[+-]?0{0,2}[0-9]{1,20}(\.[0-9]{0,3})?([eE][0-9]{1,2})?\Z")
days = st.dates().map(str)
moments = st.datetimes(timezones=st.none() | st.timezones()).map(str)
literals = (
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?\Z")
    | st.sampled_from(["true", "false", "9007199254740993", "0.1", "16777217", "1e-50", "1e400"])
    | (st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | digits).map(json.dumps)
    | (days | moments | st.sampled_from(["9999-12-31", "0001-01-01"])).map(json.dumps)
)


@settings(deadline=None, max_examples=examples(10), suppress_health_check=list(HealthCheck))
@example(sent=['"0.0"'])
@given(sent=st.lists(literals, min_size=1, max_size=8))
def test_lands_exactly_or_is_rejected_alone(server: PostgresServer, sent: list[str]) -> None:
    asyncio.run(_check(server.dsn, [decode(literal.encode()) for literal in sent]))


async def _check(dsn: str, values: list[object]) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(KINDS))
        await connection.execute(f"CREATE TABLE t (id bigint PRIMARY KEY, {columns})")
        cases = [(value, n) for value in values for n in range(len(KINDS))]
        rows = [{"id": place, f"c{n}": value} for place, (value, n) in enumerate(cases)]
        outcomes = await _written(dsn, rows)
        texts = ", ".join(f"c{n}::text" for n in range(len(KINDS)))
        kept = {row[0]: row[1:] for row in await connection.fetch(f"SELECT id, {texts} FROM t")}
        for place, ((value, n), outcome) in enumerate(zip(cases, outcomes, strict=True)):
            if outcome == DELIVERED:
                same = await _same(connection, KINDS[n], value, kept[place][n])
                assert same, (value, KINDS[n], kept[place][n])
            else:
                assert isinstance(outcome, Rejected)
                assert f"'c{n}' is " in outcome.reason
                assert place not in kept
    finally:
        await connection.close()


async def _written(dsn: str, rows: list[dict[str, object]]) -> list[Outcome]:
    destination = await postgres(dsn, "t", "id").open(KeptEvents())
    try:
        items = [an_item(n, row) for n, row in enumerate(rows)]
        return list(await destination.write(fresh(items)))
    finally:
        await destination.close()


async def _same(
    connection: asyncpg.Connection[asyncpg.Record], kind: str, value: object, held: str
) -> bool:
    """Say whether what the server shows is the value: as a number, as it is written, as its own
    reading of the text."""
    if kind == "jsonb" and (isinstance(value, str) or value is True or value is False):
        return decode(held.encode()) == value
    if isinstance(value, bool):
        return held in ("true", "t") if value else held in ("false", "f")
    if not isinstance(value, str):
        assert isinstance(value, int | float | Decimal)
        if kind == "boolean":
            return held == ("true" if value else "false") and value in (0, 1)
        return _exact(held.strip() if kind == "char(3)" else held) == _exact(value)
    if kind in NUMBERS or kind in ("text", "varchar(3)"):
        return held == value or (kind == "numeric(12,3)" and _exact(held) == _exact(value))
    if kind == "char(3)":
        return held == value.ljust(3) or held.rstrip(" ") == value.rstrip(" ")
    query = f"SELECT $1::text::{kind} IS NOT DISTINCT FROM $2::text::{kind}"
    return bool(await connection.fetchval(query, held, value))


def _exact(number: float | str | Decimal) -> Decimal:
    return Decimal(repr(number) if isinstance(number, float) else number)
