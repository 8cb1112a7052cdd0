"""Rows that are sorted into statements come to what they come to one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busway.sink.row import Row
from busway.sink.upsert import upsert_runs

Table = dict[object, Row]

keys = st.integers(0, 4) | st.just([1]) | st.text("ab", max_size=1)
rows = st.lists(
    st.builds(
        lambda key, rest: {"id": key} | rest,
        keys,
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3),
    ),
    max_size=30,
)


def upserted(table: Table, row: Row) -> Table:
    key = repr(row["id"])
    return table | {key: table.get(key, {}) | row}


@given(rows=rows)
def test_upserting_layers_is_upserting_one_by_one(rows: list[Row]) -> None:
    one_by_one: Table = {}
    for row in rows:
        one_by_one = upserted(one_by_one, row)
    layered: Table = {}
    for run in upsert_runs(rows, ["id"]):
        found = [repr(row["id"]) for row in run.rows]
        assert len(found) == len(set(found)), "a statement must not touch a key twice"
        assert {tuple(row) for row in run.rows} == {run.columns}
        for row in run.rows:
            layered = upserted(layered, row)
    assert layered == one_by_one


@given(rows=rows)
def test_without_a_key_every_row_is_kept(rows: list[Row]) -> None:
    kept = [row for run in upsert_runs(rows, []) for row in run.rows]
    assert sorted(map(repr, kept)) == sorted(map(repr, rows))
