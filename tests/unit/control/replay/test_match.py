"""Which events a replay selects, asked of their bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.bus.reader import match_batch
from busway.clock import SystemClock
from busway.control.replay.match import ReplayMatcher
from busway.delivery.replay import ReplaySelection
from busway.ports import LogBatch
from busway.rule import Pattern

ORDERS = Pattern.parse({"type": ["order"]})


def raw(id: str, type: str = "order", **data: Any) -> bytes:
    event = {"specversion": "1.0", "id": id, "source": "/t", "type": type, "data": data}
    return msgspec.json.encode(event)


def selected(raws: list[bytes], **asked: Any) -> list[int]:
    answers = ReplayMatcher(ORDERS, ReplaySelection(**asked)).match_batch(raws)
    assert set(answers) <= {(), (0,)}
    return [index for index, answer in enumerate(answers) if answer]


def test_the_rule_and_what_is_asked_for_hold_together() -> None:
    raws = [raw("a", n=1), raw("b", n=2), raw("c", "other", n=1), raw("d", n=1)]
    assert selected(raws) == [0, 1, 3]
    assert selected(raws, when={"data": {"n": [1]}}) == [0, 3]
    assert selected(raws, ids=("c", "d", "b")) == [1, 3]
    assert selected(raws, ids=("c", "d", "b"), when={"data": {"n": [1]}}) == [3]


def test_an_id_that_is_only_mentioned_is_not_selected() -> None:
    assert selected([raw("a", cause="b"), raw("b"), raw("bb")], ids=("b",)) == [1]


@pytest.mark.parametrize("escaped", [rb"\u0062", rb"b", rb"\u0062\u0062"])
def test_an_id_is_found_however_it_is_written(escaped: bytes) -> None:
    wanted = "bb" if escaped.count(b"u") == 2 else "b"
    assert selected([raw("ID").replace(b"ID", escaped)], ids=(wanted, "x")) == [0]


@given(st.lists(st.text(max_size=3), max_size=8), st.sets(st.text(max_size=3), min_size=1))
def test_ids_are_found_as_by_decoding_everything(ids: list[str], wanted: set[str]) -> None:
    found = selected([raw(id) for id in ids], ids=tuple(sorted(wanted)))
    assert found == [index for index, id in enumerate(ids) if id in wanted]


def test_many_ids_are_found_too() -> None:
    raws = [raw(f"o{number}") for number in range(100)]
    assert selected(raws, ids=tuple(f"o{number}" for number in range(0, 100, 2))) == [
        *range(0, 100, 2)
    ]


def test_unreadable_events_are_reported() -> None:
    batch = LogBatch(0, 5, SystemClock().now(), [raw("a"), b'{"id": "b"', raw("b")])
    found = match_batch(ReplayMatcher(ORDERS, ReplaySelection(ids=("a", "b"))), batch)
    assert (found.wanted, list(found.unreadable)) == ({0: [0, 2]}, [1])
