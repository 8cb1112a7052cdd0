"""Requests with repeated identities against the plainest memory of what came."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from busway.bus.dedupe import DedupeIndex, identity_digests
from busway.bus.partitioner import Partitioner
from busway.event import Event
from effort import examples

WINDOW_S = 160.0
IDS = st.lists(st.integers(0, 30), min_size=1, max_size=8)
STEPS = st.lists(st.tuples(st.floats(0, 60), st.lists(IDS, max_size=4)), max_size=30)


def events(numbers: Sequence[int]) -> list[Event]:
    return [Event(type="t", source=f"/{n % 2}", id=str(n // 2), subject=f"k{n}") for n in numbers]


@settings(max_examples=examples(25))
@given(STEPS)
def test_what_is_stored_is_what_did_not_come_within_the_window(
    steps: list[tuple[float, list[list[int]]]],
) -> None:
    """Kept for the window at least."""
    recent, now, stored_at = DedupeIndex(WINDOW_S), 0.0, dict[int, float]()
    for turn, (passed, requests) in enumerate(steps):
        now += passed
        recent.expire(now)
        everything = [one for numbers in requests for one in identity_digests(events(numbers))]
        grouping = Partitioner(3, turn, recent.find(everything))
        stored_now: set[int] = set()
        for numbers in requests:
            made = events(numbers)
            raws, envelopes = [one.to_json() for one in made], [one.envelope for one in made]
            answer = grouping.add(raws, envelopes, identity_digests(made))
            surely = {
                n for n in numbers if n in stored_now or now - stored_at.get(n, -1e9) <= WINDOW_S
            }
            maybe = {n for n in set(numbers) - surely if n in stored_at}
            fresh = len(set(numbers) - surely)
            assert fresh - len(maybe) <= answer.accepted <= fresh
            assert answer.accepted + answer.duplicates == len(numbers)
            stored_now |= set(numbers) - surely
        drafted = [raw for draft in grouping.batches() for raw in draft.events]
        assert len(drafted) == len(set(drafted)) == len(grouping.new_digests)
        recent.add(grouping.new_digests, now)
        here = set(drafted)
        for number in stored_now:
            if events([number])[0].to_json() in here or number not in stored_at:
                stored_at[number] = now


class Named(msgspec.Struct):
    """An identity."""

    id: str
    source: str = "/s"


def named(first: int, last: int, step: int = 1) -> list[bytes]:
    return identity_digests([Named(str(number)) for number in range(first, last, step)])


def test_a_million_identities_are_remembered_exactly_and_forgotten_in_time() -> None:
    recent, count, size = DedupeIndex(600.0), 1_000_000, 50_000
    for first in range(0, count, size):
        recent.add(set(named(first, first + size)), first / size)
        recent.expire(first / size)
    assert len(recent) == count
    known = named(0, count, 97)
    assert recent.find(known) == set(known)
    assert recent.find(named(count, count + 20_000)) == set()
    recent.expire(10_000.0)
    recent.expire(10_000.0 + 601.0)
    assert len(recent) == 0
    assert recent.find(known) == set()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_million_identities_cost_a_few_bytes_each() -> None:
    before = resident_bytes()
    recent = DedupeIndex(600.0)
    for first in range(0, 1_000_000, 10_000):
        recent.add(set(named(first, first + 10_000)), 0.0)
    assert len(recent) == 1_000_000
    assert resident_bytes() - before < 40_000_000
