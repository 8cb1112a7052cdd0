"""Positions land each event exactly once, whatever crashes and is done again."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from busway.ports import Load, SinkLane
from busway.sink.position import (
    DecidedRange,
    LanePosition,
    PositionChange,
    advance,
    exceptions_range,
)
from effort import examples
from sink_load import an_item

LANE = SinkLane("log", "flow", 0)
FILTERED = frozenset({3, 4, 11, 17})
"""Offsets whose events have no outputs, however often the flow runs."""


class Destination:
    """A store of positions that keeps rows beside them, and counts how often each landed."""

    def __init__(self) -> None:
        self.position = DecidedRange()
        self.exceptions: set[int] = set()
        self.delivered_range: dict[int, int] = {}

    def lane_position(self, load: Load) -> LanePosition:
        affected = exceptions_range(self.position, load)
        offsets = (
            {item.offset for item in load.items}
            if affected is None
            else set(range(affected.start, affected.end))
        )
        return LanePosition(self.position, frozenset(self.exceptions & offsets))

    def write(self, load: Load, bad: frozenset[int], *, commits: bool) -> set[int]:
        """Return the offsets of items that are delivered by this load or were before."""
        before = self.lane_position(load)
        new = [
            i.offset
            for i in load.items
            if not before.is_delivered(i.offset) and i.offset not in bad
        ]
        missed = {i.offset for i in load.items if not before.is_delivered(i.offset)}.difference(new)
        change = advance(before, load, missed)
        if commits:
            self._commit(change, new)
        return {item.offset for item in load.items} - missed

    def _commit(self, change: PositionChange, new: list[int]) -> None:
        assert self.exceptions.isdisjoint(change.inserts), "an insert that would violate the key"
        assert self.exceptions.issuperset(change.deletes)
        self.position = change.decided
        self.exceptions |= set(change.inserts)
        self.exceptions -= set(change.deletes)
        for offset in new:
            self.delivered_range[offset] = self.delivered_range.get(offset, 0) + 1


class Step(msgspec.Struct, frozen=True):
    """One thing that a lane does, and how it goes."""

    retries: bool
    size: int
    holes: frozenset[int]
    bad: frozenset[int]
    commits: bool
    answers: bool
    skips_empty: bool = False


offsets = st.frozensets(st.integers(0, 30), max_size=6)
steps = st.builds(
    Step,
    retries=st.booleans(),
    size=st.integers(1, 8),
    holes=offsets,
    bad=offsets,
    commits=st.booleans(),
    answers=st.booleans(),
    skips_empty=st.booleans(),
)


class LaneModel:
    """The runtime's side: a cursor that moves, and parked events, after an answer only."""

    def __init__(self, start: int) -> None:
        self.start = self.cursor = start
        self.parked: set[int] = set()
        self.delivered: set[int] = set()
        self.destination = Destination()

    def take(self, step: Step) -> None:
        if step.retries:
            self._retry(step)
        else:
            self._read(step)

    def _read(self, step: Step) -> None:
        read = range(self.cursor, self.cursor + step.size)
        outputs = [o for o in read if o not in FILTERED and o not in step.holes]
        holes = [o for o in read if o not in FILTERED and o in step.holes]
        if not outputs and not holes and step.skips_empty:
            self.cursor = read.stop
            return
        load = Load(LANE, [an_item(o, {"id": o}) for o in outputs], read.start, read.stop, holes)
        done = self._write(load, step)
        if done is not None:
            self.delivered |= done
            self.parked |= set(holes) | (set(outputs) - done)
            self.cursor = read.stop

    def _retry(self, step: Step) -> None:
        chosen = sorted(self.parked)[: step.size]
        done = self._write(Load(LANE, [an_item(o, {"id": o}) for o in chosen]), step)
        if done is not None:
            self.delivered |= done
            self.parked -= done

    def _write(self, load: Load, step: Step) -> set[int] | None:
        done = self.destination.write(load, step.bad, commits=step.commits)
        return done if step.commits and step.answers else None


@settings(max_examples=examples(150))
@given(start=st.integers(0, 5), story=st.lists(steps, max_size=25))
def test_each_event_lands_exactly_once(start: int, story: list[Step]) -> None:
    lane = LaneModel(start)
    for step in story:
        lane.take(step)
        landed = lane.destination.delivered_range
        assert all(times == 1 for times in landed.values())
        assert lane.delivered <= landed.keys(), "said to be delivered, and is not there"
    _finish(lane)
    assert set(lane.destination.delivered_range) == set(range(start, lane.cursor)) - FILTERED
    assert set(lane.destination.delivered_range.values()) <= {1}


def _finish(lane: LaneModel) -> None:
    """After the last trouble everything is read to the end and everything parked is retried."""
    fine = Step(False, 40 - lane.cursor % 40, frozenset(), frozenset(), True, True)
    lane.take(fine)
    lane.take(msgspec.structs.replace(fine, retries=True, size=1000))


@given(
    position=st.builds(lambda a, n: DecidedRange(a, a + n), st.integers(0, 20), st.integers(0, 20)),
    exceptions=offsets,
    start=st.integers(0, 20),
    size=st.integers(1, 20),
    data=st.data(),
)
def test_a_change_says_of_every_offset_whether_it_landed(
    position: DecidedRange, exceptions: frozenset[int], start: int, size: int, data: st.DataObject
) -> None:
    """Fresh loads may come from before the range, as when a lane is set back."""
    offsets = list(range(start, start + size))
    holes = data.draw(st.sets(st.sampled_from(offsets)))
    items = [an_item(o, {}) for o in offsets if o not in holes]
    missed = data.draw(st.sets(st.sampled_from([i.offset for i in items]))) if items else set()
    load = Load(LANE, items, start, start + size, sorted(holes))
    affected = exceptions_range(position, load)
    assert affected is not None
    lane_position = LanePosition(
        position, exceptions & frozenset(range(affected.start, affected.end))
    )
    missed -= {o for o in missed if lane_position.is_delivered(o)}

    change = advance(lane_position, load, missed)
    after = LanePosition(change.decided, (exceptions | {*change.inserts}) - {*change.deletes})

    before = LanePosition(position, exceptions)
    gap = range(position.end, start) if position.start != position.end else range(0)
    for offset in set(range(50)) - set(gap):
        arrives = offset in offsets and offset not in holes and offset not in missed
        assert after.is_delivered(offset) == (arrives or before.is_delivered(offset)), offset
