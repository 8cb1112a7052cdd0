"""A load in parts decides what the whole one decides."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from busway.ports import Load
from busway.sink.load_split import split_load, without_items
from busway.sink.position import DecidedRange, LanePosition, advance
from sink_load import an_item, fresh


@given(
    items=st.sets(st.integers(0, 30), min_size=2, max_size=12),
    holes=st.sets(st.integers(0, 30)),
    missed=st.sets(st.integers(0, 30)),
)
def test_halves_of_halves_come_to_the_whole(
    items: set[int], holes: set[int], missed: set[int]
) -> None:
    load = fresh([an_item(n, {}) for n in sorted(items)], holes=sorted(holes - items), end=40)
    assert _decided([load], missed) == _decided(_cut(load), missed)


def _cut(load: Load) -> list[Load]:
    if len(load.items) < 2:
        return [load]
    first, second = split_load(load)
    return [*_cut(first), *_cut(second)]


def _decided(loads: list[Load], missed: set[int]) -> tuple[DecidedRange, frozenset[int]]:
    place = LanePosition()
    for load in loads:
        own = missed.intersection(item.offset for item in load.items)
        change = advance(place, load, own)
        kept = place.exceptions.union(change.inserts).difference(change.deletes)
        place = LanePosition(change.decided, kept)
    return place.decided, place.exceptions


@given(offsets=st.sets(st.integers(0, 30), min_size=1))
def test_what_is_given_up_is_a_hole(offsets: set[int]) -> None:
    load = fresh([an_item(n, {}) for n in sorted(offsets)])
    assert _decided([without_items(load)], set()) == _decided([load], offsets)
