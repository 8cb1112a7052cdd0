"""What SQLite holds of a value is that value, or the row is rejected alone."""

from __future__ import annotations

import asyncio
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from busway.json_number import exact_decoder
from busway.outcome import DELIVERED, Outcome, Rejected
from busway.sinks import sqlite
from sink_load import KeptEvents, an_item, fresh

KINDS = ("INTEGER", "NUMERIC", "REAL", "TEXT", "BLOB", "", "DATETIME", "BOOLEAN", "VARCHAR(3)")
decode = exact_decoder(object)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.from_regex(
    r"\A ?[+-]?0{0,2}[0-9]{1,20}(\.[0-9]{0,3})?([eE][0-9]{1,3})?\Z"
)
literals = (
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?\Z")
    | st.sampled_from(["true", "false", "null", "9007199254740993", "-0.0", "1e400"])
    | texts.map(json.dumps)
)


@settings(deadline=None)
@given(sent=st.lists(literals, min_size=1, max_size=12))
def test_lands_exactly_or_is_rejected_alone(sent: list[str]) -> None:
    values = [decode(literal.encode()) for literal in sent]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.db"
        connection = apsw.Connection(str(path))
        columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(KINDS))
        connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns})")
        rows = [
            {"id": len(KINDS) * place + n, f"c{n}": value}
            for place, value in enumerate(values)
            for n in range(len(KINDS))
        ]
        outcomes = asyncio.run(_written(path, rows))
        for row, outcome in zip(rows, outcomes, strict=True):
            name, value = list(row.items())[1]
            held = connection.execute(f"SELECT {name} FROM t WHERE id = {row['id']}").fetchall()
            if outcome == DELIVERED:
                assert _same(value, held[0][0]), (row, held)
            else:
                assert isinstance(outcome, Rejected)
                assert name in outcome.reason
                assert not held
        connection.close()


async def _written(path: Path, rows: list[dict[str, object]]) -> list[Outcome]:
    destination = await sqlite(str(path), "t", "id").open(KeptEvents())
    try:
        items = [an_item(n, row) for n, row in enumerate(rows)]
        return list(await destination.write(fresh(items)))
    finally:
        await destination.close()


def _same(value: object, held: object) -> bool:
    """Say whether they are one value: a number, or how it is written, or the same text."""
    if value is None or isinstance(value, str):
        return held == value or (isinstance(value, str) and str(held) == value)
    number = int(value) if isinstance(value, bool) else value
    assert isinstance(number, int | float | Decimal)
    return isinstance(held, int | float | str) and _exact(held) == _exact(number)


def _exact(number: float | str | Decimal) -> Decimal:
    return Decimal(repr(number) if isinstance(number, float) else number)
