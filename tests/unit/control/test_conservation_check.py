"""The check finds each way in which a ledger can be off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from busway.control.conservation_check import check_conservation
from busway.lane import Counts, FailedEventCounts, Lane, LaneId
from busway.ports import NewBatch
from busway.settlement import SettledRange, Settlement
from busway.testing import MemoryLedger, MemoryLog

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Bent(MemoryLedger):
    """A ledger that says something else than what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.lane: Callable[[Lane], Lane] = lambda lane: lane
        self.ranges: Callable[[Sequence[SettledRange]], Sequence[SettledRange]] = lambda found: (
            found
        )
        self.kept: Mapping[LaneId, FailedEventCounts] = {}

    async def lanes(self) -> Sequence[Lane]:
        return [self.lane(lane) for lane in await super().lanes()]

    async def settled_ranges(
        self, flow: str, partition: int | None = None
    ) -> Sequence[SettledRange]:
        return self.ranges(await super().settled_ranges(flow, partition))

    async def count_failed_events(self) -> Mapping[LaneId, FailedEventCounts]:
        return self.kept


@pytest.fixture
async def log() -> MemoryLog:
    log = MemoryLog(1)
    await log.append([NewBatch(0, [b"{}"] * 5)], NOW)
    return log


@pytest.fixture
async def ledger() -> Bent:
    ledger = Bent()
    await ledger.open_lane("f", 0, 0)
    for start, end, version in ((0, 2, "a"), (2, 4, "b")):
        await ledger.settle([Settlement("f", 0, start, end, NOW, version, Counts(end - start))])
    return ledger


async def test_consistent_stores_have_no_faults(log: MemoryLog, ledger: Bent) -> None:
    assert await check_conservation(log, ledger) == []


BENT_LANES: list[tuple[dict[str, object], str]] = [
    ({"counts": Counts(delivered=3)}, "add up to 3, but its cursor has passed 4"),
    ({"counts": Counts(delivered=5, filtered=-1)}, "a count is negative"),
    ({"cursor": 9}, "beyond the log's end at 5"),
    ({"cursor": 5}, "settled ranges end at 4, but its cursor is at 5"),
    ({"counts": Counts(delivered=3, parked=1)}, "1 events are counted as parked, but 0 exist"),
    ({"counts": Counts(delivered=3, dead=1)}, "1 events are counted as dead, but 0 exist"),
]


@pytest.mark.parametrize(("changes", "reason"), BENT_LANES)
async def test_inconsistent_counts_are_reported(
    log: MemoryLog, ledger: Bent, changes: dict[str, object], reason: str
) -> None:
    ledger.lane = lambda lane: msgspec.structs.replace(lane, **changes)
    found = await check_conservation(log, ledger)
    assert any(reason in one and one.startswith("flow f, partition 0: ") for one in found), found


async def test_a_gap_between_ranges_is_found(log: MemoryLog, ledger: Bent) -> None:
    ledger.ranges = lambda found: found[1:]
    assert "from 0 to 2: a gap or an overlap" in (await check_conservation(log, ledger))[0]


async def test_failed_events_without_a_lane_are_reported(log: MemoryLog, ledger: Bent) -> None:
    ledger.kept = {LaneId("g", 1): FailedEventCounts(1, 0)}
    assert await check_conservation(log, ledger) == [
        "flow g, partition 1: it has failed events but no lane"
    ]


async def test_a_transient_imbalance_is_not_a_fault(log: MemoryLog, ledger: Bent) -> None:
    looks = 0

    def moving(lane: Lane) -> Lane:
        nonlocal looks
        looks += 1
        parked = Counts(delivered=4 - looks % 3, parked=looks % 3)
        return msgspec.structs.replace(lane, counts=parked)

    ledger.lane = moving
    assert await check_conservation(log, ledger) == []
