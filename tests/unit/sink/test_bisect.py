"""The search for the items that a destination refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.outcome import Rejected, Retry
from busway.sink.bisect import (
    Bisection,
    ErrorScope,
    PartKey,
    RowRefusal,
    classify_refusals,
)
from busway.sink.row import ItemRows

BAD = Rejected("Bad", "no")


def refusals(*blames: ErrorScope) -> dict[int, RowRefusal]:
    return {n: RowRefusal(blame, KeyError(n), BAD) for n, blame in enumerate(blames)}


@given(size=st.integers(0, 40), data=st.data())
def test_finds_the_bad_items_and_tries_the_others_in_order(size: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, max(size - 1, 0))))
    written: list[int] = []
    search = Bisection([ItemRows(n, [{"id": n}]) for n in range(size)])
    for part in search:
        if bad.isdisjoint(rows.index for rows in part):
            written += [rows.index for rows in part]
        else:
            search.mark_failed(part, ValueError())
    assert written == [n for n in range(size) if n not in bad]
    assert {span[0] for span in search.failed if span[2] == 1} == {n for n in bad if n < size}


def test_failed_parts_are_not_tried_again() -> None:
    batch = [ItemRows(n, [{"id": n}]) for n in range(4)]
    failed: dict[PartKey, Exception] = {(0, 3, 4): ValueError(), (2, 3, 2): ValueError()}
    tried = [[rows.index for rows in part] for part in Bisection(batch, failed)]
    assert tried == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    ("blame", "landed", "sound", "outcome"),
    [
        (ErrorScope.ROW, False, False, Rejected),
        (ErrorScope.UNKNOWN, True, False, Rejected),
        (ErrorScope.DEPENDENCY, True, False, Rejected),
        (ErrorScope.TRANSIENT, True, False, Retry),
        (ErrorScope.TRANSIENT, False, True, Retry),
        (ErrorScope.UNKNOWN, False, True, Retry),
    ],
)
def test_outcome_depends_on_the_other_items(
    blame: ErrorScope, landed: bool, sound: bool, outcome: type
) -> None:
    (found,) = classify_refusals(
        refusals(blame), others_written=landed, probe_succeeded=sound
    ).values()
    assert isinstance(found, outcome)


@pytest.mark.parametrize(
    ("blame", "landed", "sound"),
    [
        (ErrorScope.DESTINATION, True, True),
        (ErrorScope.DEPENDENCY, False, True),
        (ErrorScope.UNKNOWN, False, False),
        (ErrorScope.TRANSIENT, False, False),
    ],
)
def test_destination_error_is_raised(blame: ErrorScope, landed: bool, sound: bool) -> None:
    with pytest.raises(KeyError):
        classify_refusals(
            refusals(ErrorScope.ROW, blame), others_written=landed, probe_succeeded=sound
        )
