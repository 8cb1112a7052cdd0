"""Rows that a SQLite table refuses, changes or drops: each is rejected alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import apsw
import pytest

from busway.outcome import DELIVERED, Down, Outcome, Rejected, Retry
from busway.sinks import sqlite
from sink_load import KeptEvents, an_item, fresh

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT {})"
TRIGGER = TABLE.format("") + "; CREATE TRIGGER g BEFORE INSERT ON t WHEN NEW.a = 6 BEGIN {}; END"
AUDIT = (
    TRIGGER.format("SELECT RAISE(IGNORE)") + "; CREATE TABLE audit (n);"
    "CREATE TRIGGER h AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (1), (2); END"
)


async def landed(
    path: Path, schema: str, *given: Mapping[str, object], create: bool = True
) -> list[Outcome]:
    if schema:
        _query(path, schema)
    destination = await sqlite(str(path), "t", "id", create).open(KeptEvents())
    try:
        return list(
            await destination.write(fresh([an_item(n, dict(row)) for n, row in enumerate(given)]))
        )
    finally:
        await destination.close()


def _query(path: Path, sql: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("schema", "error"),
    [
        (TABLE.format("UNIQUE ON CONFLICT ROLLBACK"), "ConstraintError"),
        (TABLE.format("UNIQUE ON CONFLICT FAIL"), "ConstraintError"),
        (TABLE.format("UNIQUE ON CONFLICT IGNORE"), "RowDropped"),
        (TRIGGER.format("SELECT RAISE(ROLLBACK, 'no')"), "ConstraintError"),
        (TRIGGER.format("SELECT RAISE(FAIL, 'no')"), "ConstraintError"),
        (TRIGGER.format("SELECT RAISE(IGNORE)"), "RowDropped"),
        (AUDIT, "RowDropped"),
        (TRIGGER.format("SELECT abs(-9223372036854775808)"), "SQLError"),
        (TRIGGER.format("SELECT json_extract('no', '$.a')"), "SQLError"),
    ],
)
async def test_a_row_that_the_table_refuses_is_rejected_alone(
    tmp_path: Path, schema: str, error: str
) -> None:
    rows = [{"id": n, "a": 6 if n in (0, 7, 12) else n + 100} for n in range(20)]
    _query(tmp_path / "x.db", schema)
    if "UNIQUE" in schema:
        _query(tmp_path / "x.db", "INSERT INTO t VALUES (99, 6)")
    outcomes = await landed(tmp_path / "x.db", "", *rows)
    bad = {n: one.error for n, one in enumerate(outcomes) if isinstance(one, Rejected)}
    assert bad == dict.fromkeys((0, 7, 12), error)
    assert outcomes.count(DELIVERED) == 17
    kept = _query(tmp_path / "x.db", "SELECT id FROM t WHERE id <> 99 ORDER BY id")
    assert kept == [(n,) for n in range(20) if n not in bad]


async def test_a_row_alone_is_not_taken_for_a_destination_that_is_down(tmp_path: Path) -> None:
    schema = TRIGGER.format("SELECT json_extract('no', '$.a')")
    (outcome,) = await landed(tmp_path / "x.db", schema, {"id": 1, "a": 6})
    assert isinstance(outcome, Retry)
    assert "malformed JSON; the row is {'id': 1, 'a': 6}" in outcome.reason


async def test_endless_row_is_interrupted_and_parked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("busway.sink.sqlite.table.MAX_WRITE_S", 0.3)
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    rows = [{"id": n, "a": 6 if n == 1 else n + 10} for n in range(4)]
    outcomes = await landed(tmp_path / "x.db", TRIGGER.format(endless), *rows)
    assert isinstance(outcomes[1], Retry)
    assert outcomes[1].error == "InterruptError"
    assert outcomes.count(DELIVERED) == 3
    assert _query(tmp_path / "x.db", "SELECT count(*) FROM t") == [(3,)]


async def test_error_of_all_rows_is_a_setup_error(tmp_path: Path) -> None:
    schema = AUDIT + "; DROP TABLE audit"
    outcomes = await landed(tmp_path / "x.db", schema, {"id": 1, "a": 1}, {"id": 2, "a": 1})
    assert [type(one) for one in outcomes] == [Down, Down]


async def test_names_are_compared_as_sqlite_does(tmp_path: Path) -> None:
    outcomes = await landed(
        tmp_path / "x.db",
        "",
        {"id": 1, "Übersicht": "a"},
        {"id": 2, "übersicht": "b"},
        {"id": 3, "É": 1, "é": 2},
        {"id": 4, "select": 6, 'a"b.c\n': 7},
        {"id": 5, "x": 1, "X": 2},
        {"id": 6} | {f"c{n}": n for n in range(2_100)},
        {"id": 7, "\ud800": 1},
    )
    assert outcomes[:4] == [DELIVERED] * 4
    assert [one.error for one in outcomes[4:] if isinstance(one, Rejected)] == [
        "column name",
        "too many columns",
        "column name",
    ]
    assert _query(
        tmp_path / "x.db", 'SELECT "Übersicht", "übersicht", "É", "é", "select" FROM t'
    ) == [
        ("a", None, None, None, None),
        (None, "b", None, None, None),
        (None, None, 1, 2, None),
        (None, None, None, None, 6),
    ]


async def test_a_generated_column_is_not_added_again(tmp_path: Path) -> None:
    schema = TABLE.format(", b INT GENERATED ALWAYS AS (a * 2)")
    good, bad = await landed(tmp_path / "x.db", schema, {"id": 1, "a": 1}, {"id": 2, "b": 4})
    assert good == DELIVERED
    assert isinstance(bad, Rejected)
    assert "column 'b' of the table 't' is generated; leave it out; its value is 4" in bad.reason
