"""The search for the items that a destination refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.outcome import Rejected, Retry
from busway.sink.bisect import Bisection, Blame, Refusal, Span, judged
from busway.sink.row import Rows

BAD = Rejected("Bad", "no")


def refusals(*blames: Blame) -> dict[int, Refusal]:
    return {n: Refusal(blame, KeyError(n), BAD) for n, blame in enumerate(blames)}


@given(size=st.integers(0, 40), data=st.data())
def test_finds_the_bad_items_and_tries_the_others_in_order(size: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, max(size - 1, 0))))
    written: list[int] = []
    search = Bisection([Rows(n, [{"id": n}]) for n in range(size)])
    for part in search:
        if bad.isdisjoint(rows.index for rows in part):
            written += [rows.index for rows in part]
        else:
            search.refused(part, ValueError())
    assert written == [n for n in range(size) if n not in bad]
    assert {span[0] for span in search.failed if span[2] == 1} == {n for n in bad if n < size}


def test_what_failed_before_is_not_tried_again() -> None:
    batch = [Rows(n, [{"id": n}]) for n in range(4)]
    failed: dict[Span, Exception] = {(0, 3, 4): ValueError(), (2, 3, 2): ValueError()}
    tried = [[rows.index for rows in part] for part in Bisection(batch, failed)]
    assert tried == [[0, 1], [2], [3]]


@pytest.mark.parametrize(
    ("blame", "landed", "sound", "outcome"),
    [
        (Blame.ROW, False, False, Rejected),
        (Blame.UNCLEAR, True, False, Rejected),
        (Blame.ELSEWHERE, True, False, Rejected),
        (Blame.PASSING, True, False, Retry),
        (Blame.PASSING, False, True, Retry),
        (Blame.UNCLEAR, False, True, Retry),
    ],
)
def test_judges_a_row_by_what_became_of_others(
    blame: Blame, landed: bool, sound: bool, outcome: type
) -> None:
    (found,) = judged(refusals(blame), landed=landed, sound=sound).values()
    assert isinstance(found, outcome)


@pytest.mark.parametrize(
    ("blame", "landed", "sound"),
    [
        (Blame.DESTINATION, True, True),
        (Blame.ELSEWHERE, False, True),
        (Blame.UNCLEAR, False, False),
        (Blame.PASSING, False, False),
    ],
)
def test_raises_what_shows_that_the_destination_is_down(
    blame: Blame, landed: bool, sound: bool
) -> None:
    with pytest.raises(KeyError):
        judged(refusals(Blame.ROW, blame), landed=landed, sound=sound)
