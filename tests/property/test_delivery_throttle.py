"""The throttle and the permits: never more than they say, and no less than they could."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.concurrency import Adaptive
from busway.delivery.adaptive_concurrency import AdaptiveLimit, ResponseSample
from busway.delivery.rate import Rate, Throttle
from busway.runtime.admission.concurrency_limiter import (
    CombinedPermits,
    ConcurrencyLimiter,
)
from busway.runtime.admission.throttle import RateLimiter
from busway.testing import ManualClock

RATES = st.builds(Rate, st.floats(0.1, 10_000), st.none() | st.integers(1, 2_000))
WANTS = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 3_000)), max_size=30)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


BURST = 10


@given(RATES, WANTS)
def test_over_any_time_no_more_go_than_its_rate_and_one_burst(
    rate: Rate, wants: list[tuple[float, int]]
) -> None:
    throttle, now = Throttle(rate), 0.0
    gone: list[tuple[float, int]] = []
    for pause, wanted in wants:
        now += pause
        count = min(wanted, rate.burst)
        now += throttle.wait_s(now, count)
        throttle = throttle.consume(now, count)
        gone.append((now, count))
        total = 0
        for at, number in reversed(gone):
            total += number
            assert total <= rate.per_s * (now - at) * (1 + 1e-9) + rate.burst + 1e-3


@given(RATES, st.floats(1, 100))
def test_who_always_wants_gets_the_whole_rate(rate: Rate, seconds: float) -> None:
    throttle, now, gone = Throttle(rate), 0.0, 0
    for _ in range(2_000):
        if now >= seconds:
            break
        now += throttle.wait_s(now, 1)
        throttle, gone = throttle.consume(now, 1), gone + 1
    assert gone >= rate.per_s * now - 1


@given(RATES, RATES, st.integers(1, 100))
def test_what_is_owed_is_paid_at_the_new_rate(before: Rate, after: Rate, count: int) -> None:
    owed = Throttle(before).consume(10.0, count).with_rate(10.0, after)
    assert owed.free_at - 10.0 == pytest.approx(count / after.per_s)


@given(st.text() | st.sampled_from(["100/s burst 500", "10/m", "0.5 / h burst 3"]))
def test_a_rate_written_down_is_read_again(text: str) -> None:
    try:
        rate = Rate.parse(text)
    except Exception:
        return
    again = Rate.parse(str(rate))
    assert again.per_s == pytest.approx(rate.per_s, rel=1e-6)
    assert again.burst == rate.burst


def test_a_pace_changes_while_somebody_waits() -> None:
    async def play() -> None:
        clock = ManualClock()
        pace = RateLimiter(Rate(1.0), clock)
        await pace.acquire(1)
        waiting = asyncio.create_task(pace.acquire(1))
        await clock.advance(0.5)
        assert not waiting.done()
        pace.override(Rate(100.0))
        await clock.advance(0.02)
        assert waiting.done()
        pace.override(None)
        assert pace.rate == Rate(1.0), "the declared one again"

    run(play())


def test_paces_share_a_limit() -> None:
    async def play() -> None:
        clock = ManualClock()
        limit = RateLimiter(Rate(10.0, 1), clock)
        paces = [RateLimiter(None, clock, (limit,)) for _ in range(2)]
        gone: list[float] = []

        async def deliver(pace: RateLimiter) -> None:
            while True:
                await pace.acquire(1)
                gone.append(clock.monotonic())

        tasks = [asyncio.create_task(deliver(pace)) for pace in paces]
        await clock.advance(2.0)
        for task in tasks:
            task.cancel()
        assert len(gone) in (20, 21)
        assert paces[0].burst == 1

    run(play())


@given(st.integers(1, 5), st.lists(st.sampled_from(["take", "give", "stop", "change"])))
def test_no_more_permits_are_out_than_there_are(most: int, moves: list[str]) -> None:
    async def play() -> None:
        slots, limit = ConcurrencyLimiter(most, ManualClock()), most
        held = 0
        waiting: list[asyncio.Task[bool]] = []
        for index, move in enumerate(moves):
            if move == "take":
                waiting.append(asyncio.create_task(slots.acquire()))
            elif move == "give" and held:
                slots.release(0.1)
                held -= 1
            elif move == "stop" and waiting:
                waiting.pop(index % len(waiting)).cancel()
            elif move == "change":
                limit = index % 4 + 1
                slots.override(limit)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held += sum(task.done() and not task.cancelled() for task in waiting)
            waiting = [task for task in waiting if not task.done()]
            assert slots.in_flight == held
            assert not waiting or held >= limit, "nobody waits while there is room"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    run(play())


def test_together_takes_one_of_each_or_none() -> None:
    async def play() -> None:
        first, second = ConcurrencyLimiter(2, ManualClock()), ConcurrencyLimiter(1, ManualClock())
        both = CombinedPermits([first, second])
        assert await both.acquire()
        waiting = asyncio.create_task(both.acquire())
        await asyncio.sleep(0)
        assert (first.in_flight, second.in_flight) == (2, 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (first.in_flight, second.in_flight) == (1, 1)
        both.release(0.1)
        assert (first.in_flight, second.in_flight) == (0, 0)

    run(play())


ANSWERS = st.lists(st.tuples(st.floats(0, 2), st.floats(0.0001, 5), st.booleans()), max_size=200)


@given(ANSWERS, st.integers(1, 8), st.integers(0, 60))
def test_what_adapts_stays_within_its_bounds(
    answers: list[tuple[float, float, bool]], least: int, room: int
) -> None:
    bounds = Adaptive(least, least + room)
    found, now = AdaptiveLimit.of(bounds), 0.0
    for pause, took_s, refused in answers:
        now += pause
        before = found.limit
        found = found.after(ResponseSample(now, took_s, refused, found.limit))
        assert bounds.min_limit <= found.limit <= bounds.max_limit
        assert found.limit <= before + 1
        assert not refused or found.limit <= before


class Destination:
    """Does ``capacity`` requests at a time well, and more of them slower, or refuses them."""

    def __init__(self, bounds: Adaptive, *, refuses: bool) -> None:
        self.found = AdaptiveLimit.of(bounds)
        self.refuses = refuses
        self.now = 0.0

    def usual_limit(self, capacity: int) -> int:
        """Answer many rounds; return how many were on their way most of the time in the end."""
        limits = []
        for _ in range(600):
            busy = self.found.limit
            took_s = 0.05 * max(1.0, busy / capacity)
            for index in range(busy):
                refused = self.refuses and index >= capacity
                self.found = self.found.after(ResponseSample(self.now, took_s, refused, busy))
            self.now += took_s
            limits.append(busy)
        return sorted(limits[-200:])[100]


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize("capacity", [2, 10, 40])
def test_what_adapts_finds_what_the_destination_takes(capacity: int, refuses: bool) -> None:
    destination = Destination(Adaptive(1, 200), refuses=refuses)
    fewer = max(1, capacity // 4)
    assert capacity * 0.6 <= destination.usual_limit(capacity) <= capacity * 2.5
    assert fewer * 0.6 <= destination.usual_limit(fewer) <= fewer * 2.5 + 1
    assert capacity * 0.6 <= destination.usual_limit(capacity) <= capacity * 2.5


def test_a_destination_that_refuses_all_gets_the_least() -> None:
    found = AdaptiveLimit.of(Adaptive(2, 64))
    for now in range(50):
        found = found.after(ResponseSample(float(now), 0.01, True, found.limit))
    assert found.limit == 2


@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),
            st.integers(1, BURST),
            st.none() | st.tuples(st.floats(0, 30), st.integers(0, BURST)),
        ),
        max_size=30,
    )
)
def test_what_is_given_back_never_lets_more_go_than_the_rate(
    asked: list[tuple[float, int, tuple[float, int] | None]],
) -> None:
    """Each pays as soon as it may, and of some a part does not go after a while."""
    throttle, now = Throttle(Rate(1.0, BURST)), 0.0
    gone: list[tuple[float, int]] = []
    for wait_s, count, returned in asked:
        now += wait_s
        now += throttle.wait_s(now, count)
        throttle, paid_at, went = throttle.consume(now, count), now, count
        if returned is not None:
            now += returned[0]
            back = min(returned[1], count)
            throttle, went = throttle.refund(now, paid_at, back), count - back
        gone.append((paid_at, went))
    for first, (begin, _) in enumerate(gone):
        total = 0
        for at, count in gone[first:]:
            total += count
            assert total <= (at - begin) * 1.0 + BURST + 1e-6


def test_what_did_not_go_may_go_at_once() -> None:
    throttle = Throttle(Rate.parse("100/h burst 100")).consume(0.0, 100)
    assert throttle.wait_s(1.0, 100) > 3000
    assert throttle.refund(1.0, 0.0, 100).wait_s(1.0, 100) == 0.0
