"""What a replay selects, skips and repeats, compared with plain models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from busway.delivery.replay import (
    ReplayOffsets,
    ReplaySelection,
    SelectableRange,
    goes_under_flow_name,
    is_delivered_by_ledger,
    replay_lane_name,
    replay_mode,
    replay_range,
)
from busway.event import Event
from busway.lane import Counts, flow_of, is_replay_lane
from busway.outcome import DELIVERED, Outcome, Retry
from busway.ports import DeliveredRange, Load, LoadItem, SinkLane
from busway.settlement import SettledRange
from busway.sink.position import DecidedRange, LanePosition, advance, failed_offsets
from effort import examples

MOST = 30
AT = datetime(2026, 3, 1, tzinfo=UTC)
place = st.integers(0, MOST)
maybe = st.none() | place
LIVE, OWN = SinkLane("log", "f", 0), SinkLane("log", replay_lane_name("f", "r1"), 0)
FAILED = Retry("x", "not now")


@st.composite
def ranges(draw: st.DrawFn) -> ReplayOffsets:
    start = draw(st.integers(0, MOST - 1))
    return ReplayOffsets(
        draw(st.integers(0, 1)), start, draw(st.none() | st.integers(start + 1, MOST))
    )


@given(st.lists(ranges(), max_size=3), place, place, maybe, maybe)
def test_a_span_holds_all_that_is_selected_and_nothing_out_of_reach(
    offsets: list[ReplayOffsets], first: int, cursor: int, since: int | None, until: int | None
) -> None:
    selection = ReplaySelection(offsets=tuple(offsets))
    found = replay_range(selection, SelectableRange(0, first, cursor, since, until))
    reach = {
        offset
        for offset in range(first, cursor)
        if (since is None or offset >= since) and (until is None or offset < until)
    }
    wanted = {
        offset
        for offset in reach
        if not offsets
        or any(
            one.partition == 0 and one.start <= offset and (one.end is None or offset < one.end)
            for one in offsets
        )
    }
    passed = set(range(found.start, found.end)) if found else set()
    assert wanted <= passed <= reach
    here = selection.ranges_in(0)
    assert {offset for offset in passed if any(offset in one for one in here)} == wanted
    if wanted and len(offsets) == 1:
        assert passed == wanted


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from("ab")), max_size=6), st.sets(place))
def test_the_record_tells_what_this_version_has_done(
    made: list[tuple[int, str]], excepted: set[int]
) -> None:
    ranges: list[SettledRange] = []
    model: dict[int, str] = {}
    position = 3
    for length, version in made:
        end = position + length
        counts = Counts(delivered=length)
        ranges.append(SettledRange("f", 0, position, end, version, AT, AT, counts))
        model |= dict.fromkeys(range(position, end), version)
        position = end
    for offset in range(MOST + 10):
        wanted = model.get(offset) == "a" and offset not in excepted
        assert is_delivered_by_ledger(offset, ranges, "a", excepted) == wanted


class Table:
    """A destination that keeps positions, with a count of how often each offset was written."""

    def __init__(self) -> None:
        self.places: dict[SinkLane, LanePosition] = {}
        self.written: Counter[int] = Counter()

    def write(self, load: Load, failing: set[int]) -> Sequence[Outcome]:
        before = self.places.get(load.lane, LanePosition())
        outcomes: list[Outcome] = [DELIVERED] * len(load.items)
        for index in before.pending_items(load):
            offset = load.items[index].offset
            if offset in failing:
                outcomes[index] = FAILED
            else:
                self.written[offset] += 1
        change = advance(before, load, failed_offsets(load, outcomes))
        exceptions = (before.exceptions | set(change.inserts)) - set(change.deletes)
        self.places[load.lane] = LanePosition(change.decided, exceptions)
        return outcomes

    def standing(self, lane: SinkLane) -> DeliveredRange:
        return self.places.get(lane, LanePosition(DecidedRange())).delivered_range(range(MOST))


def item(offset: int) -> LoadItem:
    event = Event(id=str(offset), type="made", source="/t", data=None)
    return LoadItem(offset, event, [offset], "f")


class World:
    """A flow whose destination was changed at some time, and a replay of it."""

    def __init__(self, since: int, cursor: int, failing: set[int]) -> None:
        self.table = Table()
        self.troubled = {offset for offset in failing if offset < cursor}
        self.parked: set[int] = set()
        if since < cursor:
            holes = sorted(offset for offset in self.troubled if offset >= since)
            items = [item(offset) for offset in range(since, cursor) if offset not in holes]
            self.table.write(Load(LIVE, items, since, cursor, holes), set())

    def retry_live(self, offset: int) -> None:
        if offset in self.troubled:
            self.table.write(Load(LIVE, [item(offset)]), set())
            self.troubled.discard(offset)

    def replay(self, start: int, end: int, failing: set[int]) -> set[int]:
        """Pass a portion; return what was skipped."""
        landed = self.table.standing(LIVE).delivered
        left = [offset for offset in range(start, end) if offset not in landed]
        self.load(left, failing, (start, end))
        return set(range(start, end)) & landed

    def load(
        self,
        offsets: list[int],
        failing: set[int],
        place: tuple[int | None, int | None] = (None, None),
    ) -> None:
        standing = self.table.standing(LIVE)
        going = {one for one in offsets if goes_under_flow_name(one, standing, self.troubled)}
        own = [item(one) for one in offsets if one not in going]
        there = [item(one) for one in offsets if one in going]
        fresh = Load(OWN, own, place[0], place[1])
        for load in (fresh, Load(LIVE, there)):
            if load.items:
                outcomes = self.table.write(load, failing)
                self.parked -= {one.offset for one in load.items}
                self.parked |= failed_offsets(load, outcomes)


@settings(max_examples=examples(120))
@given(
    since=place,
    cursor=place,
    failing=st.sets(place),
    cuts=st.lists(place, max_size=4),
    bad=st.sets(place),
    retried=st.lists(st.tuples(st.booleans(), place), max_size=30),
    again=st.booleans(),
)
def test_what_has_landed_is_skipped_and_the_rest_lands_once(
    since: int,
    cursor: int,
    failing: set[int],
    cuts: list[int],
    bad: set[int],
    retried: list[tuple[bool, int]],
    again: bool,
) -> None:
    """The flow delivers here from ``since`` on; before, its destination was another one."""
    world = World(since, cursor, failing)
    before = {offset for offset in range(cursor) if world.table.written[offset]}
    edges = sorted({0, cursor, *(cut for cut in cuts if cut < cursor)})
    skipped: set[int] = set()
    for start, end in pairwise(edges):
        skipped |= world.replay(start, end, bad)
        if again:  # it was killed before its settlement
            world.replay(start, end, bad)
    assert skipped == before
    for live, offset in retried:
        if live:
            world.retry_live(offset)
        elif offset in world.parked:
            world.load([offset], bad)
    for offset in sorted(world.parked):
        world.load([offset], set())
    for offset in sorted(world.troubled):
        world.retry_live(offset)
    assert {offset: world.table.written[offset] for offset in range(cursor)} == dict.fromkeys(
        range(cursor), 1
    )


@given(st.booleans(), st.booleans(), st.booleans())
def test_how_its_loads_go(to_file: bool, force: bool, keeps_positions: bool) -> None:
    found = replay_mode(to_file=to_file, force=force, keeps_positions=keeps_positions)
    assert (found == "own") == (to_file or force)
    assert found == "own" or (found == "known") == keeps_positions


def test_a_replay_has_a_name_that_no_flow_can_have() -> None:
    name = replay_lane_name("orders", "r1")
    assert is_replay_lane(name)
    assert not is_replay_lane("orders")
    assert flow_of(name) == "orders" == flow_of("orders")
