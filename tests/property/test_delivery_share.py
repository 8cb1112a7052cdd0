"""Lanes spread evenly over whoever is alive, and stay there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.rebalance import (
    DEAD_AFTER_S,
    LeaseChanges,
    ObservedHeartbeat,
    live_workers,
    observe_heartbeats,
    rebalance,
)
from busway.lane import Lane
from busway.testing import MemoryLedger

MOST_ROUNDS = 12

worlds = st.lists(
    st.sets(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1), min_size=1, max_size=5
)
"""Who is alive, one after the other."""


async def settle_down(ledger: MemoryLedger, workers: set[str]) -> int:
    """Let the workers look and lease, all of them at a time; return how often they had to."""
    for turn in range(MOST_ROUNDS):
        lanes = await ledger.lanes()
        asked = [rebalance(lanes, workers, me) for me in sorted(workers)]
        leases = [lease for changes in asked for lease in (*changes.acquire, *changes.release)]
        if not leases:
            return turn
        await ledger.lease(leases)
    return MOST_ROUNDS


@given(lanes=st.integers(0, 30), world=worlds)
def test_lanes_spread_evenly_and_stay(lanes: int, world: list[set[str]]) -> None:
    async def run() -> None:
        ledger = MemoryLedger()
        for number in range(lanes):
            await ledger.open_lane("f", number, 0)
        for workers in world:
            before = await ledger.lanes()
            assert await settle_down(ledger, workers) < MOST_ROUNDS
            held = [lane.worker for lane in await ledger.lanes()]
            counts = [held.count(worker) for worker in workers]
            assert set(held) <= workers
            assert sum(counts) == lanes
            assert max(counts) - min(counts) <= 1
            assert moves(before, await ledger.lanes()) <= needed(before, workers)

    asyncio.run(run())


def moves(before: Sequence[Lane], after: Sequence[Lane]) -> int:
    """Count the lanes that another worker has now."""
    return sum(old.worker != new.worker for old, new in zip(before, after, strict=True))


def needed(lanes: Sequence[Lane], workers: set[str]) -> int:
    """Count how many lanes have to move at least, whoever gets the odd ones."""
    least, more = divmod(len(lanes), len(workers))
    held = sorted((sum(one.worker == w for one in lanes) for w in workers), reverse=True)
    kept = sum(min(count, least + (n < more)) for n, count in enumerate(held))
    return len(lanes) - kept


@given(
    beats=st.lists(st.tuples(st.floats(0.1, 2.0), st.booleans()), min_size=1, max_size=30),
)
def test_a_worker_is_dead_when_its_beat_stays_the_same(beats: list[tuple[float, bool]]) -> None:
    seen: dict[str, ObservedHeartbeat] = {}
    now = last_changed = 0.0
    beat = 0
    for wait_s, beats_on in beats:
        now += wait_s
        if beats_on or not seen:
            beat += 1
            last_changed = now
        seen = dict(observe_heartbeats(seen, {"other": beat}, now))
        expected = {"me", "other"} if now - last_changed < DEAD_AFTER_S else {"me"}
        assert live_workers(seen, now, "me") == expected


def test_who_is_not_seen_any_more_is_dead() -> None:
    seen = observe_heartbeats({"gone": ObservedHeartbeat(1, 0.0)}, {}, 1.0)
    assert live_workers(seen, 1.0, "me") == {"me"}


@pytest.mark.parametrize("lanes", [1, 3])
def test_nobody_gives_up_what_nobody_lacks(lanes: int) -> None:
    held = [Lane("f", n, 0, 0, worker="a", fencing_token=1) for n in range(lanes)]
    assert rebalance(held, {"a"}, "a") == LeaseChanges([], [])
